"""Context parallelism: ranks that share rows, each with its own positions of them."""

from ..data.loader import Rows
from ..model.context import Context, positions_of
from ..model.transformer import Transformer
from .mesh import World


def share_rows(model: Transformer, world: World) -> None:
    """Tell a stage which positions it has. With tensor parallelism, they are once more cut between matrices."""
    ranks = world.size("context")
    if ranks > 1:
        model.rotary.context = Context(world.mesh.get_group("context"), world.at("context"), ranks)
    if ranks * world.size("tensor") > 1:
        for layer in model.moe_layers():
            layer.row_group, layer.context_ranks = world.row_group, ranks


def positions_here(rows: Rows, world: World) -> Rows:
    """This context rank's positions of rows that are whole: labels were made before, so none is lost at a cut."""
    ranks = world.size("context")
    if ranks == 1:
        return rows
    where = positions_of(rows.tokens_BT.shape[1], world.at("context"), ranks)
    return Rows(rows.tokens_BT[:, where], rows.labels_BT[:, where])
