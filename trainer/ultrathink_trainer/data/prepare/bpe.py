"""A byte-level BPE tokenizer learned from text: it can write every text, and knows no word for what it has not seen."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ultrathink_api.errors import Refused

from .documents import clean, read
from .inputs import find
from .refusals import unfit

END = "<|endoftext|>"
BYTES = 256


def train(
    inputs: Sequence[str],
    to: str,
    *,
    vocabulary: int,
    min_frequency: int,
    field: str,
    separator: str = "",
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> int:
    """Writes tokenizer.json and returns how many ids it has; the same text gives the same file. Raises Refused."""
    path = Path(to)
    if path.exists():
        raise Refused.of("UTK0607", field="--to", message=f"{to} exists", fix="name another file with --to")
    units = find(inputs)
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=min_frequency,
        special_tokens=[END],
        # Sorted: the library hands it out in another order each time.
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    failed: list[Refused] = []
    count = 0

    def texts() -> Iterator[str]:
        nonlocal count
        try:
            for number, unit in enumerate(units):
                on_progress(number, len(units))
                for text in map(clean, read(unit, field, separator)):
                    count += bool(text.strip())
                    yield text
        except Refused as refused:  # the library would turn it into its own
            failed.append(refused)
        on_progress(len(units), len(units))

    tokenizer.train_from_iterator(texts(), trainer)
    if failed:
        raise failed[0]
    if not count:
        raise unfit(", ".join(inputs), "no document is left to learn from")
    _write(path, tokenizer.to_str(pretty=True))
    return int(tokenizer.get_vocab_size())


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and never over another."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.link(unfinished, path)
        finally:
            Path(unfinished).unlink()
    except FileExistsError as taken:
        raise Refused.of("UTK0607", field="--to", message=f"{path} exists", fix="name another file") from taken
    except OSError as error:
        raise Refused.of(
            "UTK0600", field="--to", message=f"{path} cannot be written: {error.strerror}", fix="name another place"
        ) from error
