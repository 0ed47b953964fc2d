"""The chunked loss against torch's own: the same value, the same gradients, a fraction of the memory."""

import multiprocessing
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from ultrathink_trainer.model.cross_entropy import IGNORED, cross_entropy_sum

torch.set_num_threads(1)

LARGE_VOCABULARY = 131_072
SHARE_OF_MEMORY = 0.25


def plain(x: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    logits = (x @ weight.t()).flatten(0, 1)
    return F.cross_entropy(logits, labels.flatten(), ignore_index=IGNORED, reduction="sum")


def inputs(rows: int, width: int, vocabulary: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, rows // 2, width, generator=generator, dtype=dtype).requires_grad_()
    weight = torch.randn(vocabulary, width, generator=generator, dtype=dtype).mul_(0.1).requires_grad_()
    labels = torch.randint(vocabulary, (2, rows // 2), generator=generator)
    labels[0, :3] = IGNORED
    return x, weight, labels


@pytest.mark.parametrize("chunk_rows", [1, 5, 1000])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_value_and_gradients_are_torchs(chunk_rows: int, dtype: torch.dtype, tolerance: float) -> None:
    x, weight, labels = inputs(22, 16, 96, dtype)
    wanted = plain(x, weight, labels)
    scale = 1 / 7
    gradients = torch.autograd.grad(wanted * scale, (x, weight))
    found = cross_entropy_sum(x, weight, labels, logits_bytes=chunk_rows * 96 * dtype.itemsize)
    assert found.item() == pytest.approx(wanted.item(), rel=tolerance)
    for ours, theirs in zip(torch.autograd.grad(found * scale, (x, weight)), gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_rows_without_a_label_cost_nothing() -> None:
    x, weight, labels = inputs(8, 4, 16, torch.float32)
    found = cross_entropy_sum(x, weight, torch.full_like(labels, IGNORED))
    assert found.item() == 0
    assert all(gradient.abs().max() == 0 for gradient in torch.autograd.grad(found, (x, weight)))


def test_large_logits_do_not_overflow() -> None:
    x, weight, labels = inputs(8, 4, 16, torch.float32)
    assert cross_entropy_sum(x * 1e4, weight, labels).isfinite()


def test_at_a_large_vocabulary_it_takes_a_quarter_of_the_memory() -> None:
    ours, theirs = peak_bytes(cross_entropy_sum), peak_bytes(plain)
    assert ours <= SHARE_OF_MEMORY * theirs, f"{ours >> 20} MiB against {theirs >> 20} MiB"


def peak_bytes(loss) -> int:  # type: ignore[no-untyped-def]
    """Memory beyond the inputs that forward and backward need, of a process of its own."""
    context = multiprocessing.get_context("fork")
    answer, sender = context.Pipe(duplex=False)

    def work() -> None:
        x, weight, labels = inputs(1024, 16, LARGE_VOCABULARY, torch.float32)
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before = resident("VmRSS")
        loss(x, weight, labels).backward()
        sender.send(resident("VmHWM") - before)
        os._exit(0)

    child = context.Process(target=work)
    child.start()
    assert answer.poll(120), "no answer"
    peak: int = answer.recv()
    child.join()
    return peak


def resident(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
