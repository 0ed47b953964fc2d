"""What a START says of where its attempt comes from."""

import pytest

from ultrathink_store import Start
from ultrathink_store.lineage import LINEAGE, Lineage, digest, lineage, without_lineage
from ultrathink_store.records import Unreadable, decode, encode

SPEC = {"training": {"steps": 8, "optimizer": {"epsilon": 1e-08, "lr": 0.003}}, "deadlines": {"placementMinutes": 5.0}}
FOUND = Lineage(spec=SPEC, spec_digest=digest(SPEC), plan_digest="12f4", versions={"ultrathink": "0.1.0"})


def start(**detail: object) -> Start:
    return Start.model_validate({"epoch": 1, "createdAt": "then", "detail": detail})


def test_what_is_written_is_read_with_the_same_digest() -> None:
    assert lineage(decode(Start, encode(start(**{LINEAGE: FOUND.dump()})))) == FOUND


def test_the_order_of_names_does_not_change_the_digest() -> None:
    assert digest(dict(reversed(SPEC.items()))) == digest(SPEC)


def test_a_start_of_a_version_without_it_says_nothing() -> None:
    assert lineage(start(memorySince=1)) is None


def test_what_a_later_version_says_besides_is_passed_by() -> None:
    assert lineage(start(**{LINEAGE: {**FOUND.dump(), "weather": "fair"}})) == FOUND


@pytest.mark.parametrize(
    "said",
    [
        "a word",
        {"spec": SPEC},
        {**FOUND.dump(), "spec": {**SPEC, "task": "pretrain"}},
        {**FOUND.dump(), "specDigest": "0"},
    ],
    ids=["no object", "no digests", "another spec", "no digest"],
)
def test_what_is_damaged_is_refused(said: object) -> None:
    with pytest.raises(Unreadable):
        lineage(start(**{LINEAGE: said}))


def test_ranks_get_a_start_without_it() -> None:
    assert without_lineage(start(skips=[[1, 2]], **{LINEAGE: FOUND.dump()})) == start(skips=[[1, 2]])
