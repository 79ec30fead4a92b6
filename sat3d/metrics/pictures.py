"""Differences of pictures, whole or inside a mask."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.functional.image import structural_similarity_index_measure


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


class PictureErrors(NamedTuple):
    """Hold how two batches of pictures differ, each picture by itself, (B,); pixel values count from 0 to 1.

    Args:
        mse: mean squared error.
        rmse: its root. (Released evaluation code of StyleAE calls this the MSE.)
        psnr: peak signal-to-noise ratio, decibels.
        ssim: structural similarity (Wang et al. 2004), Gaussian window of 11 pixels.
    """

    mse: Tensor
    rmse: Tensor
    psnr: Tensor
    ssim: Tensor


def picture_errors(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> PictureErrors:
    """Compare pictures in [-1, 1], cut to that range."""
    a, b = ((x.clamp(-1, 1) + 1) / 2 for x in (a, b))
    mse = (a - b).square().flatten(1).mean(1)
    similar = structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")
    assert isinstance(similar, Tensor)
    return PictureErrors(mse, mse.sqrt(), -10 * mse.clamp_min(1e-10).log10(), similar)
