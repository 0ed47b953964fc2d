"""A folder in Hugging Face's layout: opened with every name and shape checked, and written whole or not at all."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from ultrathink_api.errors import Refused
from ultrathink_planner import ModelShape
from ultrathink_store.records import Unreadable
from ultrathink_store.tensors import Span, encode_header, header_bytes, parse_header

from ..model.families import family_for
from ..model.families.family import Entry, Family, tensor_shapes
from .convert import to_ours, to_theirs
from .folder import CONFIG, read_json, read_shape, unreadable
from .planners import window
from .storage import DTYPES

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
SHARD_BYTES = 4 << 30
"""Most bytes of tensors in a file, as on the hub."""
SHOWN = 5
"""Names that a refusal lists."""


@dataclass(frozen=True)
class HfModel:
    """A model in a folder. `left` are tensors that its family does without."""

    folder: Path
    family: Family
    shape: ModelShape
    left: tuple[str, ...]
    places: Mapping[str, tuple[Path, Span]]
    entries: Mapping[str, Entry]

    def read(self, name: str) -> torch.Tensor:
        """One tensor by our name, as the file holds its numbers."""
        shape = tensor_shapes(self.shape)[name]
        return self.read_box(name, [0] * len(shape), shape)

    def read_box(self, name: str, offsets: Sequence[int], lengths: Sequence[int]) -> torch.Tensor:
        """A box of one tensor; of its file only the rows that it is made of are read."""
        rows = range(offsets[0], offsets[0] + lengths[0])
        whole = tensor_shapes(self.shape)[name][0]
        turn = {"head_dim": self.shape.head_dim, "rotary": self.shape.rotary_width}
        made = to_ours(self.entries[name], name, self._theirs, rows=rows, whole=whole, **turn)
        return window(made, torch.Size((0, *offsets[1:])), torch.Size(lengths))

    def _theirs(self, name: str, rows: slice) -> torch.Tensor:
        path, span = self.places[name]
        first, last, _ = rows.indices(span.shape[0])
        row = span.length // span.shape[0]
        with path.open("rb") as file:
            file.seek(span.start + first * row)
            data = bytearray(file.read((last - first) * row))
        return torch.frombuffer(data, dtype=DTYPES[span.dtype]).view(last - first, *span.shape[1:])


def open_model(folder: Path) -> HfModel:
    """Raises Refused where one tensor is over, missing or of another shape."""
    family, shape = read_shape(folder)
    shapes = tensor_shapes(shape)
    entries = {name: entry for entry in family.entries(shape) for name in entry.ours}
    assert entries.keys() == shapes.keys(), f"{family.name}: {entries.keys() ^ shapes.keys()}"
    wanted = {name: size for entry in entries.values() for name, size in entry.file_shapes(shapes).items()}
    places = dict(_spans(folder))
    left = sorted(name for name in places.keys() - wanted.keys() if family.leaves(shape, name))
    _refuse("UTK0222", folder, "holds", sorted(places.keys() - wanted.keys() - set(left)), "has no place for")
    _refuse("UTK0223", folder, "lacks", sorted(wanted.keys() - places.keys()), "needs")
    for name, size in wanted.items():
        span = places[name][1]
        if span.shape != size or span.dtype not in DTYPES:
            raise Refused.of(
                "UTK0224",
                field=name,
                message=f"{places[name][0]} holds {span.dtype} {list(span.shape)}, but config.json says {list(size)}",
                fix="use weights and config.json of the same model, in float32, bfloat16 or float16",
            )
    return HfModel(folder, family, shape, tuple(left), places, entries)


def _refuse(code: str, folder: Path, verb: str, names: list[str], model: str) -> None:
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise Refused.of(
            code,
            field=names[0],
            message=f"{folder} {verb} {', '.join(names[:SHOWN])}{more}, which the model of its config.json {model}",
            fix="use weights and config.json of the same model",
        )


def _spans(folder: Path) -> Iterator[tuple[str, tuple[Path, Span]]]:
    seen: set[str] = set()
    for path in _files(folder):
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                begin = file.read(8)
                begin += file.read(header_bytes(begin, size) - len(begin))
            header = parse_header(begin, size)
        except (OSError, Unreadable) as error:
            raise unreadable(path, str(error)) from error
        for name, span in header.tensors.items():
            if name in seen:
                raise unreadable(path, f"it holds {name}, which another file holds too")
            seen.add(name)
            yield name, (path, span)


def _files(folder: Path) -> list[Path]:
    if not (folder / INDEX).exists():
        return [folder / SINGLE]
    names = read_json(folder / INDEX).get("weight_map")
    if not isinstance(names, dict) or any(not isinstance(n, str) or Path(n).name != n for n in names.values()):
        raise unreadable(folder / INDEX, "its weight_map does not name files of this folder")
    return [folder / name for name in sorted(set(names.values()))]


def write_model(folder: Path, shape: ModelShape, get: Callable[[str], torch.Tensor]) -> tuple[Family, int]:
    """Write a model; `get` reads a tensor by our name. The family it is written as, and its bytes."""
    family = family_for(shape)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused.of("UTK0607", field=str(folder), message=f"{folder} is not empty", fix="name a new folder")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        size = _write_tensors(partial, family, shape, get)
        config = {"architectures": [family.architecture], "model_type": family.name, "dtype": "float32"}
        (partial / CONFIG).write_text(json.dumps(config | family.config_of(shape), indent=2) + "\n")
        with suppress(FileNotFoundError):
            folder.rmdir()
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return family, size


def _write_tensors(folder: Path, family: Family, shape: ModelShape, get: Callable[[str], torch.Tensor]) -> int:
    shapes = tensor_shapes(shape) | _without_balance(family, shape)
    shards = _cut(list(family.entries(shape)), shapes)
    turn = {"head_dim": shape.head_dim, "rotary": shape.rotary_width}
    weight_map, total = {}, 0
    for number, entries in enumerate(shards, start=1):
        name = SINGLE if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        sizes = {theirs: size for entry in entries for theirs, size in entry.file_shapes(shapes).items()}
        begin, header = encode_header([(n, "F32", size) for n, size in sizes.items()], {"format": "pt"})
        with (folder / name).open("wb") as file:
            file.write(begin)
            for entry in entries:
                made = dict(to_theirs(entry, lambda ours: _tensor(ours, get, shapes), **turn))
                for theirs in entry.file_shapes(shapes):
                    assert tuple(made[theirs].shape) == sizes[theirs], theirs
                    file.write(memoryview(made[theirs].float().contiguous().flatten().view(torch.uint8).numpy()))
        weight_map |= dict.fromkeys(sizes, name)
        total += header.size
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    return total


def _without_balance(family: Family, shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Biases that the family's file holds and a model that balances otherwise does not have: they are zero."""
    known = tensor_shapes(shape)
    names = [name for entry in family.entries(shape) for name in entry.ours if name not in known]
    assert all(name.endswith(".moe.bias") for name in names), names
    return {name: (shape.moe.experts,) for name in names if shape.moe is not None}


def _tensor(name: str, get: Callable[[str], torch.Tensor], shapes: Mapping[str, tuple[int, ...]]) -> torch.Tensor:
    try:
        return get(name)
    except KeyError:
        assert name.endswith(".moe.bias"), name
        return torch.zeros(shapes[name])


def _cut(entries: list[Entry], shapes: Mapping[str, tuple[int, ...]]) -> list[list[Entry]]:
    """Files of about SHARD_BYTES; an entry is never cut."""
    shards: list[list[Entry]] = [[]]
    held = 0
    for entry in entries:
        size = sum(4 * torch.Size(found).numel() for found in entry.file_shapes(shapes).values())
        if shards[-1] and held + size > SHARD_BYTES:
            shards.append([])
            held = 0
        shards[-1].append(entry)
        held += size
    return shards
