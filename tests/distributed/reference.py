"""The model and its training once more, written as plainly as can be and with nothing of the trainer: what every layout
is compared with. Parameters are a dictionary by checkpoint name."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ultrathink_api.sections.training import OptimizerSpec
from ultrathink_planner import ModelShape, MoEShape, Plan

BALANCE_STEP = 1e-3
BALANCE_WHOLE = 0.1
THRESHOLD_STEP = 0.4

Named = dict[str, Tensor]


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + epsilon) * weight


def frequencies(shape: ModelShape) -> Tensor:
    """One by one; llama3's as its authors describe it, by wavelength."""
    width, scaling = shape.rotary_width, shape.rope_scaling
    found = []
    for frequency in 1.0 / shape.rope_theta ** (torch.arange(0, width, 2).float() / width):
        if scaling is not None and scaling.kind == "linear":
            frequency = frequency / scaling.factor
        elif scaling is not None:
            wavelength = 2 * math.pi / frequency
            shortest = scaling.original_positions / scaling.high_factor
            longest = scaling.original_positions / scaling.low_factor
            smooth = (scaling.original_positions / wavelength - scaling.low_factor) / (
                scaling.high_factor - scaling.low_factor
            )
            if wavelength > longest:
                frequency = frequency / scaling.factor
            elif wavelength >= shortest:
                frequency = (1 - smooth) * frequency / scaling.factor + smooth * frequency
        found.append(frequency)
    return torch.stack(found)


def rotate(x_THD: Tensor, shape: ModelShape) -> Tensor:
    half = shape.rotary_width // 2
    angles = torch.outer(torch.arange(len(x_THD)).float(), frequencies(shape))
    cos, sin = angles.cos().to(x_THD.dtype)[:, None], angles.sin().to(x_THD.dtype)[:, None]
    a, b, rest = x_THD[..., :half], x_THD[..., half : 2 * half], x_THD[..., 2 * half :]
    return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), -1)


def attention(x_TH: Tensor, p: Named, at: str, shape: ModelShape) -> Tensor:
    """One row, head by head."""

    def heads(name: str, count: int) -> Tensor:
        y = x_TH @ p[f"{at}.{name}.weight"].T
        if shape.attention_bias:
            y = y + p[f"{at}.{name}.bias"]
        return y.reshape(len(x_TH), count, shape.head_dim)

    q, k, v = heads("q", shape.heads), heads("k", shape.kv_heads), heads("v", shape.kv_heads)
    if shape.qk_norm:
        q = rms_norm(q, p[f"{at}.q_norm.weight"], shape.norm_epsilon)
        k = rms_norm(k, p[f"{at}.k_norm.weight"], shape.norm_epsilon)
    q, k = rotate(q, shape), rotate(k, shape)
    future = torch.ones(len(x_TH), len(x_TH), dtype=torch.bool).triu(1)
    if shape.window_size is not None:
        future |= torch.ones(len(x_TH), len(x_TH), dtype=torch.bool).tril(-shape.window_size)
    mixed = []
    for head in range(shape.heads):
        group = head // (shape.heads // shape.kv_heads)
        scores = (q[:, head] @ k[:, group].T / math.sqrt(shape.head_dim)).masked_fill(future, -math.inf)
        mixed.append(scores.softmax(-1) @ v[:, group])
    return torch.cat(mixed, -1) @ p[f"{at}.o.weight"].T


def silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def swiglu(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    return (silu(x @ gate.T) * (x @ up.T)) @ down.T


def mlp(x: Tensor, p: Named, at: str) -> Tensor:
    return swiglu(x, *(p[f"{at}.{name}.weight"] for name in ("gate", "up", "down")))


@dataclass
class Layer:
    """What a layer's balance knows and what its tokens did in a step."""

    bias: Tensor
    previous: Tensor
    asked: Tensor
    sent: Tensor
    threshold: float = -math.inf
    """What null experts are worth."""
    scores: list[list[Tensor]] = field(default_factory=list)
    """Of each row, of each token."""
    logits: list[Tensor] = field(default_factory=list)
    chosen: list[list[int]] = field(default_factory=list)
    """Of each row, of all its tokens."""


def choose(wanted: Tensor, moe: MoEShape) -> list[int]:
    size = moe.experts // moe.groups
    groups = [list(range(g * size, (g + 1) * size)) for g in range(moe.groups)]
    voices = [sum(sorted((wanted[e].item() for e in group), reverse=True)[:2]) for group in groups]
    best = sorted(range(moe.groups), key=lambda g: (-voices[g], g))[: moe.top_groups]
    return sorted((e for g in best for e in groups[g]), key=lambda e: (-wanted[e].item(), e))[: moe.top_k]


def experts(x_TH: Tensor, p: Named, at: str, moe: MoEShape, layer: Layer) -> Tensor:
    """Token by token, expert by expert."""
    rows = []
    taken = [0] * moe.experts
    limit = math.inf if moe.capacity is None else math.ceil(moe.capacity * len(x_TH) * moe.top_k / moe.experts)
    layer.scores.append([])
    layer.chosen.append([])
    for x in x_TH:
        logits = p[f"{at}.router.weight"] @ x
        tempered = logits / moe.temperature
        scores = tempered.softmax(-1) if moe.router == "softmax" else tempered.sigmoid()
        chosen = choose(scores.detach() + layer.bias, moe)
        total = sum(scores[e] for e in chosen) if moe.norm_top_k else 1.0
        chosen = [e for e in chosen if (scores[e] + layer.bias[e]).item() >= layer.threshold]
        y = torch.zeros_like(x)
        for e in chosen:
            layer.asked[e] += 1
            taken[e] += 1
            if taken[e] > limit:
                continue
            layer.sent[e] += 1
            gate, up = p[f"{at}.experts.gate_up"][e].split(moe.intermediate)
            weight = moe.routed_scale * scores[e] / total
            y = y + weight * swiglu(x, gate, up, p[f"{at}.experts.down"][e])
        rows.append(y)
        layer.scores[-1].append(scores / scores.sum())
        layer.logits.append(logits)
        layer.chosen[-1] += chosen
    y_TH = torch.stack(rows)
    return y_TH + mlp(x_TH, p, f"{at}.shared") if moe.shared else y_TH


def balance_loss(moe: MoEShape, layer: Layer) -> Tensor:
    if moe.balance == "global":
        seen = layer.previous.sum()
        f = layer.previous.double() / seen if seen else torch.full((moe.experts,), 1 / moe.experts).double()
        mean = torch.stack([score for row in layer.scores for score in row]).mean(0)
        return moe.aux_loss * moe.experts * (f * mean).sum()
    if moe.balance == "micro":
        of_rows = []
        for row, chosen in zip(layer.scores, layer.chosen, strict=True):
            f = torch.tensor([chosen.count(e) / len(chosen) for e in range(moe.experts)]).double()
            of_rows.append((f * torch.stack(row).mean(0)).sum())
        return moe.aux_loss * moe.experts * torch.stack(of_rows).mean()
    return torch.zeros((), dtype=torch.float64)


def z_loss(moe: MoEShape, layer: Layer) -> Tensor:
    return moe.z_loss * torch.stack([logits.exp().sum().log() ** 2 for logits in layer.logits]).mean()


def logits(tokens_T: Tensor, p: Named, shape: ModelShape, layers: list[Layer]) -> Tensor:
    x_TH = p["embed.weight"][tokens_T]
    for index, layer in enumerate(layers):
        at = f"layers.{index}"
        y_TH = attention(rms_norm(x_TH, p[f"{at}.attn_norm.weight"], shape.norm_epsilon), p, f"{at}.attn", shape)
        if shape.post_norms:
            y_TH = rms_norm(y_TH, p[f"{at}.attn_post_norm.weight"], shape.norm_epsilon)
        x_TH = x_TH + y_TH
        normed = rms_norm(x_TH, p[f"{at}.mlp_norm.weight"], shape.norm_epsilon)
        if shape.moe is None or not shape.has_experts(index):
            y_TH = mlp(normed, p, f"{at}.mlp")
        else:
            y_TH = experts(normed, p, f"{at}.moe", shape.moe, layer)
        if shape.post_norms:
            y_TH = rms_norm(y_TH, p[f"{at}.mlp_post_norm.weight"], shape.norm_epsilon)
        x_TH = x_TH + y_TH
    head = p["embed.weight"] if shape.tied_embeddings else p["head.weight"]
    return rms_norm(x_TH, p["norm.weight"], shape.norm_epsilon) @ head.T


@dataclass
class Trained:
    """What training came to."""

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    aux_losses: list[float] = field(default_factory=list)
    z_losses: list[float] = field(default_factory=list)
    dropped: list[float] = field(default_factory=list)
    parameters: dict[str, Tensor] = field(default_factory=dict)
    biases: Tensor | None = None
    counts: Tensor | None = None
    thresholds: list[float] = field(default_factory=list)
    held_out: float = math.nan
    """Loss of the trained parameters on all batches."""


def nats(
    tokens_BT: Tensor, labels_BT: Tensor, parameters: Named, shape: ModelShape, layers: list[Layer]
) -> list[Tensor]:
    """The loss of each label."""
    found = []
    for tokens, labels in zip(tokens_BT, labels_BT, strict=True):
        chances = logits(tokens, parameters, shape, layers).log_softmax(-1)
        found += [-chances[i, label] for i, label in enumerate(labels.tolist()) if label >= 0]
    return found


def fresh(biases: Tensor, counts: Tensor, thresholds: list[float]) -> list[Layer]:
    """Layers that have seen no token of this step yet."""
    return [
        Layer(bias, previous, torch.zeros_like(previous), torch.zeros_like(previous), threshold)
        for bias, previous, threshold in zip(biases, counts, thresholds, strict=True)
    ]


def train(
    plan: Plan, start: dict[str, Tensor], batches: Sequence[tuple[Tensor, Tensor]], rates: Sequence[float]
) -> Trained:
    """Plain training on whole batches of (tokens, labels)."""
    shape = plan.model
    parameters = {name: value.clone().requires_grad_() for name, value in start.items()}
    moments = {name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in start.items()}
    number = shape.moe.experts if shape.moe else 1
    biases = torch.zeros(shape.layers, number, dtype=torch.float64)
    counts = torch.zeros(shape.layers, number, dtype=torch.int64)
    effort = shape.dre.effort if shape.dre else 1.0  # one effort is trained here
    thresholds = [0.0 if effort < 1 else -math.inf] * shape.layers
    result = Trained()
    for step, ((tokens_BT, labels_BT), rate) in enumerate(zip(batches, rates, strict=True), start=1):
        layers = fresh(biases, counts, thresholds)
        loss = torch.stack(nats(tokens_BT, labels_BT, parameters, shape, layers)).mean()
        aux, z = (
            sum(
                (of(shape.moe, layer) for layer in layers if shape.moe and layer.logits),
                torch.zeros((), dtype=torch.float64),
            )
            for of in (balance_loss, z_loss)
        )
        whole = loss + aux + z
        gradients = dict(zip(parameters, torch.autograd.grad(whole, list(parameters.values())), strict=True))
        norm = math.sqrt(sum(g.square().sum().item() for g in gradients.values()))
        scale = min(1.0, plan.clip_norm / norm) if plan.clip_norm else 1.0
        with torch.no_grad():
            for name, value in parameters.items():
                adamw(value, gradients[name] * scale, moments[name], step, rate, plan.optimizer)
        counts = torch.stack([layer.asked for layer in layers])
        if shape.moe and shape.moe.balance == "bias":
            mean = counts.sum(1, keepdim=True).clamp(min=1).double() / number
            direction = ((1 - counts / mean) / BALANCE_WHOLE).clamp(-1, 1)
            biases = biases + BALANCE_STEP * (direction - direction.mean(1, keepdim=True))
        if shape.moe and effort < 1:
            slots = tokens_BT.numel() * shape.moe.top_k
            thresholds = [
                c + THRESHOLD_STEP / shape.moe.experts * (n.sum().item() / slots - effort)
                for c, n in zip(thresholds, counts, strict=True)
            ]
        result.losses.append(loss.item())
        result.norms.append(norm)
        result.aux_losses.append(aux.item())
        result.z_losses.append(z.item())
        if shape.moe:
            routed = [layer for layer in layers if layer.logits]
            result.dropped.append(max(1 - layer.sent.sum().item() / layer.asked.sum().item() for layer in routed))
    result.parameters = {name: value.detach() for name, value in parameters.items()}
    result.biases = biases
    result.counts = counts
    result.thresholds = thresholds
    with torch.no_grad():
        told = [
            nat
            for batch in batches
            for nat in nats(*batch, result.parameters, shape, fresh(biases, counts, thresholds))
        ]
        result.held_out = torch.stack(told).mean().item()
    return result


def adamw(
    value: Tensor, gradient: Tensor, moments: tuple[Tensor, Tensor], step: int, rate: float, spec: OptimizerSpec
) -> None:
    """As the paper writes it: decay apart from the gradient, moments corrected for their start at zero."""
    first, second = moments
    first.mul_(spec.beta1).add_(gradient * (1 - spec.beta1))
    second.mul_(spec.beta2).add_(gradient * gradient * (1 - spec.beta2))
    if value.ndim > 1:
        value.mul_(1 - rate * spec.weight_decay)
    corrected = (second / (1 - spec.beta2**step)).sqrt() + spec.epsilon
    value.sub_(rate * first / (1 - spec.beta1**step) / corrected)
