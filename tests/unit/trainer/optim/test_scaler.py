"""The loss scale of fp16: halved by an overflow, doubled after many clean steps, kept in the manifest."""

from ultrathink_trainer.optim.scaler import CLEAN_STEPS, FIRST_SCALE, LAST_SCALE, Scaler


def test_an_overflow_halves_it_and_many_clean_steps_double_it() -> None:
    scaler = Scaler("fp16")
    scaler.overflowed()
    assert scaler.scale == FIRST_SCALE / 2
    for _ in range(CLEAN_STEPS - 1):
        scaler.succeeded()
    assert scaler.scale == FIRST_SCALE / 2
    scaler.succeeded()
    assert (scaler.scale, scaler.clean) == (FIRST_SCALE, 0)


def test_it_never_falls_below_one() -> None:
    scaler = Scaler("fp16")
    for _ in range(100):
        scaler.overflowed()
    assert scaler.scale == LAST_SCALE


def test_it_is_to_blame_only_while_it_can_fall() -> None:
    scaler = Scaler("fp16")
    blamed = [scaler.overflowed() for _ in range(20)]
    assert blamed == [True] * 16 + [False] * 4
    assert not Scaler("fp32").overflowed()


def test_a_restart_goes_on_with_it() -> None:
    scaler, again = Scaler("fp16"), Scaler("fp16")
    scaler.overflowed()
    scaler.succeeded()
    again.load(scaler.dump())
    assert (again.scale, again.clean) == (FIRST_SCALE / 2, 1)


def test_other_precisions_have_none() -> None:
    scaler = Scaler("bf16")
    scaler.overflowed()
    assert (scaler.scale, scaler.dump()) == (1.0, {})
