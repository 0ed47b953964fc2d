"""index.json of a data set: its shards, counts and hashes; written last, so that what has one is whole."""

import hashlib
import json
from typing import Any, Literal

from pydantic import Field, ValidationError

from ultrathink_api.base import Section

FILE = "index.json"
FORMAT: Literal["ultrathink-tokens/1"] = "ultrathink-tokens/1"
TRAIN, HELD_OUT = "train", "held-out"
SHA256 = "^[0-9a-f]{64}$"


class ShardEntry(Section):
    """One shard."""

    file: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/-]*$", description="Key below the data set.")
    tokens: int = Field(ge=1, description="Tokens in it.")
    bytes: int = Field(ge=1, description="Size of the file.")
    sha256: str = Field(pattern=SHA256, description="Hash of the file.")


class Split(Section):
    """One part of the data; no document is in two."""

    documents: int = Field(ge=0, description="Documents in it.")
    tokens: int = Field(ge=0, description="Tokens, end tokens included.")
    shards: tuple[ShardEntry, ...] = Field(description="In the order of their tokens.")


class TokenizerEntry(Section):
    """What made tokens of text."""

    file: str = Field(description="Its file below the data set.")
    sha256: str = Field(pattern=SHA256, description="Hash of that file.")


class Index(Section):
    """A data set."""

    format: Literal["ultrathink-tokens/1"] = Field(default=FORMAT, description="Version of the layout.")
    dtype: Literal["uint16", "uint32"] = Field(description="How a token is kept.")
    vocabulary: int = Field(ge=1, description="Token ids are below it.")
    end_token: int = Field(ge=0, description="Stands behind each document.")
    tokenizer: TokenizerEntry = Field(description="What made tokens of text.")
    splits: dict[str, Split] = Field(description="train, which is learned from, and held-out, which measures.")
    made: dict[str, Any] = Field(default={}, description="How it was made; for people.")

    @property
    def digest(self) -> str:
        """Fingerprint of the tokens and of nothing else: not of where they lie, nor of when they were made."""
        said = [
            [self.dtype, self.tokenizer.sha256],
            *([name, *(shard.sha256 for shard in self.splits[name].shards)] for name in sorted(self.splits)),
        ]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def encode(self) -> bytes:
        return (json.dumps(self.dump(), indent=1) + "\n").encode()


def decode(data: bytes) -> Index:
    """Raises ValueError with one line of why not."""
    try:
        index = Index.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}") from error
    for name, split in index.splits.items():
        if sum(shard.tokens for shard in split.shards) != split.tokens:
            raise ValueError(f"the shards of {name} do not sum to its {split.tokens} tokens")
    return index
