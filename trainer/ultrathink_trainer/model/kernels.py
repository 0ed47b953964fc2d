"""The one seam for expert kernels: many small matrix products on stacked weights."""

import torch
import torch.nn.functional as F

# Shapes: R routed rows sorted by expert, E experts, I features in, O features out.


def grouped_linear(x_RI: torch.Tensor, weight_EOI: torch.Tensor, counts_E: torch.Tensor) -> torch.Tensor:
    """Multiply each expert's rows by its own weight; the first counts_E[0] rows belong to expert 0, and so on."""
    if x_RI.dtype == torch.float64:  # grouped_mm refuses float64
        return one_by_one(x_RI, weight_EOI, counts_E)
    ends_E = counts_E.cumsum(0).to(torch.int32)
    return F.grouped_mm(x_RI, weight_EOI.transpose(-2, -1), offs=ends_E)


def one_by_one(x_RI: torch.Tensor, weight_EOI: torch.Tensor, counts_E: torch.Tensor) -> torch.Tensor:
    """The same, expert by expert: what the grouped kernel is measured against, and the way of float64."""
    rows_per_expert = x_RI.split(counts_E.tolist())
    return torch.cat([rows @ weight_OI.t() for rows, weight_OI in zip(rows_per_expert, weight_EOI, strict=True)])
