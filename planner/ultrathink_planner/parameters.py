"""Every parameter of a model by name and shape, and how tensor parallelism cuts it: the root of all counts."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from ultrathink_planner.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `tensor_dim` is cut over the tensor ranks; `active` is how many elements a token uses."""

    name: str
    shape: tuple[int, ...]
    layer: int | None
    tensor_dim: int | None
    active: int

    @property
    def count(self) -> int:
        """Elements in all."""
        return prod(self.shape)


def parameters(shape: ModelShape) -> Iterator[Parameter]:
    """All parameters, in the order of the forward pass; `layer` is None for embedding, last norm and head."""
    yield _dense("embed.weight", (shape.vocabulary, shape.hidden), None, 0)
    for layer in range(shape.layers):
        yield from _block(shape, layer)
    yield _dense("norm.weight", (shape.hidden,), None, None)
    if not shape.tied_embeddings:
        yield _dense("head.weight", (shape.vocabulary, shape.hidden), None, 0)


def orthogonalised(name: str, dimensions: int) -> bool:
    """Whether Muon moves a parameter: a matrix, or a stack of them, inside a block; a router's rows are directions of
    their own."""
    return name.startswith("layers.") and dimensions > 1 and ".router." not in name


def _dense(name: str, shape: tuple[int, ...], layer: int | None, tensor_dim: int | None) -> Parameter:
    return Parameter(name, shape, layer, tensor_dim, prod(shape))


def _block(shape: ModelShape, layer: int) -> Iterator[Parameter]:
    at = f"layers.{layer}"
    hidden, head_dim = shape.hidden, shape.head_dim
    query, key_value = shape.heads * head_dim, shape.kv_heads * head_dim
    yield _dense(f"{at}.attn_norm.weight", (hidden,), layer, None)
    yield _dense(f"{at}.attn.q.weight", (query, hidden), layer, 0)
    yield _dense(f"{at}.attn.k.weight", (key_value, hidden), layer, 0)
    yield _dense(f"{at}.attn.v.weight", (key_value, hidden), layer, 0)
    yield _dense(f"{at}.attn.o.weight", (hidden, query), layer, 1)
    if shape.attention_bias:
        yield _dense(f"{at}.attn.q.bias", (query,), layer, 0)
        yield _dense(f"{at}.attn.k.bias", (key_value,), layer, 0)
        yield _dense(f"{at}.attn.v.bias", (key_value,), layer, 0)
    if shape.qk_norm:
        yield _dense(f"{at}.attn.q_norm.weight", (head_dim,), layer, None)
        yield _dense(f"{at}.attn.k_norm.weight", (head_dim,), layer, None)
    if shape.post_norms:
        yield _dense(f"{at}.attn_post_norm.weight", (hidden,), layer, None)
        yield _dense(f"{at}.mlp_post_norm.weight", (hidden,), layer, None)
    yield _dense(f"{at}.mlp_norm.weight", (hidden,), layer, None)
    if shape.moe is None or not shape.has_experts(layer):
        yield from _swiglu(f"{at}.mlp", hidden, shape.intermediate, layer)
        return
    moe = shape.moe
    width = moe.intermediate
    yield _dense(f"{at}.moe.router.weight", (moe.experts, hidden), layer, None)
    yield Parameter(
        f"{at}.moe.experts.gate_up", (moe.experts, 2 * width, hidden), layer, None, moe.top_k * 2 * width * hidden
    )
    yield Parameter(f"{at}.moe.experts.down", (moe.experts, hidden, width), layer, None, moe.top_k * hidden * width)
    if moe.shared:
        yield from _swiglu(f"{at}.moe.shared", hidden, moe.shared * width, layer)


def _swiglu(at: str, hidden: int, width: int, layer: int) -> Iterator[Parameter]:
    yield _dense(f"{at}.gate.weight", (width, hidden), layer, 0)
    yield _dense(f"{at}.up.weight", (width, hidden), layer, 0)
    yield _dense(f"{at}.down.weight", (hidden, width), layer, 1)
