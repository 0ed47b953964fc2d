"""Which Ray is too old to be started: one that knows no tokens, or that unpickles what it reads."""

import pytest

from ultrathink_trainer.runtime import raynode


@pytest.mark.parametrize(
    ("version", "safe"),
    [("2.60.0", True), ("2.56.0", True), ("3.0.0.dev0", True), ("2.55.9", False), ("2.9.3", False), ("main", False)],
)
def test_a_version_is_compared_by_numbers(monkeypatch: pytest.MonkeyPatch, version: str, safe: bool) -> None:
    monkeypatch.setattr(raynode, "version", lambda name: version)
    problem = raynode.too_old()
    assert (problem is None) is safe
    if problem:
        assert (problem.code, "2.56" in problem.fix, version in problem.message) == ("UTK0411", True, True)
