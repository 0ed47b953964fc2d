"""Specs at random, each a pure function of its number: most of them almost right, by the CRD's own schema."""

import copy
import random
from collections.abc import Mapping
from typing import Any

from ultrathink_api.crd import crds
from vectors.reading import vectors

Schema = Mapping[str, Any]
SEED = 20_260_101
SCHEMA: Schema = next(d for d in crds() if d["spec"]["names"]["kind"] == "UltraThinkJob")["spec"]["versions"][0][
    "schema"
]["openAPIV3Schema"]["properties"]["spec"]
STARTS = [job for _, _, job in vectors()]
TEXTS = (
    *(
        "builtin://stories",
        "s3://corpus/v3",
        "file:///data/web v3/",
        "s3://corpus/../other",
        "s3://x",
        "s3://a.b-c/d//e",
    ),
    *("hf:models/llama", "hf:", "moe-tiny", "dense-tiny", "moe-huge", "latest", "none", "other@200", "other@", "-@1"),
    *(
        "auto",
        "off",
        "2",
        "500m",
        "1.5",
        "1Gi",
        "0",
        "-1",
        "1e3",
        "4Gib",
        "",
        " ",
        "a" * 64,
        "a" * 1_025,
        "ａ",
        "é",
        "‮",
    ),
    *(
        "a\n",
        "\n",
        "a\0b",
        "../../etc",
        "default",
        "kube-system/default",
        "Default",
        "true",
        "null",
        "${HOME}",
        "$(id)",
    ),
    *("2026-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01", "s3://runs/x/step-5", "file:///var/runs", "١"),
)
STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    1.0,
    1.5,
    10**12,
    10**19,
    1e300,
    "2",
    "",
    [],
    {},
    [1],
    {"a": 1},
)
UNKNOWN = (
    "env",
    "image",
    "serviceAccountName",
    "hostNetwork",
    "volumes",
    "namespace",
    "Count",
    "template",
    "__proto__",
)
MOST_CHANGES = 4


def spec(number: int) -> dict[str, Any]:
    """The whole object of this number."""
    chance = random.Random(f"{SEED} {number}")
    job = copy.deepcopy(chance.choice(STARTS))
    for _ in range(chance.randint(0, MOST_CHANGES)):
        _change(chance, job["spec"], SCHEMA)
    return job


def _change(chance: random.Random, node: Any, schema: Schema) -> None:
    """Something of it, at some depth."""
    names = sorted(schema.get("properties", {}))
    if not names or not isinstance(node, dict):
        return
    name = chance.choice(names)
    below = schema["properties"][name]
    kind = chance.random()
    if kind < 0.02:
        node[chance.choice(UNKNOWN)] = chance.choice(STRANGE)
    elif kind < 0.06:
        node.pop(name, None)
    elif below.get("properties") and kind < 0.8:
        if not isinstance(node.get(name), dict):
            node[name] = {}
        _change(chance, node[name], below)
    else:
        node[name] = value(chance, below)


def value(chance: random.Random, schema: Schema) -> Any:
    """One that fits, or one that only almost does."""
    if chance.random() < 0.08:
        return copy.deepcopy(chance.choice(STRANGE))
    if "enum" in schema:
        return chance.choice([*schema["enum"], *schema["enum"], "other"])
    branches = schema.get("anyOf")
    if branches or schema.get("x-kubernetes-int-or-string"):
        return value(chance, chance.choice(branches or [{"type": "integer"}, {"type": "string"}]))
    match schema.get("type"):
        case "integer":
            return _number(chance, schema)
        case "number":
            return _number(chance, schema) * chance.choice((1, 1, 0.5, 0.1))
        case "boolean":
            return chance.random() < 0.5
        case "string":
            return chance.choice(TEXTS)
        case "array":
            return [value(chance, schema["items"]) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
        case _:
            return _object(chance, schema)


def _number(chance: random.Random, schema: Schema) -> int:
    least, most = int(schema.get("minimum", 0)), int(schema.get("maximum", 2**31))
    near = [least, least + 1, least - 1, most, most + 1, 1, 2, 3, 4, 8, 16, 64, 128, 200, 1_024]
    return chance.choice(near)


def _object(chance: random.Random, schema: Schema) -> dict[str, Any]:
    properties, needed = schema.get("properties", {}), schema.get("required", ())
    chosen = [name for name in sorted(properties) if name in needed or chance.random() < 0.4]
    return {name: value(chance, properties[name]) for name in chosen}
