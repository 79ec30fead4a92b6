"""The ray renderer of EG3D (arXiv 2112.07945 §4.1): two passes along every ray, composited without sorting colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sat3d.ops import raymarch
from sat3d.ops.triplane import mean_plane_features, plane_axes

Jitter = Literal["midpoint"] | torch.Generator | tuple[Tensor, Tensor]
Decode = Callable[[Tensor], tuple[Tensor, Tensor]]
MOST_KEPT = 350_000  # ray samples whose intermediate values may be kept for a backward pass, about 600 bytes each
CHUNK = 2**17  # ray samples that are marched at a time on a CPU (more is slower), and again in a backward pass


@dataclass(frozen=True)
class RenderingOptions:
    """Choose how rays are sampled. The defaults are the released FFHQ network's.

    Args:
        ray_start: depth of the first sample, world units; `auto` intersects each ray with the box.
        ray_end: depth of the last one.
        depth_resolution: coarse samples along a ray.
        depth_resolution_importance: further samples where the coarse ones found matter; 0 for none.
        box_warp: side of the cube that the planes cover, world units.
        disparity: space the coarse samples evenly in 1/depth.
        white_back: white background in place of −1.
        max_samples: memory budget: ray samples that are decoded at once when no gradient is kept.

    Raises:
        ValueError: if only one end of the rays is `auto`.
    """

    ray_start: float | Literal["auto"] = 2.25
    ray_end: float | Literal["auto"] = 3.3
    depth_resolution: int = 48
    depth_resolution_importance: int = 48
    box_warp: float = 1.0
    disparity: bool = False
    white_back: bool = False
    max_samples: int = 2**20

    def __post_init__(self) -> None:
        if (self.ray_start == "auto") != (self.ray_end == "auto"):
            raise ValueError(f"rays from {self.ray_start} to {self.ray_end}: `auto` is for both ends, or for none")


class Marched(NamedTuple):
    """Hold what marching gives for every ray.

    Args:
        features: mapped to [-1, 1], (B, M, F).
        depth: expected distance, world units, (B, M, 1).
        opacity: accumulated weight, (B, M, 1).
        weights: of the S − 1 intervals, (B, M, S − 1).
        depths: of the samples, sorted, (B, M, S).
    """

    features: Tensor
    depth: Tensor
    opacity: Tensor
    weights: Tensor
    depths: Tensor


class Rays(NamedTuple):
    """Hold rays (B, M, 3), their random numbers (B, M, S), and where they start and end: numbers, or (B, M, 1)."""

    origins: Tensor
    directions: Tensor
    jitter: Tensor
    u: Tensor
    near: Tensor | float
    far: Tensor | float

    def each(self, change: Callable[[Tensor], Tensor]) -> Rays:
        return Rays(*(t if isinstance(t, float) else change(t) for t in self))  # type: ignore[arg-type]

    def part(self, rays: slice) -> Rays:
        return self.each(lambda t: t[:, rays])


class RayRenderer(nn.Module):
    """March rays through tri-planes.

    Args:
        options: ray sampling.
        axes: (3, 3, 3) plane axes, the released convention if not given.
    """

    axes: Tensor

    def __init__(self, options: RenderingOptions, axes: object = None) -> None:
        super().__init__()
        self.options = options
        with torch.device("cpu"):  # also where weights are only declared: the axes are settings
            self.register_buffer("axes", plane_axes() if axes is None else torch.tensor(axes).float(), persistent=False)

    def query(self, planes: Tensor, decode: Decode, points: Float[Tensor, "b n 3"]) -> tuple[Tensor, Tensor]:
        """Return raw densities (B, N) and features (B, N, F) at points."""
        return decode(mean_plane_features(planes, self.axes, points, self.options.box_warp))

    def forward(
        self,
        planes: Float[Tensor, "p 3 f h w"],
        decode: Decode,
        origins: Float[Tensor, "b m 3"],
        directions: Float[Tensor, "b m 3"],
        jitter: Jitter = "midpoint",
    ) -> Marched:
        """March every ray, in chunks that keep to the memory budget; with gradients, large pictures are marched twice.

        Args:
            planes: for each of the B cameras, or one set for all of them.
            decode: features at points → densities, colour features.
            origins: of the rays, world units.
            directions: unit vectors.
            jitter: `midpoint`, a `torch.Generator`, or the two tensors of random numbers themselves.
        """
        b, m, _ = origins.shape
        if len(planes) not in (1, b):
            raise ValueError(f"{len(planes)} codes do not fit {b} cameras: give one code, or one for each camera")
        rays = self.rays(origins, directions, jitter)
        if len(planes) == 1 and b > 1:
            # Many views of one code are one picture with more rays: the planes are read where they are, not copied.
            rays = rays.each(lambda t: t.reshape(1, b * m, t.shape[-1]))
        o = self.options
        count = b * m // len(planes)
        samples = len(planes) * (o.depth_resolution + o.depth_resolution_importance)
        kept = torch.is_grad_enabled() and count * samples <= MOST_KEPT
        small = torch.is_grad_enabled() or not planes.is_cuda
        step = count if kept else max(1, (min(CHUNK, o.max_samples) if small else o.max_samples) // samples)
        march = self.march if kept or not torch.is_grad_enabled() else self._march_again
        chunks = [march(planes, decode, rays.part(slice(i, i + step))) for i in range(0, count, step)]
        whole = (torch.cat(parts, dim=1) if len(parts) > 1 else parts[0] for parts in zip(*chunks, strict=True))
        marched = Marched(*(t.reshape(b, m, t.shape[-1]) for t in whole))
        # The released networks clamp to the range of the whole batch, chunks of rays included.
        return marched._replace(depth=marched.depth.clamp(marched.depths.min(), marched.depths.max()))

    def rays(self, origins: Tensor, directions: Tensor, jitter: Jitter = "midpoint") -> Rays:
        """Return rays (B, M, 3) with all that says where along them samples lie; see `forward`."""
        numbers = self._jitter(origins.shape[0], origins.shape[1], jitter, origins)
        return Rays(origins, directions, *numbers, *self._limits(origins, directions))

    def _limits(self, origins: Tensor, directions: Tensor) -> tuple[Tensor | float, Tensor | float]:
        o = self.options
        if o.ray_start == "auto":
            return raymarch.fill_missed_rays(*raymarch.box_limits(origins, directions, o.box_warp))
        return float(o.ray_start), float(o.ray_end)

    def _jitter(self, b: int, m: int, jitter: Jitter, like: Tensor) -> tuple[Tensor, Tensor]:
        s, n = self.options.depth_resolution, self.options.depth_resolution_importance
        if jitter == "midpoint":
            u = ((torch.arange(n, dtype=like.dtype, device=like.device) + 0.5) / max(n, 1)).expand(b, m, n)
            return like.new_full((), 0.5).expand(b, m, s), u
        if isinstance(jitter, torch.Generator):
            first = torch.rand(b, m, s, 1, generator=jitter, device=jitter.device)
            second = torch.rand(b * m, n, generator=jitter, device=jitter.device) if n else first.new_empty(b * m, 0)
        elif isinstance(jitter, tuple):
            first, second = jitter
        else:
            raise ValueError(f"jitter is 'midpoint', a torch.Generator or two tensors, not {jitter!r}")
        return first.reshape(b, m, s).to(like), second.reshape(b, m, n).to(like)

    def _march_again(self, planes: Tensor, decode: Decode, rays: Rays) -> Marched:
        """March now, and again in the backward pass instead of keeping what lies between."""
        marched: Marched = checkpoint(self.march, planes, decode, rays, use_reentrant=False, preserve_rng_state=False)  # type: ignore[no-untyped-call]
        return marched

    def march(self, planes: Tensor, decode: Decode, rays: Rays) -> Marched:
        """March rays at once; see `forward`."""
        origins, directions, u = rays.origins, rays.directions, rays.u
        depths = raymarch.stratified_depths(rays.near, rays.far, rays.jitter, disparity=self.options.disparity)
        density, coarse_features = self._decode_along(planes, decode, origins, directions, depths)
        features, order = [coarse_features], None
        if u.shape[-1]:
            with torch.no_grad():
                coarse = raymarch.march_weights(density, depths)
            fine = raymarch.importance_depths(depths, coarse, u)
            more_density, more_features = self._decode_along(planes, decode, origins, directions, fine)
            depths, order = torch.sort(torch.cat([depths, fine], dim=-1), dim=-1, stable=True)
            density = torch.cat([density, more_density], dim=-1).gather(-1, order)
            features.append(more_features)
        weights = raymarch.march_weights(density, depths)
        shares = raymarch.sample_weights(weights, order).split([f.shape[-2] for f in features], dim=-1)
        colour = torch.stack([raymarch.composite(a, f) for a, f in zip(shares, features, strict=True)]).sum(0)
        opacity = weights.sum(-1, keepdim=True)
        if self.options.white_back:
            colour = colour + 1 - opacity
        depth = raymarch.expected_depth(weights, depths).unsqueeze(-1)
        return Marched(colour * 2 - 1, depth, opacity, weights, depths)

    def _decode_along(
        self, planes: Tensor, decode: Decode, origins: Tensor, directions: Tensor, depths: Tensor
    ) -> tuple[Tensor, Tensor]:
        points = origins.unsqueeze(-2) + depths.unsqueeze(-1) * directions.unsqueeze(-2)
        density, features = self.query(planes, decode, points.flatten(1, 2))
        return density.unflatten(1, depths.shape[1:]), features.unflatten(1, depths.shape[1:])
