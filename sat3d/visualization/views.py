"""Looking at codes from several cameras: orbits, depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sat3d.generators import Generator, Rendering
from sat3d.generators.base import NoiseMode
from sat3d.ops.camera import Camera
from sat3d.visualization.files import to_uint8

Look = Callable[[Camera | None], Rendering]
"""Shows one code to cameras; `None` where the generator is 2-D."""


def look(
    generator: Generator,
    styles: Float[Tensor, "1 c"],
    *,
    noise: NoiseMode | torch.Generator = "const",
    neural_resolution: int | None = None,
) -> Look:
    """Prepare a code to be looked at; a 3-D generator's planes are made now, and once.

    Args:
        generator: shows the code.
        styles: (1, C).
        noise: see `Generator.synthesize`.
        neural_resolution: 3-D only: side of the ray-marched picture, pixels.
    """
    if not generator.is_3d:
        return lambda camera: generator.synthesize(styles, camera, noise=noise)
    net: Any = generator
    planes = net.planes(styles, noise)
    return lambda cameras: net.render(planes, styles, cameras, neural_resolution=neural_resolution)


@torch.no_grad()
def views(generator: Generator, styles: Float[Tensor, "b c"], cameras: Camera | None) -> Float[Tensor, "b v 3 h w"]:
    """Render every code from every camera; a 3-D generator's planes are made once per code.

    Args:
        generator: shows the codes.
        styles: (B, C).
        cameras: V cameras, or `None` for a 2-D generator, which has one view.
    """
    if cameras is None:  # one by one, as below: there may be hundreds, of a large network
        return torch.stack([generator.synthesize(s).image for s in styles.split(1)])
    cameras = cameras.to(styles.device)
    return torch.stack([look(generator, s)(cameras).image for s in styles.split(1)])


def colour_depth(
    depth: Float[Tensor, "b h w"], opacity: Float[Tensor, "b h w"] | None = None
) -> UInt8[np.ndarray, "b h w 3"]:
    """Colour depth maps, each over its own range: near yellow, far dark blue, white where there is nothing.

    Nothing is where depth is infinite, or opacity below 0.5.
    """
    from matplotlib import colormaps

    seen = depth.isfinite() if opacity is None else depth.isfinite() & (opacity >= 0.5)
    pages = []
    for d, there in zip(depth.cpu(), seen.cpu(), strict=True):
        near, far = (float(d[there].min()), float(d[there].max())) if bool(there.any()) else (0.0, 1.0)
        colours = colormaps["cividis_r"](((d - near) / max(far - near, 1e-6)).clamp(0, 1).numpy())[..., :3]
        pages.append(torch.from_numpy(np.where(there.numpy()[..., None], colours, 1.0)).movedim(-1, 0))
    return to_uint8(torch.stack(pages) * 2 - 1)


def frames_beside(*clips: Float[Tensor, "t 3 h w"], scale: int = 1) -> UInt8[np.ndarray, "t h width 3"]:
    """Put clips of the same length side by side."""
    pages = np.concatenate([to_uint8(clip) for clip in clips], axis=2)
    return pages.repeat(scale, axis=1).repeat(scale, axis=2)
