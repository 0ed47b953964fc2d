"""Test runs that overlap share the machine's one cluster; who comes first must not take it from who stays longer."""

from pathlib import Path

import pytest

from testbed import cluster
from testbed.cluster import ProcessCluster


class Pretended(ProcessCluster):
    """Knows when it runs, and runs nothing."""

    def runs(self) -> bool:
        return self._complete.exists()

    def _bring_up(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        self._record.touch()
        self._complete.touch()

    def _end_processes(self) -> None:
        pass


@pytest.fixture(autouse=True)
def a_machine_of_our_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cluster, "_refuse_where_it_cannot_run", lambda: None)


def test_last_borrower_ends_it() -> None:
    first, second = Pretended().borrowed(), Pretended().borrowed()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert Pretended().runs()
    second.__exit__(None, None, None)
    assert not Pretended().runs()


def test_borrower_leaves_what_was_started_by_hand() -> None:
    Pretended().up()
    with Pretended().borrowed():
        pass
    assert Pretended().runs()


def test_cluster_started_for_a_test_can_be_kept_by_hand() -> None:
    with Pretended().borrowed():
        Pretended().up()
    assert Pretended().runs()


def test_down_waits_for_borrowers_unless_forced() -> None:
    with Pretended().borrowed():
        with pytest.raises(RuntimeError, match="--force"):
            Pretended().down()
        Pretended().down(force=True)
        assert not Pretended().runs()


def test_borrower_that_fails_still_ends_it() -> None:
    with pytest.raises(ZeroDivisionError), Pretended().borrowed():
        _ = 1 / 0
    assert not Pretended().runs()
