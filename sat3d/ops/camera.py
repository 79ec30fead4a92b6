"""Cameras: poses that look at a point, and the rays they cast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

LABEL_SIZE = 25
NEAR = (0.35, 0.25)
"""How far from a generator's view, in yaw and pitch, cameras stand that are near it, radians; a choice."""

Range = tuple[float, float] | Literal["near"] | None
"""A range of angles in radians: see `CameraDistribution.within`."""


@dataclass(frozen=True)
class Camera:
    """Hold a batch of pinhole cameras in the convention of EG3D.

    Axes are OpenCV's (x right, y down, z forward); intrinsics are normalised by the picture size, so that they do not
    depend on its resolution. The world is right-handed: a head looks along +z and its up is +y.

    Args:
        cam2world: camera-to-world matrices, (B, 4, 4), in world units.
        intrinsics: normalised intrinsics, (B, 3, 3).

    Raises:
        ValueError: if the shapes do not fit each other.

    Example:
        >>> camera = Camera.look_at(yaw=0.3, pitch=-0.1, radius=2.7, fov=18.837)
        >>> origins, directions = camera.rays(64)
        >>> origins.shape, camera.label().shape
        (torch.Size([1, 4096, 3]), torch.Size([1, 25]))
    """

    cam2world: Tensor
    intrinsics: Tensor

    def __post_init__(self) -> None:
        n = self.cam2world.shape[0]
        if self.cam2world.shape != (n, 4, 4) or self.intrinsics.shape != (n, 3, 3):
            raise ValueError(
                f"a Camera takes cam2world (B, 4, 4) and intrinsics (B, 3, 3), "
                f"not {tuple(self.cam2world.shape)} and {tuple(self.intrinsics.shape)}"
            )

    @classmethod
    def look_at(
        cls,
        yaw: Tensor | float,
        pitch: Tensor | float,
        *,
        pivot: Sequence[float] | Tensor = (0.0, 0.0, 0.0),
        radius: Tensor | float = 2.7,
        fov: Tensor | float = 18.837,
    ) -> Camera:
        """Place cameras on a sphere around the world's origin, looking at `pivot`.

        The released EG3D sampler's convention: the sphere stays at the origin when the pivot moves, and the polar
        angle is arccos(1 − 2v/π) with v = π/2 + pitch, which is not v itself except at the equator.

        Args:
            yaw: angle around the up axis in radians, a number or (B,); 0 is frontal, positive goes to +x.
            pitch: in radians, a number or (B,); 0 is level, positive goes *below* the pivot.
            pivot: the point looked at, (3,) or (B, 3), world units.
            radius: distance from the origin, world units.
            fov: field of view in degrees, as the released code turns it into a focal length.
        """
        yaw_, pitch_ = torch.broadcast_tensors(_vector(yaw), _vector(pitch))
        pivot_ = torch.as_tensor(pivot, dtype=yaw_.dtype, device=yaw_.device).expand(len(yaw_), 3)
        v = (math.pi / 2 + pitch_).clamp(1e-5, math.pi - 1e-5)
        polar = torch.arccos(1 - 2 * v / math.pi)
        theta = math.pi / 2 + yaw_
        offset = torch.stack(
            [polar.sin() * (math.pi - theta).cos(), polar.cos(), polar.sin() * (math.pi - theta).sin()], dim=-1
        )
        origin = _vector(radius).to(yaw_).unsqueeze(-1) * offset
        return cls(_facing(pivot_ - origin, origin), intrinsics_from_fov(_vector(fov).to(yaw_).expand(len(yaw_))))

    @classmethod
    def from_label(cls, label: Tensor) -> Camera:
        """Read EG3D's camera label (B, 25): 16 cam2world, row by row, then 9 intrinsics."""
        if label.ndim != 2 or label.shape[1] != LABEL_SIZE:
            raise ValueError(f"a camera label is (B, {LABEL_SIZE}), not {tuple(label.shape)}")
        return cls(label[:, :16].reshape(-1, 4, 4), label[:, 16:].reshape(-1, 3, 3))

    @classmethod
    def cat(cls, cameras: Sequence[Camera]) -> Camera:
        """Join batches of cameras."""
        return cls(torch.cat([c.cam2world for c in cameras]), torch.cat([c.intrinsics for c in cameras]))

    def label(self) -> Float[Tensor, "b 25"]:
        """Return the (B, 25) label that EG3D's networks take."""
        return torch.cat([self.cam2world.flatten(1), self.intrinsics.flatten(1)], dim=1)

    def rays(self, resolution: int) -> tuple[Float[Tensor, "b rays 3"], Float[Tensor, "b rays 3"]]:
        """Cast one ray through every pixel centre, row by row.

        Returns:
            Origins and unit directions, each (B, resolution², 3), world units.
        """
        steps = torch.arange(resolution, dtype=self.cam2world.dtype, device=self.cam2world.device)
        grid = steps * (1 / resolution) + 0.5 / resolution
        v, u = torch.meshgrid(grid, grid, indexing="ij")
        u, v = u.reshape(1, -1), v.reshape(1, -1)
        k = self.intrinsics
        fx, fy, cx, cy, skew = (k[:, i, j, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2), (0, 1)))
        x = (u - cx + cy * skew / fy - skew * v / fy) / fx
        y = ((v - cy) / fy).expand_as(x)
        # Through world points and in this order, as released: the rounding shows in the steep planes of real weights.
        points = (self.cam2world @ torch.stack([x, y, torch.ones_like(x), torch.ones_like(x)], dim=1)).mT
        origins = self.cam2world[:, None, :3, 3].expand(-1, resolution**2, 3)
        return origins, torch.nn.functional.normalize(points[..., :3] - origins, dim=-1)

    def project(self, points: Float[Tensor, "b n 3"]) -> tuple[Float[Tensor, "b n 2"], Float[Tensor, "b n"]]:
        """Project points into the pictures: the inverse of `rays`.

        Args:
            points: world units, N for each camera.

        Returns:
            places (x, y) in the picture, [0, 1] from its left and upper edge, and depth along the camera's axis.
        """
        local = (points - self.cam2world[:, None, :3, 3]) @ self.cam2world[:, :3, :3]
        depth = local[..., 2]
        place = (local / depth[..., None]) @ self.intrinsics.mT
        return place[..., :2], depth

    def angles(self) -> Float[Tensor, "b 2"]:
        """Return the yaw and pitch, radians, that `look_at` takes to stand where these cameras stand."""
        x, y, z = torch.nn.functional.normalize(self.cam2world[:, :3, 3], dim=-1).unbind(-1)
        return torch.stack([torch.atan2(x, z), -math.pi / 2 * y], dim=1)

    def to(self, *args: object, **kwargs: object) -> Camera:
        """Move to a device or dtype, as `Tensor.to` does."""
        return Camera(self.cam2world.to(*args, **kwargs), self.intrinsics.to(*args, **kwargs))  # type: ignore[call-overload]

    def expand(self, count: int) -> Camera:
        """Repeat a single camera `count` times without copying; a batch of `count` is returned as it is."""
        if len(self) not in (1, count):
            raise ValueError(f"{len(self)} cameras do not fit {count} codes: give one camera, or one for each code")
        return Camera(self.cam2world.expand(count, 4, 4), self.intrinsics.expand(count, 3, 3))

    def __len__(self) -> int:
        return int(self.cam2world.shape[0])

    def __getitem__(self, index: int | slice | Tensor) -> Camera:
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        return Camera(self.cam2world[index], self.intrinsics[index])


@dataclass(frozen=True)
class CameraDistribution:
    """Describe where the cameras of a generator stand.

    Args:
        yaw: range in radians.
        pitch: range in radians; positive is below the pivot, as in EG3D.
        pivot: the point that cameras look at, world units.
        radius: distance of the cameras from the origin, world units.
        fov: field of view in degrees, as the released code turns it into a focal length.
        view: yaw and pitch, radians, of the camera that pictures are shown from where nobody asks for another: from
            the front for faces, from above and the side for what is seen from all around.
    """

    yaw: tuple[float, float] = (-0.35, 0.35)
    pitch: tuple[float, float] = (-0.25, 0.25)
    pivot: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 2.7
    fov: float = 18.837
    view: tuple[float, float] = (0.0, 0.0)

    def at(self, yaw: Tensor | float, pitch: Tensor | float) -> Camera:
        """Return cameras at these angles, radians."""
        return Camera.look_at(yaw, pitch, pivot=self.pivot, radius=self.radius, fov=self.fov)

    def sample(self, u: Float[Tensor, "b 2"]) -> Camera:
        """Turn uniform numbers in [0, 1) into cameras."""
        (y0, y1), (p0, p1) = self.yaw, self.pitch
        return self.at(y0 + (y1 - y0) * u[:, 0], p0 + (p1 - p0) * u[:, 1])

    def frontal(self) -> Camera:
        """Return the one camera of `view`: in front, where nothing else is said."""
        return self.at(*self.view)

    @property
    def goes_round(self) -> bool:
        """Whether cameras stand on all sides."""
        return self.yaw[1] - self.yaw[0] >= 2 * math.pi - 1e-3

    def within(self, yaw: Range, pitch: Range) -> CameraDistribution:
        """Return the cameras of other ranges.

        Args:
            yaw: range in radians; `None` for this one's own, `near` for what lies within ±0.35 of `view` (all, where
                cameras stand on all sides: they have no front).
            pitch: likewise, within ±0.25.
        """
        if self.goes_round:
            yaw, pitch = (None if asked == "near" else asked for asked in (yaw, pitch))

        def found(asked: Range, own: tuple[float, float], middle: float, reach: float) -> tuple[float, float]:
            if asked == "near":
                return max(own[0], middle - reach), min(own[1], middle + reach)
            return own if asked is None else (asked[0], asked[1])

        return replace(
            self,
            yaw=found(yaw, self.yaw, self.view[0], NEAR[0]),
            pitch=found(pitch, self.pitch, self.view[1], NEAR[1]),
        )

    def turned(self, yaw: Float[Tensor, " b"]) -> Camera:
        """Return cameras at these angles from `view`, radians, and as high."""
        return self.at(self.view[0] + yaw, torch.full_like(yaw, self.view[1]))

    def second(self, camera: Camera, yaw: float) -> Camera:
        """Return other cameras on the same things, from where the first are not: one for each of a batch.

        They stand `yaw` radians from `view`, on the other side of it and as high as it; where cameras stand on all
        sides, they go `yaw` on from the first, and stay as high.
        """
        angles = camera.angles().cpu()
        if self.goes_round:
            return self.at(angles[:, 0] + yaw, angles[:, 1])
        return self.turned(torch.where(angles[:, 0] >= self.view[0], -yaw, yaw))

    def orbit(
        self,
        steps: int,
        yaw: float | None = None,
        pitch: float | None = None,
        around: tuple[float, float] | None = None,
    ) -> Camera:
        """Return cameras on a closed ellipse around a view; once round, where cameras stand on all sides.

        Args:
            steps: number of cameras.
            yaw: amplitude in radians, half the range if not given.
            pitch: amplitude in radians, half the range if not given.
            around: yaw and pitch of the view in the middle, radians; `view` if not given.
        """
        around = self.view if around is None else around
        if self.goes_round and yaw is None and pitch is None:
            return self.turn(steps, around)
        a = (self.yaw[1] - self.yaw[0]) / 2 if yaw is None else yaw
        b = (self.pitch[1] - self.pitch[0]) / 2 if pitch is None else pitch
        t = torch.arange(steps) * (2 * math.pi / steps)
        return self.at(around[0] + a * t.sin(), around[1] + b * t.cos())

    def turn(self, steps: int, around: tuple[float, float] = (0.0, 0.0)) -> Camera:
        """Return cameras on a full turn that starts at a yaw and stays at a pitch, radians."""
        return self.at(around[0] + torch.arange(steps) * (2 * math.pi / steps), around[1])


def intrinsics_from_fov(fov: Tensor) -> Float[Tensor, "b 3 3"]:
    """Turn fields of view (B,), degrees, into normalised intrinsics.

    The constants 3.14159 and 1.414 are the released networks' own, whose labels contain the result.
    """
    focal = 1 / (torch.tan(fov * 3.14159 / 360) * 1.414)
    zero, one, half = torch.zeros_like(focal), torch.ones_like(focal), torch.full_like(focal, 0.5)
    return torch.stack([focal, zero, half, zero, focal, half, zero, zero, one], dim=-1).reshape(-1, 3, 3)


def _facing(forward: Tensor, origin: Tensor) -> Tensor:
    """Return cam2world matrices at `origin` that look along `forward` with the world's +y up."""
    forward = torch.nn.functional.normalize(forward, dim=-1)
    up = torch.tensor([0.0, 1.0, 0.0], dtype=forward.dtype, device=forward.device).expand_as(forward)
    right = -torch.nn.functional.normalize(torch.linalg.cross(up, forward), dim=-1)
    down = torch.nn.functional.normalize(torch.linalg.cross(forward, right), dim=-1)
    matrix = torch.eye(4, dtype=forward.dtype, device=forward.device).repeat(len(forward), 1, 1)
    matrix[:, :3, :3] = torch.stack([right, down, forward], dim=-1)
    matrix[:, :3, 3] = origin
    return matrix


def _vector(value: Tensor | float) -> Tensor:
    value = torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.get_default_dtype())
    return value.reshape(1) if value.ndim == 0 else value
