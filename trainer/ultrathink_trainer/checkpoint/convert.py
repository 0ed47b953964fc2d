"""An entry of a family, applied to tensors: ours made of the file's, and the file's made of ours."""

from collections.abc import Callable, Iterator

import torch

from ..model.families.family import Entry

Get = Callable[[str], torch.Tensor]


def to_ours(entry: Entry, name: str, get: Get, *, rows: int, head_dim: int, rotary: int) -> torch.Tensor:
    """Our tensor of that name, whose first dimension is `rows`; `get` reads one of the file."""
    if entry.stacked:
        each = [torch.cat([get(theirs.format(expert=e)) for theirs in entry.theirs]) for e in range(rows)]
        return torch.stack(each)
    tensor = get(entry.theirs[0])
    if len(entry.ours) > 1:
        tensor = tensor.chunk(len(entry.ours))[entry.ours.index(name)]
    return turned(tensor, head_dim, rotary, halves=True) if entry.turned_heads else tensor


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
