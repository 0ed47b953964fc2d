"""Copies in memory: whole or not there, the same on all ranks or not used."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ultrathink_api.causes import Cause
from ultrathink_store import Epoch, Start
from ultrathink_trainer.checkpoint.copies import MAGIC, Copies, LeftOut, common, free_bytes
from ultrathink_trainer.checkpoint.held import hold
from ultrathink_trainer.supervisor.ledger import MEMORY_SINCE, memory_since

State = dict[str, torch.Tensor]


@pytest.fixture
def fds() -> Iterator[list[int]]:
    made = [os.memfd_create(f"copy-{turn}") for turn in range(2)]
    yield made
    for fd in made:
        os.close(fd)


def opened(fds: list[int], *, rank: int = 0, since: int = 0, every: int = 1, free: int = 1 << 30) -> Copies:
    return Copies(fds, every=every, run="run", rank=rank, since=since, free=free)


def state(value: float) -> State:
    return {
        "w": torch.full((5, 3), value),
        "b": torch.full((7,), value, dtype=torch.bfloat16),
        "n": torch.full((), int(value), dtype=torch.int64),
    }


def write(copies: Copies, epoch: int, step: int) -> None:
    copies.write(hold(state(float(step))), {"step": step}, epoch=epoch, step=step)


def test_what_was_copied_is_read_by_whoever_comes_after(fds: list[int]) -> None:
    write(opened(fds), 1, 41)
    heir = opened(fds)
    (offer,) = heir.offers()
    live = state(0.0)
    assert heir.fits(offer, hold(live))
    assert heir.read(offer, hold(live)) == {"step": 41}
    assert all(torch.equal(live[name], tensor) for name, tensor in state(41.0).items())


def test_two_generations_stay_and_the_older_is_written_over(fds: list[int]) -> None:
    copies = opened(fds)
    for step in (1, 2, 3):
        write(copies, 1, step)
    assert sorted(step for _, step, _ in copies.offers()) == [2, 3]
    assert sorted(step for _, step, _ in opened(fds).offers()) == [2, 3]


def test_one_that_was_not_written_to_its_end_is_not_there(fds: list[int]) -> None:
    write(opened(fds), 1, 1)
    os.pwrite(fds[0], bytes(len(MAGIC)), 0)
    assert opened(fds).offers() == []


def test_one_whose_words_were_changed_is_not_there(fds: list[int]) -> None:
    write(opened(fds), 1, 1)
    os.pwrite(fds[0], b"?", 60)
    assert opened(fds).offers() == []


def test_another_ranks_copy_and_one_before_a_rollback_are_not_offered(fds: list[int]) -> None:
    write(opened(fds), 3, 10)
    assert opened(fds, rank=1).offers() == []
    assert opened(fds, since=4).offers() == []
    assert len(opened(fds, since=3).offers()) == 1


def test_another_layout_does_not_fit(fds: list[int]) -> None:
    copies = opened(fds)
    write(copies, 1, 10)
    assert not copies.fits(copies.offers()[0], hold({"w": torch.zeros(3, 5)}))


def test_what_has_no_room_is_left_out(fds: list[int]) -> None:
    with pytest.raises(LeftOut, match="bytes are free"):
        write(opened(fds, free=1 << 20), 1, 1)
    assert all(os.fstat(fd).st_size == 0 for fd in fds), "nothing was taken"


def test_copies_are_due_by_the_number_of_the_step_alone(fds: list[int]) -> None:
    assert [step for step in range(1, 10) if opened(fds, every=3).due(step)] == [3, 6, 9]


@pytest.mark.parametrize(
    ("offers", "at_least", "chosen"),
    [
        ([[(1, 5, "a"), (1, 6, "b")], [(1, 5, "a"), (1, 6, "b")]], 0, (1, 6, "b")),
        ([[(1, 5, "a"), (1, 6, "b")], [(1, 5, "a"), (1, 4, "c")]], 0, (1, 5, "a")),
        ([[(1, 5, "a")], [(1, 5, "other")]], 0, None),
        ([[(1, 5, "a")], [(2, 5, "a")]], 0, None),
        ([[(1, 5, "a")], []], 0, None),
        ([[(1, 5, "a")], [(1, 5, "a")]], 6, None),
        ([[(1, 5, "a")], [(1, 5, "a")]], 5, (1, 5, "a")),
        ([[[1, 9, "a"], [2, 7, "b"]], [[2, 7, "b"], [1, 9, "a"]]], 0, (2, 7, "b")),
    ],
)
def test_only_what_all_ranks_have_and_no_checkpoint_is_newer_than(
    offers: list[list[tuple[int, int, str]]], at_least: int, chosen: tuple[int, int, str] | None
) -> None:
    assert common(offers, at_least=at_least) == chosen


def test_memory_is_trusted_back_to_the_last_attempt_that_threw_state_away() -> None:
    def epochs(*since: int) -> list[Epoch]:
        starts = [Start(epoch=n, created_at="", detail={MEMORY_SINCE: s}) for n, s in enumerate(since, start=1)]
        return [Epoch(number=start.epoch, start=start) for start in starts]

    assert memory_since([], None, 1) == 1
    assert memory_since(epochs(1), Cause.RANK_LOST, 2) == 1
    assert memory_since(epochs(1, 1), Cause.NAN, 3) == 3
    assert memory_since(epochs(1, 1, 3), Cause.RANK_LOST, 4) == 3
    assert memory_since([Epoch(number=1, start=Start(epoch=1, created_at=""))], Cause.RANK_LOST, 2) == 2


def test_free_memory_is_the_control_groups_where_that_is_less(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 4000 kB\nMemAvailable: 2000 kB\n")
    assert free_bytes(tmp_path) == 2000 << 10
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("1000000\n")
    (tmp_path / "sys/fs/cgroup/memory.current").write_text("400000\n")
    assert free_bytes(tmp_path) == 600_000
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert free_bytes(tmp_path) == 2000 << 10
