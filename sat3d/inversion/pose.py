"""Where a picture was taken from: the angles of its camera, found together with its code."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.generators import CameraDistribution
from sat3d.ops.camera import Camera


@dataclass(frozen=True)
class PoseOptions:
    """Set the search for the cameras of pictures; distance, pivot and field of view are the generator's.

    Args:
        yaws: angles of the grid that a search without an encoder starts on, evenly over the generator's range.
        pitches: likewise.
        reach: how far beyond the generator's range angles may go, as a share of the range.
        lr: step size of Adam, radians.
    """

    yaws: int = 9
    pitches: int = 5
    reach: float = 0.25
    lr: float = 0.01

    def __post_init__(self) -> None:
        if min(self.yaws, self.pitches) < 1:
            raise ValueError(f"pose: yaws={self.yaws} and pitches={self.pitches} must be at least 1")


def angle_grid(cameras: CameraDistribution, options: PoseOptions) -> Float[Tensor, "k 2"]:
    """Return yaw and pitch of the cells' middles of a grid over a generator's cameras, radians."""

    def middles(low: float, high: float, count: int) -> Tensor:
        return low + (torch.arange(count) + 0.5) * ((high - low) / count)

    yaw, pitch = middles(*cameras.yaw, options.yaws), middles(*cameras.pitch, options.pitches)
    return torch.cartesian_prod(yaw, pitch).reshape(-1, 2)


def within(angles: Float[Tensor, "b 2"], cameras: CameraDistribution, reach: float) -> Float[Tensor, "b 2"]:
    """Keep angles where a generator, widened by a share of its range, has cameras; full turns have no end."""
    columns = []
    for column, (low, high) in zip(angles.unbind(1), (cameras.yaw, cameras.pitch), strict=True):
        more = reach * (high - low)
        columns.append(column if high - low >= 2 * math.pi - 1e-3 else column.clamp(low - more, high + more))
    return torch.stack(columns, dim=1)


def view_angle(one: Camera, other: Camera) -> Float[Tensor, " b"]:
    """Return the angle between two cameras' viewing directions, degrees."""
    a, b = (torch.nn.functional.normalize(c.cam2world[:, :3, 2].double(), dim=-1) for c in (one, other))
    # of the chord, which small angles do not round away as they do the cosine
    return (2 * torch.rad2deg(torch.arcsin(((a - b).norm(dim=-1) / 2).clamp(max=1)))).float()
