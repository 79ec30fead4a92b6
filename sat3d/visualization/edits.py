"""Figures of edits: source | reference, where there is one | edit | difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from sat3d.generators import Generator
from sat3d.ops.camera import Camera
from sat3d.visualization.grids import difference, picture_grid
from sat3d.visualization.views import frames_beside, views


def edit_grid(
    generator: Generator,
    source: Float[Tensor, "r c"],
    reference: Float[Tensor, "r c"] | None,
    edited: Float[Tensor, "r c"],
    labels: Sequence[str],
    cameras: Camera | None,
    scale: int = 1,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw one row per edit and four pictures per camera, three without references.

    Args:
        generator: shows the codes.
        source: styles before, (R, C).
        reference: styles that show the wanted attribute, (R, C); `None` for editors that take none.
        edited: styles after, (R, C).
        labels: of the rows.
        cameras: V cameras; `None` for a 2-D generator.
        scale: enlargement.
    """
    shown = [source, edited] if reference is None else [source, reference, edited]
    seen = views(generator, torch.cat(shown), cameras).chunk(len(shown))
    stacked = torch.stack([*seen, difference(seen[0], seen[-1])], dim=2)  # (R, V, 3 or 4, 3, H, W)
    names = ["source", *(["reference"] if reference is not None else []), "edit", "difference"]
    return picture_grid(stacked.flatten(1, 2), labels, names * seen[0].shape[1], scale)


def strip_grid(
    generator: Generator,
    rows: Sequence[tuple[str, Callable[[float], Float[Tensor, "1 c"]]]],
    strengths: Sequence[float],
    cameras: Camera | None,
    unit: str = "",
    side: int = 256,
    scale: int = 1,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw one row per edit, from its least to its greatest strength, and what the last but one strength changed.

    Args:
        generator: shows the codes.
        rows: label, and styles by strength.
        strengths: rising, 0 among them.
        cameras: of which the first is taken; `None` for a 2-D generator.
        unit: of the strengths, behind the numbers.
        side: largest side of a picture, pixels.
        scale: enlargement.
    """
    camera = None if cameras is None else cameras[:1]

    def picture(styles: Tensor) -> Tensor:
        image = views(generator, styles, camera)[0, 0].cpu()
        if image.shape[-1] <= side:
            return image
        return interpolate(image[None], (side, side), mode="bilinear", antialias=True)[0]

    shown = torch.stack([torch.stack([picture(edited(x)) for x in strengths]) for _, edited in rows])
    source = list(strengths).index(0.0)
    shown = torch.cat([shown, difference(shown[:, source], shown[:, -2])[:, None]], dim=1)
    columns = [f"{x:+g}{unit}" if x else "source" for x in strengths] + ["difference"]
    return picture_grid(shown, [label for label, _ in rows], columns, scale)


def edit_clip(
    generator: Generator,
    source: Float[Tensor, "1 c"],
    reference: Float[Tensor, "1 c"] | None,
    edited: Float[Tensor, "n c"],
    frames: int = 30,
    scale: int = 2,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Draw an orbit around source, reference (if there is one) and edits, side by side.

    Raises:
        ValueError: for a 2-D generator.
    """
    if generator.cameras is None:
        raise ValueError("clip: a 2-D generator has no orbit")
    cameras = generator.cameras.orbit(frames)
    shown = [source, edited] if reference is None else [source, reference, edited]
    return frames_beside(*views(generator, torch.cat(shown), cameras), scale=scale)
