"""The pure sampler `(seed, i) → z, camera`: sample *i* depends on nothing else."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.ops.camera import Camera


@dataclass(frozen=True)
class CameraDistribution:
    """Describe where the cameras of a generator stand.

    Args:
        yaw: range in radians.
        pitch: range in radians; positive is below the pivot, as in EG3D.
        pivot: the point that cameras look at, world units.
        radius: distance of the cameras from the origin, world units.
        fov: field of view in degrees, as the released code turns it into a focal length.
    """

    yaw: tuple[float, float] = (-0.35, 0.35)
    pitch: tuple[float, float] = (-0.25, 0.25)
    pivot: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 2.7
    fov: float = 18.837

    def at(self, yaw: Tensor | float, pitch: Tensor | float) -> Camera:
        """Return cameras at these angles, radians."""
        return Camera.look_at(yaw, pitch, pivot=self.pivot, radius=self.radius, fov=self.fov)

    def sample(self, u: Float[Tensor, "b 2"]) -> Camera:
        """Turn uniform numbers in [0, 1) into cameras."""
        (y0, y1), (p0, p1) = self.yaw, self.pitch
        return self.at(y0 + (y1 - y0) * u[:, 0], p0 + (p1 - p0) * u[:, 1])

    def frontal(self) -> Camera:
        """Return the one camera in front."""
        return self.at(0.0, 0.0)

    def orbit(
        self,
        steps: int,
        yaw: float | None = None,
        pitch: float | None = None,
        around: tuple[float, float] = (0.0, 0.0),
    ) -> Camera:
        """Return cameras on a closed ellipse around a view.

        Args:
            steps: number of cameras.
            yaw: amplitude in radians, half the range if not given.
            pitch: amplitude in radians, half the range if not given.
            around: yaw and pitch of the view in the middle, radians.
        """
        a = (self.yaw[1] - self.yaw[0]) / 2 if yaw is None else yaw
        b = (self.pitch[1] - self.pitch[0]) / 2 if pitch is None else pitch
        t = torch.arange(steps) * (2 * math.pi / steps)
        return self.at(around[0] + a * t.sin(), around[1] + b * t.cos())

    def turn(self, steps: int, around: tuple[float, float] = (0.0, 0.0)) -> Camera:
        """Return cameras on a full turn that starts at a yaw and stays at a pitch, radians."""
        return self.at(around[0] + torch.arange(steps) * (2 * math.pi / steps), around[1])


SEEDS = "seeds"
"""The stream whose sample numbers the command line calls seeds."""

DEFAULT_CAMERAS = CameraDistribution()
"""What is assumed of a 3-D generator whose cameras nobody told: radius and field of view of EG3D's faces."""
TOY_CAMERAS = CameraDistribution(yaw=(-0.8, 0.8), pitch=(-0.35, 0.35), radius=2.7, fov=30.0)


@dataclass(frozen=True)
class CodeStream:
    """Draw latents and cameras as pure functions of `(seed, stream, i)`.

    Philox is counter based: each sample has its own counter, so neither the order, the batch size, the worker nor the
    rank changes what index *i* gives.

    Args:
        seed: any non-negative integer.
        z_dim: width of z.
        cameras: where cameras stand; `None` for a 2-D generator.
        stream: its name; different names give disjoint streams.

    Example:
        >>> stream = CodeStream(0, z_dim=32, cameras=TOY_CAMERAS, stream="train")
        >>> bool((stream.z([5, 6])[1] == stream.z([6])[0]).all())
        True
    """

    seed: int
    z_dim: int
    cameras: CameraDistribution | None = None
    stream: str = "train"

    def z(self, indices: Sequence[int] | Tensor) -> Float[Tensor, "b z"]:
        """Return standard normal latents (B, z_dim), float32."""
        rows = [self._rng(i, "z").standard_normal(self.z_dim, dtype=np.float32) for i in _as_list(indices)]
        return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, self.z_dim)

    def camera(self, indices: Sequence[int] | Tensor) -> Camera | None:
        """Return one camera for each index, or `None` for a 2-D generator."""
        return None if self.cameras is None else self.cameras.sample(self._uniform(indices, 2, "camera"))

    def uniform(self, indices: Sequence[int] | Tensor, n: int = 1) -> Float[Tensor, "b n"]:
        """Return n numbers in [0, 1) for each index, independent of its latent and camera."""
        return self._uniform(indices, n, "uniform")

    def _uniform(self, indices: Sequence[int] | Tensor, n: int, what: str) -> Tensor:
        rows = [self._rng(i, what).random(n, dtype=np.float32) for i in _as_list(indices)]
        return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, n)

    def _rng(self, index: int, what: str) -> np.random.Generator:
        key = np.array([self.seed, zlib.crc32(f"{self.stream}/{what}".encode())], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, index]))


def _as_list(indices: Sequence[int] | Tensor) -> list[int]:
    return [int(i) for i in indices]
