"""Differences of pictures, whole or inside a mask."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import MeanMetric


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


class PictureMatch(MeanMetric):
    """Average the PSNR (decibels) of pictures against wanted pictures, over pictures."""

    higher_is_better = True  # type: ignore[assignment]

    def update(  # type: ignore[override]
        self, pictures: Float[Tensor, "b c h w"], wanted: Float[Tensor, "b c h w"], mask: Tensor | None = None
    ) -> None:
        """Add pictures in [-1, 1]."""
        super().update(masked_psnr(pictures.clamp(-1, 1), wanted.clamp(-1, 1), mask))
