"""Clips: codes beside each other along a camera path, their depth, and an edit that comes and goes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm.auto import tqdm

from sat3d.generators import Generator
from sat3d.ops.camera import Camera
from sat3d.visualization.files import to_uint8
from sat3d.visualization.grids import resized
from sat3d.visualization.views import Look, colour_depth, look

Page = UInt8[np.ndarray, "h w 3"]


class PathClip:
    """Show codes side by side along a path: first the pictures, then the depth that came with them.

    Only the small depth maps are kept in memory.

    Args:
        looks: one for each code, from `look`.
        track: cameras, one for each frame.
        side: of a picture in the clip, pixels.
        shared: a colour means the same depth for all codes; else it does for all frames of one code.
    """

    def __init__(self, looks: Sequence[Look], track: Camera, side: int, shared: bool = False) -> None:
        self.looks, self.track, self.side, self.shared = looks, track, side, shared
        self._maps: list[Tensor] = []  # of each frame: depth and opacity of every code, (N, 2, h, w)

    def pictures(self) -> Iterator[Page]:
        """Draw the frames."""
        self._maps = []
        for i in tqdm(range(len(self.track)), desc="Clip"):
            with torch.no_grad():
                renderings = [one(self.track[i]) for one in self.looks]
            maps = [torch.cat([r.depth, r.opacity], dim=1) for r in renderings]  # type: ignore[list-item]
            self._maps.append(torch.cat(maps).cpu())
            yield np.concatenate([resized(to_uint8(r.image[0]), self.side) for r in renderings], axis=1)

    def depths(self) -> Iterator[Page]:
        """Colour the depth of the frames that were drawn last."""
        maps = torch.stack(self._maps, dim=1)  # (N, T, 2, h, w)
        for frame in zip(*coloured_depths(maps[:, :, 0], maps[:, :, 1], self.shared), strict=True):
            yield np.concatenate([resized(picture, self.side) for picture in frame], axis=1)


def coloured_depths(
    depth: Float[Tensor, "n t h w"], opacity: Float[Tensor, "n t h w"], shared: bool
) -> UInt8[np.ndarray, "n t h w 3"]:
    """Colour depth maps, see `colour_depth`; a colour means the same in T maps, or in all N·T if `shared`."""
    n, t, h, w = depth.shape
    # As tall maps: those that share a range are one.
    tall = (1 if shared else n, -1, w)
    return colour_depth(depth.reshape(tall), opacity.reshape(tall)).reshape(n, t, h, w, 3)


def there_and_back(frames: int) -> list[float]:
    """Return shares that go from 0 to 1 and back, slow at both ends: a closed loop."""
    return [(1 - math.cos(2 * math.pi * i / frames)) / 2 for i in range(frames)]


@torch.no_grad()
def morph_pages(
    generator: Generator,
    edited: Callable[[float], Float[Tensor, "1 c"]],
    strength: float,
    track: Camera | None,
    side: int,
    frames: int,
) -> Iterator[Page]:
    """Draw an edit that grows from nothing to its strength and goes back, while the camera follows a path.

    The strength is what moves, so that each frame is an edit that the editor can make.

    Args:
        generator: shows the codes.
        edited: styles by strength.
        strength: in the middle of the clip.
        track: cameras, one for each frame; `None` for a 2-D generator.
        side: of the clip, pixels.
        frames: how many.
    """
    for i, share in enumerate(tqdm(there_and_back(frames), desc="Morph")):
        image = look(generator, edited(share * strength))(None if track is None else track[i]).image[0]
        yield resized(to_uint8(image), side)
