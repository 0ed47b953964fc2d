"""plan(): a spec becomes a plan, or is refused with every reason at once."""

from ultrathink_api.errors import Problem, Refused
from ultrathink_api.job import JobSpec
from ultrathink_api.rules.engine import ENGINE
from ultrathink_api.sections.training import ScheduleSpec, TrainingSpec, ZeroSpec
from ultrathink_planner.layout import checkpoint_bytes, rank_memory, stages, zero_memory
from ultrathink_planner.memory import Setting, fullest, update_bytes, with_fullest
from ultrathink_planner.parameters import parameters
from ultrathink_planner.plan import (
    Batch,
    CheckpointPlan,
    DataSource,
    DataStage,
    Mesh,
    Parameters,
    Plan,
    RankMemory,
    Stage,
    digest_of,
)
from ultrathink_planner.presets import Preset
from ultrathink_planner.resolve import Given, preset_of, resolve
from ultrathink_planner.shape import ModelShape, MoEShape

MICRO_ROWS = 8
"""Rows a rank computes at once unless told otherwise: enough to feed two cores, small enough for any memory."""
MICROBATCHES_PER_STAGE = 2
"""Micro-batches a pipeline stage wants, so that its bubble stays below a third."""
CHECKPOINTS_PER_RUN = 10
CHECKPOINT_SECONDS = 600.0
LONGEST_SECONDS = 3_600.0
"""Between two checkpoints of a job that finds the interval by itself."""
WARMUP_SHARE = 10
LONGEST_WARMUP = 2_000
VALIDATIONS_PER_RUN = 4


def plan(spec: JobSpec, given: Given | None = None) -> Plan:
    """The plan of a spec; `given` is what the folder of its model.from says, where that can be read. Raises Refused
    with all that is not legal."""
    preset = preset_of(spec.model)
    shape = resolve(spec.model, given)
    mesh = _mesh(spec)
    problems = [rule.problem() for rule in ENGINE if not rule.holds(spec)]
    problems += [*_model_problems(spec, shape), *_cut_problems(spec, shape, mesh)]
    batch, batch_problems = _batch(spec, min(preset.sequence_length, shape.max_positions), preset, mesh)
    problems += batch_problems
    if batch.sequence_length > shape.max_positions:
        problems.append(
            Problem(
                code="UTK0118",
                field="spec.data.sequenceLength",
                message=f"rows of {batch.sequence_length} tokens, but the model has {shape.max_positions} positions",
                fix=f"set data.sequenceLength to at most {shape.max_positions}, or raise model.maxPositions",
            )
        )
    problems += _length_problems(batch.sequence_length, mesh)
    if problems:
        raise Refused(*problems)
    made = _build(spec, preset, shape, mesh, batch)
    if given is not None:
        made = made.model_copy(update={"weights": given.uri})
    return made.model_copy(update={"digest": digest_of(made)})


def _build(spec: JobSpec, preset: Preset, shape: ModelShape, mesh: Mesh, batch: Batch) -> Plan:
    training = spec.training
    steps = training.steps if training.steps is not None else -(-(training.tokens or 1) // batch.tokens)
    cut = stages(shape, mesh.pipeline)
    every = spec.checkpoint.every
    unsaid = every.steps is None and every.minutes is None and not every.auto
    seconds = CHECKPOINT_SECONDS if unsaid else every.minutes and every.minutes * 60
    return Plan(
        world_size=mesh.pipeline * mesh.stage_ranks,
        nodes=spec.workers.count,
        ranks_per_node=max(spec.workers.gpus, 1),
        mesh=mesh,
        model=shape,
        parameters=Parameters(
            total=sum(p.count for p in parameters(shape)),
            active=sum(p.active for p in parameters(shape)),
        ),
        batch=batch,
        steps=steps,
        seed=training.seed,
        precision=training.precision,
        engine=training.engine,
        zero_stage=_zero_stage(training),
        optimizer=training.optimizer.model_copy(update={"lr": training.optimizer.lr or preset.lr}),
        schedule=_schedule(training.schedule, steps),
        clip_norm=1.0 if training.clip_norm is None else training.clip_norm,
        activation_checkpointing=training.activation_checkpointing,
        validation_every=training.validation.every_steps or max(1, steps // VALIDATIONS_PER_RUN),
        patience=training.validation.patience,
        stages=cut,
        per_rank=_rank_memory(shape, mesh, cut, training, batch, fused=spec.workers.gpus > 0),
        checkpoint=CheckpointPlan(
            bytes=checkpoint_bytes(shape, training.precision, training.optimizer.name),
            interval_steps=max(1, steps // CHECKPOINTS_PER_RUN) if unsaid else every.steps,
            interval_seconds=seconds or (LONGEST_SECONDS if every.auto else None),
            auto=every.auto,
            packed=True if spec.checkpoint.compression == "zstd" else None,
            grace_seconds=spec.checkpoint.grace_seconds,
        ),
        data=tuple(DataSource(uri=uri, weight=weight) for uri, weight in _sources(spec)),
        curriculum=_curriculum(spec, batch) or None,
        fingerprint=spec.data.fingerprint,
    )


def _sources(spec: JobSpec) -> list[tuple[str, int]]:
    if spec.data.uri is not None:
        return [(spec.data.uri, 1)]
    return [(source.uri, source.weight) for source in spec.data.mixture]


def _curriculum(spec: JobSpec, batch: Batch) -> tuple[DataStage, ...]:
    """A stage is of rows, so that which row comes when does not ask which step reads it."""
    stages = sorted(spec.data.curriculum, key=lambda stage: stage.from_step)
    return tuple(DataStage(first_row=(stage.from_step - 1) * batch.rows, weights=stage.weights) for stage in stages)


def _zero_stage(training: TrainingSpec) -> int | None:
    return (training.zero or ZeroSpec()).stage if training.engine == "deepspeed" else None


def _rank_memory(
    shape: ModelShape, mesh: Mesh, cut: tuple[Stage, ...], training: TrainingSpec, batch: Batch, *, fused: bool
) -> tuple[RankMemory, ...]:
    stage = _zero_stage(training)
    if stage is not None:
        return (zero_memory(shape, mesh, stage, training.precision),)
    held = rank_memory(shape, mesh, cut, training.precision, training.optimizer.name)
    setting = Setting(batch, training.precision, training.activation_checkpointing, fused)
    update = update_bytes(shape, mesh, training.precision, training.optimizer.name)
    return tuple(
        with_fullest(one, fullest(shape, mesh, stage, setting), update) for one, stage in zip(held, cut, strict=True)
    )


def _schedule(spec: ScheduleSpec, steps: int) -> ScheduleSpec:
    if spec.warmup_steps is not None:
        return spec
    return spec.model_copy(update={"warmup_steps": min(steps // WARMUP_SHARE, LONGEST_WARMUP)})


def _mesh(spec: JobSpec) -> Mesh:
    world = spec.workers.count * max(spec.workers.gpus, 1)
    cut = spec.parallelism.tensor * spec.parallelism.context * spec.parallelism.pipeline
    if world % cut:
        raise Refused(
            Problem(
                code="UTK0108",
                field="spec.parallelism",
                message=f"tensor x context x pipeline = {cut} does not divide the world size {world}",
                why="every rank must belong to exactly one (tensor, context, pipeline, data) cell",
                fix=f"choose the three so that their product divides {world}, or change workers.count",
            )
        )
    data = world // cut
    if spec.parallelism.data not in (None, data):
        raise Refused(
            Problem(
                code="UTK0107",
                field="spec.parallelism",
                message=f"tensor x context x pipeline = {cut}, x data {spec.parallelism.data} = "
                f"{cut * spec.parallelism.data}, but world size is {world}",
                why="every rank must belong to exactly one (tensor, context, pipeline, data) cell",
                fix=f"set parallelism.data: {data} or leave it out, or change workers.count",
            )
        )
    return Mesh(
        pipeline=spec.parallelism.pipeline,
        data=data,
        context=spec.parallelism.context,
        tensor=spec.parallelism.tensor,
        expert=spec.parallelism.expert,
    )


def _model_problems(spec: JobSpec, shape: ModelShape) -> list[Problem]:
    problems = []
    if shape.heads % shape.kv_heads:
        problems.append(
            Problem(
                code="UTK0114",
                field="spec.model.kvHeads",
                message=f"kvHeads {shape.kv_heads} does not divide heads {shape.heads}",
                fix="choose kvHeads as a divisor of heads",
            )
        )
    if shape.moe and shape.moe.top_k > shape.moe.experts:
        problems.append(
            Problem(
                code="UTK0117",
                field="spec.model.moe.topK",
                message=f"topK {shape.moe.top_k} of {shape.moe.experts} experts",
                fix=f"set moe.topK to at most {shape.moe.experts}",
            )
        )
    if shape.moe and shape.moe.top_k == 1 and shape.moe.norm_top_k:
        problems.append(
            Problem(
                code="UTK0129",
                field="spec.model.moe.normTopK",
                message="one expert a token, whose weight divided by itself is always 1: the router would never learn",
                fix="set moe.normTopK: false, or moe.topK to 2 or more",
            )
        )
    if shape.moe:
        problems += _group_problems(shape.moe)
    if shape.rotary_width % 2 or not shape.rotary_width:
        problems.append(
            Problem(
                code="UTK0120",
                field="spec.model.ropeFraction",
                message=f"{shape.rotary_width} of {shape.head_dim} numbers of a head would be rotated, in pairs",
                fix="choose ropeFraction so that headDim x ropeFraction is even and at least 2",
            )
        )
    problems += _expert_layer_problems(shape)
    if shape.dre:
        problems += _dre_problems(shape)
    if shape.tied_embeddings and spec.parallelism.pipeline > 1:
        problems.append(
            Problem(
                code="UTK0119",
                field="spec.model.tiedEmbeddings",
                message="tied embeddings would live on the first and on the last pipeline stage",
                fix="set model.tiedEmbeddings: false, or parallelism.pipeline: 1",
            )
        )
    return problems


def _group_problems(moe: MoEShape) -> list[Problem]:
    size, rest = divmod(moe.experts, moe.groups)
    if not rest and moe.top_groups <= moe.groups and min(moe.top_k, moe.experts) <= moe.top_groups * size:
        return []
    return [
        Problem(
            code="UTK0140",
            field="spec.model.moe.groups",
            message=f"{moe.experts} experts in {moe.groups} groups, of which a token may use {moe.top_groups}, "
            f"cannot give it {moe.top_k}",
            fix="groups divides experts, topGroups is at most groups, and the chosen groups hold topK experts",
        )
    ]


def _expert_layer_problems(shape: ModelShape) -> list[Problem]:
    layers = shape.moe.layers if shape.moe else None
    if layers is None or (list(layers) == sorted(set(layers)) and layers[0] >= 0 and layers[-1] < shape.layers):
        return []
    return [
        Problem(
            code="UTK0151",
            field="spec.model.moe.layers",
            message=f"{list(layers)} are not blocks of a model of {shape.layers}, each once and in order",
            fix=f"name blocks from 0 to {shape.layers - 1} in rising order",
        )
    ]


def _dre_problems(shape: ModelShape) -> list[Problem]:
    dre, moe = shape.dre, shape.moe
    assert dre is not None
    saving = min(dre.effort, *dre.efforts) < 1

    def problem(field: str, message: str, fix: str) -> list[Problem]:
        return [Problem(code="UTK0142", field=f"spec.model.{field}", message=message, fix=fix)]

    if moe is None:
        return problem("dre", "a dense model has no experts to skip", "choose a preset with experts, or set model.moe")
    if saving and dre.null_experts < moe.top_k:
        message = f"{dre.null_experts} null experts cannot fill {moe.top_k} slots"
        return problem("dre.nullExperts", message, f"set dre.nullExperts to at least {moe.top_k}")
    if dre.effort < min(dre.efforts):
        message = f"effort {dre.effort} is below all that training takes turns with"
        return problem("dre.effort", message, f"set dre.effort to at least {min(dre.efforts)}")
    if saving and (moe.capacity is not None or moe.balance == "micro"):
        message = "neither capacity nor balance per sequence knows of null experts"
        return problem("dre", message, "take moe.capacity out, and use moe.balance bias, global or none")
    return []


def _cut_problems(spec: JobSpec, shape: ModelShape, mesh: Mesh) -> list[Problem]:
    problems = []
    widths = {"heads": shape.heads, "kvHeads": shape.kv_heads, "vocabulary": shape.vocabulary}
    if not all(map(shape.has_experts, range(shape.layers))):
        widths["intermediate"] = shape.intermediate
    if shape.moe is not None and shape.moe.shared:
        widths["moe.intermediate"] = shape.moe.shared * shape.moe.intermediate
    for name, width in widths.items():
        if width % mesh.tensor:
            problems.append(_tensor(f"spec.model.{name}", name, width, mesh.tensor))
    if mesh.expert > 1 and (shape.moe is None or shape.moe.experts % mesh.expert or mesh.stage_ranks % mesh.expert):
        experts = shape.moe.experts if shape.moe else 0
        problems.append(
            Problem(
                code="UTK0141",
                field="spec.parallelism.expert",
                message=f"{mesh.expert} does not divide both {experts} experts and a stage's {mesh.stage_ranks} ranks",
                why="each rank of an expert group holds the same number of experts",
                fix="choose a common divisor of the two, or leave parallelism.expert out",
            )
        )
    if mesh.pipeline > shape.layers:
        problems.append(
            Problem(
                code="UTK0116",
                field="spec.parallelism.pipeline",
                message=f"{mesh.pipeline} pipeline stages for {shape.layers} layers",
                fix=f"set parallelism.pipeline to at most {shape.layers}",
            )
        )
    return problems


def _length_problems(length: int, mesh: Mesh) -> list[Problem]:
    if mesh.context > 1 and length % (2 * mesh.context):
        return [
            Problem(
                code="UTK0143",
                field="spec.data.sequenceLength",
                message=f"rows of {length} positions cannot be cut into {2 * mesh.context} equal pieces",
                why="each context rank gets two pieces of a row, one early and one late, so that all work alike",
                fix=f"choose data.sequenceLength as a multiple of {2 * mesh.context}, or another parallelism.context",
            )
        ]
    if length // mesh.context % mesh.tensor:
        return [_tensor("spec.data.sequenceLength", "sequenceLength / context", length // mesh.context, mesh.tensor)]
    return []


def _tensor(field: str, name: str, width: int, tensor: int) -> Problem:
    return Problem(
        code="UTK0115",
        field=field,
        message=f"{name} {width} is not a multiple of parallelism.tensor {tensor}",
        fix=f"choose parallelism.tensor as a divisor of {width}",
    )


def _batch(spec: JobSpec, default_length: int, preset: Preset, mesh: Mesh) -> tuple[Batch, list[Problem]]:
    length = spec.data.sequence_length or default_length
    tokens = spec.training.global_batch_tokens or preset.global_batch_tokens
    micro = spec.training.micro_batch_sequences
    rows, rest = divmod(tokens, length)
    per_rank = rows // mesh.data
    problems = []
    if rest or rows % mesh.data or not rows:
        unit = length * mesh.data
        problems.append(
            Problem(
                code="UTK0112",
                field="spec.training.globalBatchTokens",
                message=f"{tokens} tokens are not a multiple of sequenceLength {length} x data {mesh.data} = {unit}",
                why="every data rank must get the same whole number of rows",
                fix=f"set training.globalBatchTokens: {max(1, round(tokens / unit)) * unit}",
            )
        )
    elif micro and per_rank % micro:
        problems.append(
            Problem(
                code="UTK0126",
                field="spec.training.microBatchSequences",
                message=f"{per_rank} rows of a data rank are not a multiple of microBatchSequences {micro}",
                fix=f"choose a divisor of {per_rank}",
            )
        )
    micro = micro or _micro_rows(per_rank, mesh.pipeline)
    return Batch(
        tokens=tokens,
        rows=rows,
        sequence_length=length,
        rows_per_data_rank=per_rank,
        micro_rows=micro,
        microbatches=max(1, per_rank // micro),
    ), problems


def _micro_rows(rows: int, pipeline: int) -> int:
    limit = min(MICRO_ROWS, rows if pipeline == 1 else rows // (pipeline * MICROBATCHES_PER_STAGE))
    return max((n for n in range(1, max(1, limit) + 1) if rows % n == 0), default=1)
