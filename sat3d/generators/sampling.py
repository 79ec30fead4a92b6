"""The pure sampler `(seed, i) → z, camera`: sample *i* depends on nothing else."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.ops.camera import Camera, CameraDistribution

SEEDS = "seeds"
"""The stream whose sample numbers the command line calls seeds."""

DEFAULT_CAMERAS = CameraDistribution()
"""What is assumed of a 3-D generator whose cameras nobody told: radius and field of view of EG3D's faces."""
TOY_CAMERAS = CameraDistribution(yaw=(-0.8, 0.8), pitch=(-0.35, 0.35), radius=2.7, fov=30.0)
"""Those of the embedded world of heads."""


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
