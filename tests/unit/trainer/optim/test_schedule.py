"""Learning rates against torch's own schedulers and the published formulas."""

import pytest
import torch
from torch.optim import lr_scheduler

from ultrathink_api.sections.training import ScheduleSpec
from ultrathink_trainer.optim.schedule import learning_rate

PEAK, STEPS, WARMUP, FLOOR = 2e-3, 50, 10, 0.1


def ours(name: str, **fields: object) -> list[float]:
    schedule = ScheduleSpec.model_validate({"name": name, "warmupSteps": WARMUP, "minRatio": FLOOR, **fields})
    return [learning_rate(step, peak=PEAK, steps=STEPS, schedule=schedule) for step in range(1, STEPS + 1)]


def torchs(decay: type[lr_scheduler.LRScheduler], **settings: object) -> list[float]:
    """Linear warm-up to the peak, then torch's scheduler over what is left; its state 0 is the last warm-up step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=PEAK)
    scheduler = decay(optimizer, **settings)
    rates = [PEAK * step / WARMUP for step in range(1, WARMUP)]
    for _ in range(WARMUP, STEPS + 1):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_is_torchs_cosine_annealing() -> None:
    expected = torchs(lr_scheduler.CosineAnnealingLR, T_max=STEPS - WARMUP, eta_min=PEAK * FLOOR)
    assert ours("cosine") == pytest.approx(expected, rel=1e-9)


def test_linear_is_torchs_linear() -> None:
    expected = torchs(lr_scheduler.LinearLR, start_factor=1.0, end_factor=FLOOR, total_iters=STEPS - WARMUP)
    assert ours("linear") == pytest.approx(expected, rel=1e-9)


def test_constant_is_torchs_constant() -> None:
    assert ours("constant") == pytest.approx(torchs(lr_scheduler.ConstantLR, factor=1.0), rel=1e-12)


def test_wsd_is_stable_and_then_falls_in_a_line() -> None:
    rates = ours("wsd", decayFraction=0.2)
    decay = STEPS * 0.2
    assert rates[WARMUP - 1 : 40] == pytest.approx([PEAK] * 31)
    for step in range(41, STEPS + 1):
        share = (STEPS - step) / decay
        assert rates[step - 1] == pytest.approx(PEAK * (FLOOR + (1 - FLOOR) * share))


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd", "constant"])
def test_warm_up_rises_to_the_peak_and_nothing_exceeds_it(name: str) -> None:
    rates = ours(name)
    assert rates[:WARMUP] == pytest.approx([PEAK * step / WARMUP for step in range(1, WARMUP + 1)])
    assert max(rates) == pytest.approx(PEAK)
    assert rates[-1] == pytest.approx(PEAK if name == "constant" else PEAK * FLOOR)


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd", "constant"])
def test_a_run_of_one_step_without_warm_up_has_a_rate(name: str) -> None:
    schedule = ScheduleSpec.model_validate({"name": name, "warmupSteps": 0, "minRatio": FLOOR})
    assert 0 < learning_rate(1, peak=PEAK, steps=1, schedule=schedule) <= PEAK
