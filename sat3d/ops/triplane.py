"""Feature planes sampled at points in space (EG3D, Chan et al. 2022, arXiv 2112.07945, §4.1)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

PlaneConvention = Literal["released", "corrected"]
PLANE_AXES: dict[str, list[list[list[float]]]] = {
    # Row r of an entry is the direction of that plane's r-th axis; features lie along the first two. The released
    # networks project on (x, y), (x, z) and (z, x): YZ is missing, and their weights depend on it.
    "released": [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
    ],
    "corrected": [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
    ],
}


def plane_axes(convention: PlaneConvention = "released") -> Float[Tensor, "3 3 3"]:
    """Return the axes of the three planes, (plane, axis, xyz).

    Args:
        convention: `released`, planes (x,y), (x,z), (z,x) as the published checkpoints need them, or `corrected`,
            planes (x,y), (x,z), (z,y).
    """
    return torch.tensor(PLANE_AXES[convention], dtype=torch.float32)


def project_to_planes(axes: Float[Tensor, "p 3 3"], points: Float[Tensor, "b n 3"]) -> Float[Tensor, "b p n 2"]:
    """Return each point's two coordinates on every plane."""
    return torch.einsum("bnc,pcd->bpnd", points, torch.linalg.inv(axes.float()).to(points)[:, :, :2])


def sample_planes(
    planes: Float[Tensor, "b p c h w"],
    axes: Float[Tensor, "p 3 3"],
    points: Float[Tensor, "b n 3"],
    box_warp: float,
) -> Float[Tensor, "b p n c"]:
    """Read the planes bilinearly at `points`, zeros outside.

    Args:
        planes: feature planes over the cube of side `box_warp` around the origin.
        axes: from `plane_axes`, or a checkpoint's own.
        points: world coordinates.
        box_warp: side of the cube, world units.
    """
    b, p, c, h, w = planes.shape
    grid = project_to_planes(axes, points * (2 / box_warp)).reshape(b * p, 1, -1, 2)
    out = F.grid_sample(planes.reshape(b * p, c, h, w), grid.to(planes.dtype), align_corners=False)
    return out.reshape(b, p, c, -1).transpose(2, 3)


def mean_plane_features(
    planes: Float[Tensor, "b p c h w"], axes: Float[Tensor, "p 3 3"], points: Float[Tensor, "b n 3"], box_warp: float
) -> Float[Tensor, "b n c"]:
    """Return the mean of the planes' features at `points`."""
    return sample_planes(planes, axes, points, box_warp).mean(dim=1)
