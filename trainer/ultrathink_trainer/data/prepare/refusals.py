"""Why text does not become a data set, in one place and one tone."""

from ultrathink_api.errors import Refused


def file_missing(name: str) -> Refused:
    return Refused.of("UTK0601", field=name, message=f"there is no {name}", fix="name files or folders that exist")


def unfit(name: str, why: str) -> Refused:
    return Refused.of(
        "UTK0218",
        field=name,
        message=f"{name} cannot be read as documents: {why}",
        fix="correct the file, or leave it out",
        why="what cannot be read is never left out silently",
    )


def tokenizer_unfit(name: str, why: str, fix: str = "") -> Refused:
    return Refused.of(
        "UTK0219",
        field="--tokenizer",
        message=f"{name} cannot be used: {why}",
        fix=fix or "name a tokenizer.json, such as `utk tokenizer train` writes",
    )


def exists(uri: str, why: str) -> Refused:
    return Refused.of("UTK0204", field="--to", message=f"{uri}: {why}", fix="name another place with --to")
