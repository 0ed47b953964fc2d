"""Data sets as a person asks for them: made of text, checked, and the tokenizers that they need."""

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ultrathink_api.errors import Refused

NEEDED = ("numpy", "pyarrow", "tokenizers", "zstandard")
OnProgress = Callable[[str, int, int], None]


def prepared(
    inputs: Sequence[str],
    to: str,
    *,
    tokenizer: str,
    end_token: str = "",
    field: str = "text",
    separator: str = "",
    min_characters: int = 1,
    held_out: float = 0.01,
    shard_tokens: int = 1 << 27,
    workers: int = 0,
    work: str = "",
    on_progress: OnProgress = lambda *_: None,
) -> dict[str, Any]:
    """Makes token shards of text and says what became of it. Called again after a kill it goes on."""
    _refuse_without_trainer()
    from ultrathink_trainer.data.prepare.prepare import Order, prepare
    from ultrathink_trainer.data.prepare.tokenise import open_recipe

    order = Order(
        inputs=inputs,
        to=uri_of(to),
        recipe=open_recipe(tokenizer, end_token, field=field, separator=separator, min_characters=min_characters),
        held_out=held_out,
        workers=workers or os.cpu_count() or 1,
        work=Path(work) if work else None,
        shard_tokens=shard_tokens,
    )
    index = prepare(order, on_progress=on_progress)
    return {
        "uri": order.to,
        "vocabulary": index.vocabulary,
        "tokenizer": index.tokenizer.sha256,
        "splits": {
            name: {"documents": split.documents, "tokens": split.tokens, "shards": len(split.shards)}
            for name, split in index.splits.items()
        },
        "dropped": index.made["dropped"],
    }


def checked(uri: str, on_progress: OnProgress = lambda *_: None) -> dict[str, Any]:
    """What is wrong with a data set, or that nothing is."""
    _refuse_without_trainer()
    from ultrathink_trainer.data.prepare.check import check

    return check(uri_of(uri), on_progress=lambda done, of: on_progress("check", done, of))


def tokenizer_trained(
    inputs: Sequence[str],
    to: str,
    *,
    vocabulary: int,
    min_frequency: int = 2,
    field: str = "text",
    separator: str = "",
    on_progress: OnProgress = lambda *_: None,
) -> dict[str, Any]:
    """Learns a byte-level BPE tokenizer and writes its file."""
    _refuse_without_trainer()
    from ultrathink_trainer.data.prepare.bpe import END, train

    size = train(
        inputs,
        to,
        vocabulary=vocabulary,
        min_frequency=min_frequency,
        field=field,
        separator=separator,
        on_progress=lambda done, of: on_progress("read", done, of),
    )
    return {"file": to, "vocabulary": size, "endToken": END}


def uri_of(place: str) -> str:
    """A URI; a bare path is a folder of this machine."""
    return place if "://" in place else f"file://{Path(place).absolute()}"


def _refuse_without_trainer() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Refused.of(
            "UTK0606",
            message=f"to work with data {' and '.join(missing)} must be installed",
            fix="pip install 'ultrathink[cli,trainer]'",
        )
