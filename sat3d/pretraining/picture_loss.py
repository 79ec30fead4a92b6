"""What compares a generator's picture with the world's true one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sat3d.data.world import PictureBatch
from sat3d.generators import Rendering
from sat3d.generators.renderer import Marched

BEHIND = -1.0  # colour of a ray that met nothing: the background is painted by the super-resolution


@dataclass(frozen=True)
class PictureLossWeights:
    """Weigh the losses.

    Args:
        pixel: mean absolute difference of the picture.
        square: mean squared difference of the picture.
        gradient: mean absolute difference of neighbouring pixels' differences.
        raw: mean absolute difference of the ray-marched picture to the halved true head before nothing.
        depth: mean distance, along the rays, of the weights to the true surface, and difference of the opacity to the
            head's mask. Fitting one head for 195 steps, an earlier form of it gave 21.2 dB and none 17.3 dB.
        small_parts: weight of a pixel of the world's small parts (eyes, mouth, glasses); others weigh 1.
        background: weight of a pixel of the background.
    """

    pixel: float = 1.0
    square: float = 2.0
    gradient: float = 0.5
    raw: float = 0.5
    depth: float = 2.0
    small_parts: float = 3.0
    background: float = 0.5


class PictureLoss(nn.Module):
    """Compare a rendering with the true picture: pixels, gradients, and where along the rays the matter is.

    Args:
        parts: names of the segmentation's parts, the first of which is the background.
        small: names of the parts that weigh `small_parts`.
        weights: of the terms.
    """

    importance: Tensor

    def __init__(self, parts: tuple[str, ...], small: tuple[str, ...], weights: PictureLossWeights) -> None:
        super().__init__()
        self.weights = weights
        importance = [weights.small_parts if p in small else 1.0 for p in parts]
        importance[0] = weights.background
        self.register_buffer("importance", torch.tensor(importance), persistent=False)

    def forward(self, rendering: Rendering, marched: Marched, batch: PictureBatch) -> dict[str, Tensor]:
        """Return the weighted terms by name, each a scalar."""
        w = self.weights
        assert rendering.raw is not None
        pixels = self.importance[batch.segmentation.long()].unsqueeze(1)
        pixels = pixels / pixels.mean()
        difference = rendering.image - batch.rgb
        factor = batch.rgb.shape[-1] // rendering.raw.shape[-1]
        head = torch.where(batch.segmentation.unsqueeze(1) > 0, batch.rgb, BEHIND)
        raw = (rendering.raw - F.avg_pool2d(head, factor)) * F.avg_pool2d(pixels, factor)
        return {
            "pixel": w.pixel * (difference.abs() * pixels).mean(),
            "square": w.square * (difference.square() * pixels).mean(),
            "gradient": w.gradient * gradient_difference(difference, pixels),
            "raw": w.raw * raw.abs().mean(),
            "depth": w.depth * depth_spread(marched, batch.depth, factor),
        }


def gradient_difference(difference: Float[Tensor, "b c h w"], pixels: Float[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
    """Return the mean absolute horizontal and vertical gradient of a difference picture, weighted by pixel."""
    across = (difference[..., 1:] - difference[..., :-1]).abs() * pixels[..., 1:]
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs() * pixels[..., 1:, :]
    return across.mean() + down.mean()


def depth_spread(marched: Marched, depth: Float[Tensor, "b h w"], factor: int) -> Float[Tensor, ""]:
    """Return the mean of Σ wᵢ·|tᵢ − d| + ½·|Σ wᵢ − m|: is the matter where the true surface is, and only there?

    Both terms are in world units; d is the mean true depth of the pixels of a ray that show the head, and m their
    share. Rays that show none have the second term alone.

    Args:
        marched: weights and depths of the rays.
        depth: true depth of every pixel, inf for background.
        factor: how many pixels a ray stands for, a side.
    """
    head = torch.isfinite(depth)
    share = F.avg_pool2d(head.to(marched.weights.dtype).unsqueeze(1), factor)
    total = F.avg_pool2d(torch.where(head, depth, 0.0).unsqueeze(1), factor)
    true, share = (t.flatten(1).unsqueeze(-1) for t in (total / share.clamp_min(1e-6), share))
    middle = (marched.depths[..., 1:] + marched.depths[..., :-1]) / 2
    away = (marched.weights * (middle - true).abs()).sum(-1, keepdim=True) * (share > 0)
    return (away + 0.5 * (marched.opacity - share).abs()).mean()
