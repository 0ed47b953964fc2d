"""Every layout trains the same model: losses within 1e-10, parameters within 1e-8 of each tensor's largest value.

Here is the core that every test run affords; `make equality` runs all layouts.
"""

import pytest

from distributed.equality import (
    ADAPTIVE,
    ALL,
    BALANCED,
    FAMILIES,
    FLOAT32_TOLERANCE,
    MODELS,
    difference,
    float32_difference,
)
from distributed.layouts import ALONE, AXES, CORE_LARGEST, LAYOUTS, core_layouts, legal_layouts, name_of
from distributed.mutations import MUTATIONS, mutated, source

CORE = core_layouts()
PAIRS = [(model, layout) for model in MODELS for layout in CORE if CORE[layout] in legal_layouts(MODELS[model])]


@pytest.mark.parametrize("model", ALL)
def test_one_process_trains_as_the_plain_loop_does(model: str) -> None:
    assert difference(model, ALONE).too_far == {}


def test_tied_embeddings_stay_tied_when_cut() -> None:
    assert difference("tied", LAYOUTS["data 2, tensor 2"]).too_far == {}


@pytest.mark.parametrize("layout", ["data 2, tensor 2", "pipeline 2, tensor 2", "pipeline 4", "context 4"])
def test_what_families_have_is_cut_as_the_rest(layout: str) -> None:
    """In a pipeline of four two stages have no experts."""
    assert difference(FAMILIES, LAYOUTS[layout]).too_far == {}


@pytest.mark.parametrize(("model", "layout"), PAIRS)
def test_a_layout_trains_as_the_plain_loop_does(model: str, layout: str) -> None:
    assert difference(model, CORE[layout]).too_far == {}


@pytest.mark.parametrize("layout", ["data 2, tensor 2", "pipeline 2, data 2", "context 2, tensor 2"])
@pytest.mark.parametrize("model", [*BALANCED, *ADAPTIVE])
def test_balance_and_drops_are_the_same_in_every_layout(model: str, layout: str) -> None:
    assert difference(model, LAYOUTS[layout]).too_far == {}


@pytest.mark.parametrize("layout", ["data 2", "tensor 2", "pipeline 2", "data 2, tensor 2", "context 2"])
def test_in_float32_with_the_grouped_kernel_the_first_step_is_the_same(layout: str) -> None:
    assert float32_difference(LAYOUTS[layout]) <= FLOAT32_TOLERANCE


def test_every_axis_is_cut_at_every_size_and_beside_every_other() -> None:
    legal = legal_layouts(MODELS["experts"])
    assert len({name_of(layout) for layout in legal}) == len(legal)
    assert {(axis, layout[axis]) for layout in legal for axis in layout} == {(a, n) for a in AXES for n in (2, 4, 8)}
    assert len(CORE) <= CORE_LARGEST


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_mutation_still_fits_the_code(mutation) -> None:  # type: ignore[no-untyped-def]
    """If this fails, the code that it names has moved: say the mutation anew."""
    text = source(mutation)
    assert text.count(mutation.old) == 1
    assert mutated(mutation) != text
