"""Figures of edits: source | reference | edit | difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sat3d.generators import Generator
from sat3d.ops.camera import Camera
from sat3d.visualization.grids import difference, picture_grid
from sat3d.visualization.views import frames_beside, views


def edit_grid(
    generator: Generator,
    source: Float[Tensor, "r c"],
    reference: Float[Tensor, "r c"],
    edited: Float[Tensor, "r c"],
    labels: Sequence[str],
    cameras: Camera | None,
    scale: int = 1,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw one row per edit and four pictures per camera.

    Args:
        generator: shows the codes.
        source: styles before, (R, C).
        reference: styles that show the wanted attribute, (R, C).
        edited: styles after, (R, C).
        labels: of the rows.
        cameras: V cameras; `None` for a 2-D generator.
        scale: enlargement.
    """
    before, wanted, after = views(generator, torch.cat([source, reference, edited]), cameras).chunk(3)
    stacked = torch.stack([before, wanted, after, difference(before, after)], dim=2)  # (R, V, 4, 3, H, W)
    names = ["source", "reference", "edit", "difference"]
    return picture_grid(stacked.flatten(1, 2), labels, names * before.shape[1], scale)


def edit_clip(
    generator: Generator,
    source: Float[Tensor, "1 c"],
    reference: Float[Tensor, "1 c"],
    edited: Float[Tensor, "n c"],
    frames: int = 30,
    scale: int = 2,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Draw an orbit around source, reference and edits, side by side.

    Raises:
        ValueError: for a 2-D generator.
    """
    if generator.cameras is None:
        raise ValueError("clip: a 2-D generator has no orbit")
    cameras = generator.cameras.orbit(frames)
    return frames_beside(*views(generator, torch.cat([source, reference, edited]), cameras), scale=scale)
