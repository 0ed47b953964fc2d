"""A plan adds up, and what cannot be planned is refused with its code and field."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ultrathink_api.errors import Refused
from ultrathink_api.job import UltraThinkJob
from ultrathink_api.sections.model import PRESET_NAMES
from ultrathink_planner import Plan, plan
from ultrathink_planner.layout import BYTES, stages
from ultrathink_planner.parameters import parameters
from ultrathink_planner.plan import ESTIMATES, digest_of
from ultrathink_planner.presets import PRESETS
from vectors.reading import changed


def planned(**change: object) -> Plan:
    return plan(UltraThinkJob.parse(changed({k.replace("__", "."): v for k, v in change.items()})).spec)


def refused(**change: object) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as caught:
        planned(**change)
    return [(p.code, p.field) for p in caught.value.problems]


def test_the_smallest_job_is_data_parallel_and_defaults_come_from_its_preset() -> None:
    result = planned()
    assert (result.world_size, result.nodes, result.ranks_per_node) == (2, 2, 1)
    assert (result.mesh.pipeline, result.mesh.data, result.mesh.tensor) == (1, 2, 1)
    assert (result.batch.tokens, result.batch.rows, result.batch.rows_per_data_rank) == (2048, 16, 8)
    assert result.optimizer.lr == PRESETS["moe-tiny"].lr
    assert (result.checkpoint.interval_steps, result.checkpoint.interval_seconds) == (20, 600.0)
    assert result.validation_every == 50


def test_deepspeed_cuts_as_much_as_torch_does_unless_told_otherwise() -> None:
    assert (planned().engine, planned().zero_stage) == ("torch", None)
    assert planned(training__engine="deepspeed").zero_stage == 3
    assert planned(training__engine="deepspeed", training__zero={"stage": 1}).zero_stage == 1


def test_what_deepspeed_cannot_do_is_refused_all_at_once() -> None:
    assert refused(
        workers__count=8,
        parallelism={"tensor": 2},
        training__engine="deepspeed",
        training__optimizer={"name": "lion"},
        training__precision="fp16",
    ) == [
        ("UTK0180", "spec.training.engine"),
        ("UTK0181", "spec.training.optimizer.name"),
        ("UTK0182", "spec.training.precision"),
    ]
    assert refused(training__zero={"stage": 2}) == [("UTK0183", "spec.training.zero")]


def test_each_stage_of_zero_takes_less_of_a_rank() -> None:
    held = [
        planned(workers__count=4, training__engine="deepspeed", training__zero={"stage": stage})
        .per_rank[0]
        .memory_bytes
        for stage in (1, 2, 3)
    ]
    assert held[0].optimizer == held[2].optimizer
    assert held[0].gradients > held[1].gradients == held[2].gradients
    assert held[0].parameters == held[1].parameters > held[2].parameters


def test_gpus_are_ranks_of_a_worker() -> None:
    result = planned(workers={"count": 2, "gpus": 2}, parallelism={"tensor": 2})
    assert (result.world_size, result.nodes, result.ranks_per_node) == (4, 2, 2)
    assert (result.mesh.data, result.mesh.tensor) == (2, 2)


def test_the_batch_never_depends_on_the_number_of_workers() -> None:
    assert planned(workers__count=1).batch.tokens == planned(workers__count=8).batch.tokens


def test_tokens_are_rounded_up_to_whole_steps() -> None:
    assert planned(training={"tokens": 2049}).steps == 2


def test_a_plan_survives_json_and_its_digest_is_its_own() -> None:
    result = planned()
    for one in (result, planned(model__preset="dense-tiny"), planned(checkpoint={"every": {"steps": 7}})):
        assert Plan.model_validate(one.dump()) == one
    assert result.digest == planned().digest
    assert result.digest != planned(training={"steps": 200, "seed": 1}).digest


def test_what_the_planner_only_estimates_is_not_in_the_digest() -> None:
    result = planned(model__preset="dense-tiny")
    (rank,) = result.per_rank
    unknown = dict.fromkeys(ESTIMATES)
    guessed = rank.model_copy(update={"memory_bytes": rank.memory_bytes.model_copy(update=unknown)})
    assert guessed != rank
    assert digest_of(result.model_copy(update={"per_rank": (guessed,), "digest": ""})) == result.digest


def test_only_what_is_said_about_checkpoints_counts() -> None:
    assert planned(checkpoint={"every": {"steps": 7}}).checkpoint.interval_seconds is None
    minutes = planned(checkpoint={"every": {"minutes": 2}}).checkpoint
    assert (minutes.interval_steps, minutes.interval_seconds) == (None, 120.0)
    auto = planned(checkpoint={"every": {"auto": True}}).checkpoint
    assert (auto.auto, auto.interval_steps, auto.interval_seconds) == (True, None, 3_600.0)
    most = planned(checkpoint={"every": {"auto": True, "minutes": 5}}).checkpoint
    assert (most.auto, most.interval_steps, most.interval_seconds) == (True, None, 300.0)


def test_a_stage_of_the_curriculum_begins_at_the_first_row_of_its_step() -> None:
    mixture = [{"uri": "s3://corpora/a"}, {"uri": "s3://corpora/b"}]
    curriculum = [{"fromStep": 30, "weights": [0, 1]}, {"fromStep": 11, "weights": [1, 3]}]
    made = planned(data={"mixture": mixture, "curriculum": curriculum})
    assert made.curriculum is not None
    assert [(stage.first_row, stage.weights) for stage in made.curriculum] == [
        (10 * made.batch.rows, (1, 3)),
        (29 * made.batch.rows, (0, 1)),
    ]


ROWS_OF_66 = {"data__sequenceLength": 66, "training__globalBatchTokens": 660}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"workers__count": 3, "parallelism": {"tensor": 2}}, [("UTK0108", "spec.parallelism")]),
        ({"workers__count": 4, "parallelism": {"data": 2}}, [("UTK0107", "spec.parallelism")]),
        (
            {"workers__count": 8, "parallelism": {"tensor": 8}},
            [("UTK0115", "spec.model.heads"), ("UTK0115", "spec.model.kvHeads")],
        ),
        ({"workers__count": 5, "parallelism": {"pipeline": 5}}, [("UTK0116", "spec.parallelism.pipeline")]),
        ({"parallelism": {"context": 2}, **ROWS_OF_66}, [("UTK0143", "spec.data.sequenceLength")]),
        (
            {"workers__count": 12, "parallelism": {"tensor": 4, "context": 3}, **ROWS_OF_66},
            [("UTK0115", "spec.data.sequenceLength")],
        ),
        ({"workers__count": 3}, [("UTK0112", "spec.training.globalBatchTokens")]),
        ({"data__sequenceLength": 1024}, [("UTK0118", "spec.data.sequenceLength")]),
        ({"training__microBatchSequences": 3}, [("UTK0126", "spec.training.microBatchSequences")]),
        ({"model__moe": {"topK": 9}}, [("UTK0117", "spec.model.moe.topK")]),
        ({"model__moe": {"topK": 1}}, [("UTK0129", "spec.model.moe.normTopK")]),
        ({"model__kvHeads": 3}, [("UTK0114", "spec.model.kvHeads")]),
        ({"model__ropeFraction": 0.1}, [("UTK0120", "spec.model.ropeFraction")]),
        ({"model__moe": {"layers": [2, 1]}}, [("UTK0151", "spec.model.moe.layers")]),
        ({"model__moe": {"layers": [3, 4]}}, [("UTK0151", "spec.model.moe.layers")]),
        ({"model__preset": "moe-huge"}, [("UTK0121", "spec.model.preset")]),
    ],
)
def test_what_is_not_legal_is_refused_by_code(change: dict, expected: list[tuple[str, str]]) -> None:
    assert refused(**change) == expected


def test_every_preset_that_the_api_names_has_a_shape() -> None:
    assert sorted(PRESETS) == sorted(PRESET_NAMES)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_stages_are_cut_where_the_dearest_is_cheapest(count: int) -> None:
    shape = PRESETS["moe-tiny"].shape.model_copy(update={"layers": 6})
    layer = sum(p.active for p in parameters(shape) if p.layer == 0)
    head = shape.vocabulary * shape.hidden

    def dearest(edges: tuple[int, ...]) -> int:
        return max((b - a) * layer + (head if b == 6 else 0) for a, b in pairwise(edges))

    best = min(dearest((0, *cuts, 6)) for cuts in combinations(range(1, 6), count - 1))
    cut = stages(shape, count)
    assert dearest((0, *(s.last_layer for s in cut))) == best
    assert [s.first_layer for s in cut[1:]] == [s.last_layer for s in cut[:-1]]
    assert [s.embedding for s in cut] == [True] + [False] * (count - 1)
    assert [s.head for s in cut] == [False] * (count - 1) + [True]


specs = st.fixed_dictionaries(
    {
        "workers.count": st.integers(1, 16),
        "workers.gpus": st.integers(0, 4),
        "parallelism": st.fixed_dictionaries(
            {
                "tensor": st.sampled_from([1, 2, 3, 4]),
                "pipeline": st.integers(1, 5),
                "context": st.sampled_from([1, 1, 2, 3]),
            }
        ),
        "model.preset": st.sampled_from(sorted(PRESETS)),
        "data.sequenceLength": st.sampled_from([32, 48, 128, 512, 1024]),
        "training.globalBatchTokens": st.sampled_from([1024, 2048, 3072, 8192]),
    }
)


@settings(max_examples=300, deadline=None)
@given(specs)
def test_a_spec_is_refused_with_fixes_or_its_plan_adds_up(change: dict) -> None:
    spec = UltraThinkJob.parse(changed(change)).spec
    try:
        result = plan(spec)
    except Refused as error:
        assert all(p.fix and p.field.startswith("spec.") for p in error.problems)
        return
    mesh, batch = result.mesh, result.batch
    assert mesh.pipeline * mesh.stage_ranks == result.world_size == result.nodes * result.ranks_per_node
    assert batch.rows * batch.sequence_length == batch.tokens
    assert batch.rows_per_data_rank * mesh.data == batch.rows
    assert batch.micro_rows * batch.microbatches == batch.rows_per_data_rank
    assert sum(s.last_layer - s.first_layer for s in result.stages) == result.model.layers
    held = sum(m.memory_bytes.parameters for m in result.per_rank) * mesh.stage_ranks
    assert held >= result.parameters.total * BYTES[result.precision]


def test_bytes_of_one_rank_are_all_the_parameters() -> None:
    result = planned(workers__count=1)
    rank = result.per_rank[0].memory_bytes
    tensors = len(list(parameters(result.model)))
    assert rank.parameters == rank.gradients == 4 * result.parameters.total
    assert rank.optimizer == 2 * rank.parameters + 4 * tensors
    assert result.checkpoint.bytes == rank.parameters + rank.optimizer
