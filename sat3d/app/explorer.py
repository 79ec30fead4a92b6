"""Which channels move a place in a picture, and where else each of them acts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sat3d.generators import Generator
from sat3d.ops.camera import Camera

GREY = 127.5  # grey levels of a unit, where pictures are in [-1, 1]


@dataclass(frozen=True)
class Mover:
    """Hold a channel that moves a place.

    Args:
        layer: its layer.
        channel: its number there.
        effect: change of the place's mean colour by one standard deviation, to first order, grey levels.
        reach: change of the picture by one standard deviation, at the pixel where it is largest, grey levels.
        map: the picture in grey, red where the channel acts.
    """

    layer: str
    channel: int
    effect: float
    reach: float
    map: UInt8[np.ndarray, "h w 3"]

    @property
    def name(self) -> str:
        """As editors of channels take it."""
        return f"{self.layer}/{self.channel}"


def patch_of(resolution: int, x: float, y: float) -> tuple[slice, slice]:
    """Return rows and columns of a square around a place, a twelfth of the picture wide and at least 3 pixels.

    Args:
        resolution: side of the picture, pixels.
        x: place from left, a share of the side.
        y: from the top.
    """
    side = max(3, resolution // 12)

    def span(share: float) -> slice:
        start = min(max(round(share * resolution - side / 2), 0), resolution - side)
        return slice(start, start + side)

    return span(y), span(x)


def effects_at(
    generator: Generator, styles: Float[Tensor, "1 c"], camera: Camera | None, x: float, y: float
) -> Float[Tensor, "3 c"]:
    """Return ∂(mean colour of the patch around a place)/∂s, one backward pass a colour.

    Args:
        generator: shows the code.
        styles: (1, C).
        camera: 3-D only.
        x: place from left, a share of the side.
        y: from the top.
    """
    with torch.enable_grad():
        s = styles.detach().clone().requires_grad_()
        image = generator.synthesize(s, camera).image
        rows, columns = patch_of(image.shape[-1], x, y)
        colours = image[0, :, rows, columns].mean((1, 2))
        gradients = [torch.autograd.grad(c, s, retain_graph=i < 2)[0][0] for i, c in enumerate(colours)]
    return torch.stack(gradients)


def strongest(gradients: Float[Tensor, "3 c"], std: Float[Tensor, " c"], count: int) -> list[tuple[int, float]]:
    """Return flat indices of the channels that move most, and by how many grey levels a standard deviation does."""
    effect = gradients.abs().mean(0) * std * GREY
    found = effect.topk(min(count, len(effect)))
    return [(int(u), float(e)) for u, e in zip(found.indices, found.values, strict=True) if e > 0]


def acting_map(
    before: Float[Tensor, "3 h w"], after: Float[Tensor, "3 h w"]
) -> tuple[UInt8[np.ndarray, "h w 3"], float]:
    """Draw where two pictures differ: the first in grey, under red that is full where they differ most.

    Returns:
        The picture, and the largest difference in grey levels.
    """
    amount = (after.clamp(-1, 1) - before.clamp(-1, 1)).abs().mean(0)
    most = float(amount.max())
    share = (amount / most if most > 0 else amount)[..., None].cpu()
    grey = (before.clamp(-1, 1).mean(0) * 0.35 + 0.5)[..., None].cpu() * torch.tensor([255.0, 255.0, 255.0])
    page = torch.lerp(grey, torch.tensor([210.0, 20.0, 40.0]), share.sqrt())
    return page.round().byte().numpy(), most * GREY
