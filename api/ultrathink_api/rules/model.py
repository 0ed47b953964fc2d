"""Rules about the model alone."""

from typing import Any

from ultrathink_api.rules.statement import Rule, divides
from ultrathink_api.sections.model import HUGGING_FACE, PRESET_NAMES

SIZES = ("layers", "hidden", "heads", "kvHeads", "headDim", "intermediate", "vocabulary", "maxPositions", "ropeTheta")


def _sizes_said(model: Any) -> bool:
    said = {
        type(model).model_fields[name].alias for name in type(model).model_fields if getattr(model, name) is not None
    }
    return said >= set(SIZES)


def _whole(scaling: Any) -> bool:
    extra = (scaling.low_factor, scaling.high_factor, scaling.original_positions)
    if scaling.kind == "linear":
        return extra == (None, None, None)
    return None not in extra and scaling.low_factor < scaling.high_factor


def _effort_fits(model: Any) -> bool:
    if model.dre is None:
        return True
    efforts = model.dre.efforts or (model.dre.effort,)
    if min(efforts) > model.dre.effort:
        return False
    if min(efforts) >= 1:
        return True
    moe = model.moe
    return model.dre.null_experts > 0 and (
        moe is None or (model.dre.null_experts >= (moe.top_k or 0) and moe.capacity is None and moe.balance != "micro")
    )


MODEL: tuple[Rule, ...] = (
    Rule(
        code="UTK0121",
        at="spec.model",
        field="spec.model.preset",
        cel=f"!has(self.preset) || self.preset in {list(PRESET_NAMES)!r}",
        holds=lambda model: model.preset is None or model.preset in PRESET_NAMES,
        message="there is no such preset",
        fix=f"use one of: {', '.join(PRESET_NAMES)}",
    ),
    Rule(
        code="UTK0122",
        at="spec.model",
        field="spec.model",
        cel="has(self.preset) || has(self.from) || (" + " && ".join(f"has(self.{name})" for name in SIZES) + ")",
        holds=lambda model: model.preset is not None or model.from_ is not None or _sizes_said(model),
        message="without a preset every size of the model must be given",
        fix=f"set model.preset or model.from, or all of: {', '.join(SIZES)}",
    ),
    Rule(
        code="UTK0152",
        at="spec.model",
        field="spec.model.from",
        cel="!has(self.preset) || !has(self.from)",
        holds=lambda model: model.preset is None or model.from_ is None,
        message="the model is said twice, by preset and by from",
        fix="leave one of the two out: from takes the shape from the folder's config.json",
    ),
    Rule(
        code="UTK0153",
        at="spec.model",
        field="spec.model.from",
        cel=f"!has(self.from) || (self.from.startsWith('{HUGGING_FACE}') && self.from != '{HUGGING_FACE}')",
        holds=lambda model: (
            model.from_ is None or (model.from_.startswith(HUGGING_FACE) and model.from_ != HUGGING_FACE)
        ),
        message="model.from must be hf:DIR, a folder in Hugging Face's layout",
        fix="write it like from: hf:models/llama",
    ),
    Rule(
        code="UTK0114",
        at="spec.model",
        field="spec.model.kvHeads",
        cel="!has(self.heads) || !has(self.kvHeads) || self.heads % self.kvHeads == 0",
        holds=lambda model: divides(model.kv_heads, model.heads),
        message="kvHeads does not divide heads",
        fix="choose kvHeads as a divisor of heads",
    ),
    Rule(
        code="UTK0120",
        at="spec.model",
        field="spec.model.headDim",
        cel="!has(self.headDim) || self.headDim % 2 == 0",
        holds=lambda model: divides(2, model.head_dim),
        message="rotary embedding needs an even headDim",
        fix="choose an even headDim",
    ),
    Rule(
        code="UTK0117",
        at="spec.model",
        field="spec.model.moe.topK",
        cel="!has(self.moe) || !has(self.moe.topK) || !has(self.moe.experts) || self.moe.topK <= self.moe.experts",
        holds=lambda model: (
            model.moe is None
            or model.moe.top_k is None
            or model.moe.experts is None
            or model.moe.top_k <= model.moe.experts
        ),
        message="more experts a token than there are",
        fix="set moe.topK to at most moe.experts",
    ),
    Rule(
        code="UTK0140",
        at="spec.model",
        field="spec.model.moe.groups",
        cel="!has(self.moe) || ("
        "(!has(self.moe.groups) || !has(self.moe.experts) || self.moe.experts % self.moe.groups == 0) && "
        "(!has(self.moe.topGroups) || !has(self.moe.groups) || self.moe.topGroups <= self.moe.groups))",
        holds=lambda model: (
            model.moe is None
            or (
                divides(model.moe.groups, model.moe.experts)
                and (None in (model.moe.top_groups, model.moe.groups) or model.moe.top_groups <= model.moe.groups)
            )
        ),
        message="groups does not divide experts, or topGroups is more than groups",
        fix="choose moe.groups as a divisor of moe.experts, and moe.topGroups at most moe.groups",
    ),
    Rule(
        code="UTK0150",
        at="spec.model",
        field="spec.model.ropeScaling",
        cel="!has(self.ropeScaling) || (self.ropeScaling.kind == 'llama3' ? "
        "has(self.ropeScaling.lowFactor) && has(self.ropeScaling.highFactor) && "
        "has(self.ropeScaling.originalPositions) && self.ropeScaling.lowFactor < self.ropeScaling.highFactor : "
        "!has(self.ropeScaling.lowFactor) && !has(self.ropeScaling.highFactor) && "
        "!has(self.ropeScaling.originalPositions))",
        holds=lambda model: model.rope_scaling is None or _whole(model.rope_scaling),
        message="llama3 needs lowFactor below highFactor and originalPositions, and linear takes none of them",
        fix="write {kind: llama3, factor: 8, lowFactor: 1, highFactor: 4, originalPositions: 8192}, "
        "or {kind: linear, factor: 8}",
    ),
    Rule(
        code="UTK0151",
        at="spec.model",
        field="spec.model.moe.layers",
        cel="!has(self.moe) || !has(self.moe.layers) || "
        "self.moe.layers.all(i, i >= 0 && (!has(self.layers) || i < self.layers))",
        holds=lambda model: (
            model.moe is None or all(0 <= layer < (model.layers or layer + 1) for layer in model.moe.layers or ())
        ),
        message="moe.layers names a block that the model does not have",
        fix="blocks count from 0 to layers - 1",
    ),
    Rule(
        code="UTK0142",
        at="spec.model",
        field="spec.model.dre",
        cel="!has(self.dre) || ("
        "(!has(self.dre.efforts) || self.dre.efforts.exists(e, e <= self.dre.effort)) && "
        "((self.dre.effort >= 1.0 && (!has(self.dre.efforts) || self.dre.efforts.all(e, e >= 1.0))) || "
        "(self.dre.nullExperts > 0 && (!has(self.moe) || ("
        "(!has(self.moe.topK) || self.dre.nullExperts >= self.moe.topK) && !has(self.moe.capacity) && "
        "(!has(self.moe.balance) || self.moe.balance != 'micro'))))))",
        holds=_effort_fits,
        message="effort below 1 needs nullExperts of at least topK, no capacity and no micro balance; "
        "effort is not below all of efforts",
        fix="set dre.nullExperts to at least moe.topK, and dre.effort to at least the lowest of dre.efforts",
    ),
    Rule(
        code="UTK0194",
        at="spec.model",
        field="spec.model.dre.efforts",
        cel="!has(self.dre) || !has(self.dre.efforts) || "
        "self.dre.efforts.all(e, self.dre.efforts.exists_one(f, f == e))",
        holds=lambda model: (
            model.dre is None or model.dre.efforts is None or len(set(model.dre.efforts)) == len(model.dre.efforts)
        ),
        message="an effort is named twice",
        fix="name each effort of model.dre.efforts once; each is used equally often",
    ),
)
