"""One unit of text becomes one staged file of tokens: what the processes do, each on its own."""

import hashlib
import json
import os
import signal
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy

from ultrathink_api.errors import Refused

from ...runtime import processes
from ..shards import narrowest
from .documents import CLEANING, KEY_BYTES, clean, key_of, read
from .inputs import Unit
from .refusals import tokenizer_unfit

BATCH_DOCUMENTS = 256
END_TOKENS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[EOS]")


@dataclass(frozen=True)
class Recipe:
    """All that decides which tokens a document becomes."""

    tokenizer: str
    """Path of a tokenizer.json."""
    sha256: str
    end_token: int
    vocabulary: int
    field: str = "text"
    separator: str = ""
    min_characters: int = 1

    def staged(self, unit: Unit, folder: Path) -> Path:
        said = asdict(self) | {"tokenizer": "", "cleaning": CLEANING, "unit": unit.name}
        return folder / f"{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]}.npz"


def open_recipe(path: str, end_token: str = "", **options: Any) -> Recipe:
    """A recipe for a tokenizer that has been found usable."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise tokenizer_unfit(path, error.strerror or str(error)) from error
    tokenizer = load(path)
    ids = tokenizer.get_vocab(with_added_tokens=True)
    if not ids:
        raise tokenizer_unfit(path, "it knows no token")
    name = end_token or next((name for name in END_TOKENS if name in ids), "")
    if name not in ids:
        said = f"it has no token {end_token!r}" if end_token else f"it has none of {', '.join(END_TOKENS)}"
        raise tokenizer_unfit(path, said, "name the token that ends a document with --end-token")
    return Recipe(path, hashlib.sha256(data).hexdigest(), ids[name], max(ids.values()) + 1, **options)


def load(path: str) -> Any:
    """A tokenizer that takes text for text: it cuts nothing off, and a special token in a document is just letters."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library raises nothing more precise
        raise tokenizer_unfit(path, f"it is no tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def begin() -> None:
    """A process that works for another one: Ctrl-C is the other's, and it does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    processes.die_with(os.getppid(), signal.SIGKILL)


def stage(unit: Unit, recipe: Recipe, folder: Path) -> dict[str, str] | None:
    """Tokens of all documents of a unit, in a file that appears whole; or the refusal, as JSON."""
    path = recipe.staged(unit, folder)
    if path.exists():
        return None
    try:
        content = _tokenised(unit, recipe)
    except Refused as refused:
        return refused.problem.dump()
    unfinished = path.with_suffix(f".{os.getpid()}")
    with unfinished.open("wb") as file:
        numpy.savez(file, **content)
    unfinished.replace(path)
    return None


def _tokenised(unit: Unit, recipe: Recipe) -> dict[str, Any]:
    tokenizer = load(recipe.tokenizer)
    dtype = narrowest(recipe.vocabulary)
    keys, lengths, tokens = [], [], [numpy.empty(0, dtype)]
    dropped = {"empty": 0, "short": 0}
    documents = read(unit, recipe.field, recipe.separator)
    while batch := list(islice(documents, BATCH_DOCUMENTS)):
        kept = []
        for text in map(clean, batch):
            if not text.strip():
                dropped["empty"] += 1
            elif len(text) < recipe.min_characters:
                dropped["short"] += 1
            else:
                kept.append(text)
        for text, encoding in zip(kept, tokenizer.encode_batch_fast(kept, add_special_tokens=False), strict=True):
            ids = encoding.ids
            keys.append(key_of(text))
            lengths.append(len(ids) + 1)
            tokens.append(numpy.array([*ids, recipe.end_token], dtype))
    return {
        "keys": numpy.frombuffer(b"".join(keys), numpy.uint8).reshape(-1, KEY_BYTES),
        "lengths": numpy.array(lengths, numpy.int64),
        "tokens": numpy.concatenate(tokens),
        "dropped": numpy.array([dropped["empty"], dropped["short"]]),
    }
