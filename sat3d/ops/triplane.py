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
    """Return the mean of the planes' features at `points`; zeros outside.

    On a CPU the texels around a point are read as one weighted sum of rows, which takes a third of
    the time of `sample_planes` and never stores what the single planes say.
    """
    if planes.device.type != "cpu" or planes.dtype not in (torch.float32, torch.float64):
        return sample_planes(planes, axes, points, box_warp).mean(dim=1)
    b, p, c, h, w = planes.shape
    rows = planes.permute(0, 1, 3, 4, 2).reshape(b * p * h * w, c)
    index, weight = texels(project_to_planes(axes, points * (2 / box_warp)).to(planes.dtype), h, w)
    return F.embedding_bag(index, rows, mode="sum", per_sample_weights=weight).unflatten(0, (b, -1))


def texels(grid: Float[Tensor, "b p n 2"], h: int, w: int) -> tuple[Tensor, Tensor]:
    """Return the rows of the texels around each point in all planes, (B·N, 4P), and their bilinear weights."""
    b, p, n, _ = grid.shape
    size = torch.tensor([w, h], device=grid.device)
    at = torch.minimum(((grid + 1) * (size.to(grid.dtype) / 2) - 0.5).clamp_min(-1), size.to(grid.dtype))
    low = at.floor()
    share, first = at - low, low.int()
    start = torch.arange(b * p, device=grid.device, dtype=torch.int32).reshape(b, p, 1) * (h * w)
    index, weight = [], []
    for dy in (0, 1):
        y = first[..., 1] + dy
        wy = (share[..., 1] if dy else 1 - share[..., 1]) * ((y >= 0) & (y < h)) / p
        row = start + y.clamp(0, h - 1) * w
        for dx in (0, 1):
            x = first[..., 0] + dx
            weight.append(wy * (share[..., 0] if dx else 1 - share[..., 0]) * ((x >= 0) & (x < w)))
            index.append(row + x.clamp(0, w - 1))
    return tuple(torch.stack(t, -1).transpose(1, 2).reshape(b * n, 4 * p) for t in (index, weight))  # type: ignore[return-value]
