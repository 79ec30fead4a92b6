"""Differences of pictures, whole or inside a mask."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric


def masked_l1(
    a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"], mask: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """Average |a − b| over channels and the pixels of a mask; 0 where the mask is empty."""
    weighted = ((a - b).abs().mean(1, keepdim=True) * mask).sum((1, 2, 3))
    return weighted / mask.sum((1, 2, 3)).clamp_min(1)


def masked_psnr(
    a: Float[Tensor, "b c h w"],
    b: Float[Tensor, "b c h w"],
    mask: Float[Tensor, "b 1 h w"] | None = None,
    data_range: float = 2.0,
) -> Float[Tensor, " b"]:
    """Return the peak signal-to-noise ratio of each picture, decibels.

    Args:
        a: pictures in [-1, 1].
        b: pictures in [-1, 1].
        mask: weights of the pixels; everywhere alike if not given.
        data_range: span of the pixel values, 2 here.
    """
    squared = (a - b).square().mean(1, keepdim=True)
    mask = torch.ones_like(squared) if mask is None else mask
    mean = (squared * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp_min(1)
    return 10 * torch.log10(data_range**2 / mean.clamp_min(1e-10))


class PictureMatch(Metric):
    """Average the PSNR (decibels) of pictures against wanted pictures, over pictures."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(
        self, pictures: Float[Tensor, "b c h w"], wanted: Float[Tensor, "b c h w"], mask: Tensor | None = None
    ) -> None:
        """Add pictures in [-1, 1]."""
        self.total += masked_psnr(pictures.clamp(-1, 1), wanted.clamp(-1, 1), mask).double().sum()
        self.count += len(pictures)

    def compute(self) -> Tensor:
        """Return the mean PSNR."""
        return (self.total / self.count).float()
