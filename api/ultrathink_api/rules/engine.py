"""Rules about the engine that trains: what DeepSpeed can do of what a job may ask for."""

from ultrathink_api.rules.statement import Rule

_TORCH = "self.training.engine != 'deepspeed'"

ENGINE: tuple[Rule, ...] = (
    Rule(
        code="UTK0180",
        at="spec",
        field="spec.training.engine",
        cel=f"{_TORCH} || (self.parallelism.tensor == 1 && self.parallelism.pipeline == 1 && "
        "self.parallelism.expert == 1 && self.parallelism.context == 1)",
        holds=lambda spec: (
            spec.training.engine != "deepspeed"
            or spec.parallelism.tensor
            == spec.parallelism.pipeline
            == spec.parallelism.expert
            == spec.parallelism.context
            == 1
        ),
        message="the engine deepspeed cuts the data axis only",
        fix="leave the other axes of parallelism out, or set training.engine: torch",
    ),
    Rule(
        code="UTK0181",
        at="spec",
        field="spec.training.optimizer.name",
        cel=f"{_TORCH} || self.training.optimizer.name == 'adamw'",
        holds=lambda spec: spec.training.engine != "deepspeed" or spec.training.optimizer.name == "adamw",
        message="the engine deepspeed has AdamW only",
        fix="set training.optimizer.name: adamw, or training.engine: torch",
    ),
    Rule(
        code="UTK0182",
        at="spec",
        field="spec.training.precision",
        cel=f"{_TORCH} || self.training.precision == 'fp32' || (self.training.precision == 'bf16' && "
        "(!has(self.training.zero) || self.training.zero.stage > 1))",
        holds=lambda spec: (
            spec.training.engine != "deepspeed"
            or spec.training.precision == "fp32"
            or (spec.training.precision == "bf16" and (spec.training.zero is None or spec.training.zero.stage > 1))
        ),
        message="the engine deepspeed computes in fp32, and from stage 2 of ZeRO on in bf16",
        fix="set training.precision: fp32, bf16 with training.zero.stage 2 or 3, or training.engine: torch",
    ),
    Rule(
        code="UTK0183",
        at="spec",
        field="spec.training.zero",
        cel="!has(self.training.zero) || self.training.engine == 'deepspeed'",
        holds=lambda spec: spec.training.zero is None or spec.training.engine == "deepspeed",
        message="zero is DeepSpeed's, and the engine is torch",
        fix="leave training.zero out, or set training.engine: deepspeed",
    ),
)
