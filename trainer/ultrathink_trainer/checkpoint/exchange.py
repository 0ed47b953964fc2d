"""Small facts as JSON between ranks, so that all of them decide alike."""

import json
from typing import Any

import torch
import torch.distributed as dist


def gather(fact: Any, group: dist.ProcessGroup) -> list[Any]:
    """Every rank's fact, in the order of ranks. The group is on CPU."""
    data = torch.frombuffer(bytearray(json.dumps(fact, allow_nan=False).encode()), dtype=torch.uint8)
    ranks = dist.get_world_size(group)
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(ranks)]
    dist.all_gather(lengths, torch.tensor([len(data)]), group=group)
    longest = max(int(length) for length in lengths)
    texts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(ranks)]
    dist.all_gather(texts, torch.nn.functional.pad(data, (0, longest - len(data))), group=group)
    return [
        json.loads(bytes(text[: int(length)].tolist()).decode()) for text, length in zip(texts, lengths, strict=True)
    ]
