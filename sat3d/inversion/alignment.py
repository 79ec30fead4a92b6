"""Turning, cropping and resizing pictures as a generator's training pictures were."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional

from sat3d.inversion.landmarks import LandmarkError, Landmarks, find_landmarks
from sat3d.inversion.pictures import LEAST_SIDE, fit_picture, resize_channels
from sat3d.perception.networks import fit_resolution

Alignment = Literal["ffhq", "none"]

_ALIGNED = re.compile(r"(?<![a-z])(ffhq(rebalanced)?|celebahq|metfaces)(?![a-z])")
BLUR, RAMP = 0.02, 0.05
"""Outside a picture: the blur's standard deviation, and how far from the edge it is in full, as shares of the crop."""


def expected_alignment(generator: str) -> Alignment:
    """Tell how the training pictures of a generator were aligned, by the data set in its name.

    Those of FFHQ, MetFaces and CelebA-HQ are crops by landmarks. FFHQ-U and MetFaces-U are not turned, and nothing else
    is a set of aligned faces. EG3D's crop of FFHQ is another one, which is not published as equations; `ffhq` is the
    nearest there is.

    Args:
        generator: a name in the zoo, or a file whose name tells the data set.
    """
    return "ffhq" if _ALIGNED.search(Path(generator).name.lower()) else "none"


def prepare_picture(
    picture: UInt8[np.ndarray, "h w 3"],
    resolution: int,
    *,
    align: Alignment = "none",
    landmarks: Landmarks | None = None,
    name: str = "picture",
) -> Float[Tensor, "1 3 r r"]:
    """Make of a picture what a generator could have drawn, in [-1, 1].

    Args:
        picture: as `read_picture` gives it.
        resolution: of the generator, pixels.
        align: `ffhq` crops by landmarks, `none` cuts the square in the middle.
        landmarks: of the face; found if not given.
        name: what messages call the picture.

    Raises:
        LandmarkError: there is no face, landmarks are of another picture, or given where they are of no use.
        ImportError: landmarks have to be found, and dlib is not installed.
        ValueError: the alignment is unknown.
    """
    if align == "none":
        if landmarks is not None:
            raise LandmarkError(
                f"{name}: landmarks are of no use where nothing is aligned; align ffhq, or leave them out"
            )
        return fit_picture(picture, resolution)
    if align != "ffhq":
        raise ValueError(f"align={align!r}: give ffhq or none")
    return align_picture(picture, landmarks or find_landmarks(picture, name=name), resolution, name=name)


def crop_quad(landmarks: Landmarks) -> Float[np.ndarray, "4 2"]:
    """Return the square of a face: corners top left, top right, bottom right, bottom left, x and y in pixels.

    Appendix C of Karras et al. 2018 (arXiv 1710.10196). Rotate90 takes right to up, which is -y in pictures.
    """
    e0, e1 = landmarks.eyes
    across, up = e1 - e0, landmarks.eyes.mean(0) - landmarks.mouth.mean(0)  # x', y'
    centre = landmarks.eyes.mean(0) - 0.1 * up
    side = max(4.0 * np.hypot(*across), 3.6 * np.hypot(*up))
    x = across - _rotate90(up)
    x = x / np.hypot(*x)
    y = _rotate90(x)
    return np.stack([centre + side / 2 * (i * x + j * y) for i, j in ((-1, 1), (1, 1), (1, -1), (-1, -1))])


def _rotate90(vector: np.ndarray) -> np.ndarray:
    return np.array([vector[1], -vector[0]])


def align_picture(
    picture: UInt8[np.ndarray, "h w 3"], landmarks: Landmarks, resolution: int, *, name: str = "picture"
) -> Float[Tensor, "1 3 r r"]:
    """Crop a face as FFHQ's are (Karras et al. 2019, arXiv 1812.04948, A), anti-aliased, in [-1, 1].

    Where the crop leaves the picture, the picture is mirrored and blurred, as the paper of `crop_quad` has it; how much
    is not published, and ours.

    Args:
        picture: as `read_picture` gives it.
        landmarks: in its pixels.
        resolution: of the generator, pixels.
        name: what messages call the picture.

    Raises:
        LandmarkError: the face is outside the picture, or smaller than 16 pixels with its surroundings.
        ValueError: the resolution is below 1.
    """
    if resolution < 1:
        raise ValueError(f"resolution={resolution}: give 1 or more")
    quad, sides = crop_quad(landmarks), np.array(picture.shape[1::-1])
    side, centre = float(np.hypot(*(quad[1] - quad[0]))), quad.mean(0)
    if not ((centre >= 0) & (centre <= sides - 1)).all():
        told = ", ".join(f"{x:.0f}" for x in centre)
        raise LandmarkError(f"{name}: landmarks around ({told}) are outside its {sides[0]}x{sides[1]} pixels")
    if side < LEAST_SIDE:
        raise LandmarkError(f"{name}: the face and what is around it are {side:.0f} pixels wide; give a larger picture")
    shrink = max(side / (2 * resolution), 1.0)
    part, corner, scale = _shrunk_part(picture, quad, shrink)
    points = _points(quad, 2 * resolution)
    places = (points - corner + 0.5) * scale / torch.tensor(part.shape[:1:-1])  # in [0, 1] from edge to edge
    grid = (2 * places - 1).float()[None]
    crop = functional.grid_sample(part, grid, "bilinear", padding_mode="reflection", align_corners=False)
    outside = torch.maximum(-0.5 - points, points + 0.5 - torch.from_numpy(sides)).amax(-1) / side
    if (outside > 0).any():
        sigma = BLUR * 2 * resolution
        soft = gaussian_blur2d(crop, 2 * math.ceil(3 * sigma) + 1, (sigma, sigma)) if resolution >= 16 else crop
        crop = crop.lerp(soft, (outside / RAMP).clamp(0, 1).to(crop.dtype))
    return fit_resolution(crop, resolution).clamp(-1, 1)


def _points(quad: np.ndarray, steps: int) -> Float[Tensor, "n n 2"]:
    """Lay a grid of pixels' middles over a square."""
    t = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    start, right, down = (torch.from_numpy(v) for v in (quad[0], quad[1] - quad[0], quad[3] - quad[0]))
    return start + t[None, :, None] * right + t[:, None, None] * down


def _shrunk_part(
    picture: np.ndarray, quad: np.ndarray, shrink: float
) -> tuple[Float[Tensor, "1 3 i j"], Float[Tensor, " 2"], Float[Tensor, " 2"]]:
    """Cut out what a square needs of a picture and shrink it.

    The square's middle is inside the picture: mirrored at the edges where it leaves it, it still falls into this part.

    Returns:
        The part in [-1, 1], the place of its first pixel in the picture, and its scale; x and y.
    """
    margin, sides = 2 * math.ceil(shrink) + 2, np.array(picture.shape[1::-1])
    low = np.clip(np.floor(quad.min(0)) - margin, 0, sides - 1).astype(int)
    high = np.clip(np.ceil(quad.max(0)) + margin, 1, sides).astype(int)
    part = picture[low[1] : high[1], low[0] : high[0]]
    wanted = np.maximum(np.rint((high - low) / shrink), 1).astype(int)

    def resize(x: Tensor) -> Tensor:
        size = (int(wanted[1]), int(wanted[0]))
        return x if shrink == 1 else functional.interpolate(x, size, mode="bilinear", antialias=True)

    return resize_channels(part, resize), torch.from_numpy(low.astype(float)), torch.from_numpy(wanted / (high - low))
