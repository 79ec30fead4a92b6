"""Looking at codes from several cameras: orbits, depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sat3d.generators import Generator
from sat3d.ops.camera import Camera
from sat3d.visualization.files import to_uint8


@torch.no_grad()
def views(generator: Generator, styles: Float[Tensor, "b c"], cameras: Camera | None) -> Float[Tensor, "b v 3 h w"]:
    """Render every code from every camera; a 3-D generator's planes are made once per code.

    Args:
        generator: shows the codes.
        styles: (B, C).
        cameras: V cameras, or `None` for a 2-D generator, which has one view.
    """
    if cameras is None:
        return generator.synthesize(styles).image[:, None]
    cameras, net = cameras.to(styles.device), _solid(generator)
    rows = [net.render(net.planes(s), s, cameras).image for s in styles.split(1)]
    return torch.stack(rows)


def orbit_cameras(generator: Generator, frames: int, yaw: float = 0.6, pitch: float = 0.15) -> Camera | None:
    """Return cameras on a closed orbit, radians; `None` for a 2-D generator."""
    return None if generator.cameras is None else generator.cameras.orbit(frames, yaw, pitch)


@torch.no_grad()
def depth_pictures(generator: Generator, styles: Float[Tensor, "b c"], camera: Camera) -> UInt8[np.ndarray, "b h w 3"]:
    """Return the depth of codes in colours, near yellow and far dark blue, at the picture's size."""
    out = generator.synthesize(styles, camera=camera)
    if out.depth is None or out.opacity is None:
        raise ValueError("depth: a 2-D generator has none")
    return colour_depth(out.depth[:, 0], out.opacity[:, 0], out.image.shape[-1])


def colour_depth(
    depth: Float[Tensor, "b h w"], opacity: Float[Tensor, "b h w"] | None = None, size: int | None = None
) -> UInt8[np.ndarray, "b s s 3"]:
    """Colour depth maps, each over its own range; white where there is nothing (infinite, or opacity below 0.5)."""
    from matplotlib import colormaps

    seen = depth.isfinite() if opacity is None else depth.isfinite() & (opacity >= 0.5)
    pages = []
    for d, there in zip(depth.cpu(), seen.cpu(), strict=True):
        near, far = (float(d[there].min()), float(d[there].max())) if bool(there.any()) else (0.0, 1.0)
        colours = colormaps["cividis_r"](((d - near) / max(far - near, 1e-6)).clamp(0, 1).numpy())[..., :3]
        pages.append(torch.from_numpy(np.where(there.numpy()[..., None], colours, 1.0)).movedim(-1, 0))
    pictures = torch.stack(pages) * 2 - 1
    if size is not None:
        pictures = torch.nn.functional.interpolate(pictures, (size, size), mode="nearest")
    return to_uint8(pictures)


def frames_beside(*clips: Float[Tensor, "t 3 h w"], scale: int = 1) -> UInt8[np.ndarray, "t h width 3"]:
    """Put clips of the same length side by side."""
    pages = np.concatenate([to_uint8(clip) for clip in clips], axis=2)
    return pages.repeat(scale, axis=1).repeat(scale, axis=2)


def _solid(generator: Generator) -> Any:
    if not generator.is_3d:
        raise ValueError("camera: a 2-D generator has one view; leave the cameras out")
    return generator
