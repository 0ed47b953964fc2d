"""A small corpus in files, and a tokenizer that was really learned from it."""

import json
from pathlib import Path
from typing import Any

from ultrathink_store import open_store
from ultrathink_trainer.data.index import Index
from ultrathink_trainer.data.prepare import bpe
from ultrathink_trainer.data.prepare.prepare import OnProgress, Order, prepare
from ultrathink_trainer.data.prepare.tokenise import open_recipe
from ultrathink_trainer.data.stories import Stories, decode

DOCUMENTS = 120


def texts(count: int = DOCUMENTS) -> list[str]:
    stories = Stories(seed=5, length=60)
    return [decode(stories.row(number)) for number in range(count)]


def write_jsonl(path: Path, documents: list[str], field: str = "text") -> Path:
    path.write_text("".join(json.dumps({field: text}) + "\n" for text in documents))
    return path


def tokenizer(folder: Path, vocabulary: int = 320) -> Path:
    path = folder / "tokenizer.json"
    if not path.exists():
        source = write_jsonl(folder / "for-the-tokenizer.jsonl", texts())
        bpe.train([str(source)], str(path), vocabulary=vocabulary, min_frequency=2, field="text")
        source.unlink()
    return path


def prepared(
    folder: Path, *inputs: Path, to: str = "out", on_progress: OnProgress = lambda *_: None, **options: Any
) -> Index:
    recipe = {name: options.pop(name) for name in ("field", "separator", "min_characters") if name in options}
    order = Order(
        inputs=[str(path) for path in inputs],
        to=to if "://" in to else f"file://{folder / to}",
        recipe=open_recipe(str(tokenizer(folder)), **recipe),
        **{"held_out": 0.2, "workers": 1, "shard_tokens": 1_000, **options},
    )
    return prepare(order, on_progress=on_progress)


def documents_of(uri: str, index: Index, split: str, tokenizer_file: Path) -> list[str]:
    """The documents of a split as text again, read without the trainer."""
    import numpy
    from tokenizers import Tokenizer

    store, model = open_store(uri), Tokenizer.from_file(str(tokenizer_file))
    pieces = []
    for shard in index.splits[split].shards:
        data = store.read(shard.file)
        assert data[:8] == b"UTKTOKEN"
        pieces.append(numpy.frombuffer(data, "<u2", count=shard.tokens, offset=64))
    tokens = numpy.concatenate(pieces)
    cuts = numpy.flatnonzero(tokens == index.end_token)
    assert cuts[-1] == len(tokens) - 1
    return [model.decode(part.tolist()) for part in numpy.split(tokens, cuts)[:-1]]
