"""An entry of a family, applied to tensors: ours made of the file's, and the file's made of ours."""

from collections.abc import Callable, Iterator

import torch

from ..model.families.family import Entry

Get = Callable[[str], torch.Tensor]
GetRows = Callable[[str, slice], torch.Tensor]
ALL = slice(None)


def to_ours(
    entry: Entry, name: str, get: GetRows, *, rows: range, whole: int, head_dim: int, rotary: int
) -> torch.Tensor:
    """Rows of our tensor of that name, whose first dimension is `whole`; `get` reads rows of one of the file."""
    if entry.stacked:
        each = [torch.cat([get(theirs.format(expert=e), ALL) for theirs in entry.theirs]) for e in rows]
        return torch.stack(each)
    before = entry.ours.index(name) * whole
    if not entry.turned_heads:
        return get(entry.theirs[0], slice(before + rows.start, before + rows.stop))
    first, last = rows.start // head_dim, -(-rows.stop // head_dim)  # a head is turned whole
    heads = turned(get(entry.theirs[0], slice(first * head_dim, last * head_dim)), head_dim, rotary, halves=True)
    return heads[rows.start - first * head_dim : rows.stop - first * head_dim]


def to_theirs(entry: Entry, get: Get, *, head_dim: int, rotary: int) -> Iterator[tuple[str, torch.Tensor]]:
    """The file's tensors by name; `get` reads one of ours."""
    if entry.stacked:
        for expert, whole in enumerate(get(entry.ours[0])):
            for theirs, part in zip(entry.theirs, whole.chunk(len(entry.theirs)), strict=True):
                yield theirs.format(expert=expert), part
        return
    tensor = torch.cat([get(name) for name in entry.ours]) if len(entry.ours) > 1 else get(entry.ours[0])
    if entry.turned_heads:
        tensor = turned(tensor, head_dim, rotary, halves=False)
    yield entry.theirs[0], tensor


def turned(tensor: torch.Tensor, head_dim: int, rotary: int, *, halves: bool) -> torch.Tensor:
    """Rows of each head from pairs of neighbours to pairs of halves, or back; what is not rotated stays."""
    heads = tensor.unflatten(0, (-1, head_dim))
    pairs, rest = heads[:, :rotary], heads[:, rotary:]
    if halves:
        pairs = torch.cat((pairs[:, 0::2], pairs[:, 1::2]), dim=1)
    else:
        pairs = torch.stack(pairs.chunk(2, dim=1), dim=2).flatten(1, 2)
    return torch.cat((pairs, rest), dim=1).flatten(0, 1)
