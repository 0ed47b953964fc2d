"""Whether memory killed a rank: the real allocator's words, and both versions of the kernel's count."""

from pathlib import Path

import torch

from ultrathink_trainer.runtime import memory


def test_a_refusal_of_the_allocator_is_known() -> None:
    try:
        torch.empty(1 << 50, dtype=torch.uint8)
    except Exception as error:
        assert memory.is_short(error)
    else:
        raise AssertionError("a pebibyte was given")


def test_other_errors_are_not_laid_to_memory() -> None:
    assert memory.is_short(MemoryError())
    assert not memory.is_short(RuntimeError("Connection closed by peer"))


def test_the_count_of_a_group_is_read_in_either_version(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("4:memory:/pod\n0::/\n")
    (tmp_path / "memory/pod").mkdir(parents=True)
    (tmp_path / "memory/pod/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert memory.kills(tmp_path, membership) == 3
    membership.write_text("0::/pod\n")
    (tmp_path / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    assert memory.kills(tmp_path, membership) == 1
    assert memory.kills(tmp_path / "nothing", membership) == 0
