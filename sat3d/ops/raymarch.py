"""Depths along rays, importance sampling and compositing, as EG3D's renderer computes them (arXiv 2112.07945).

Depths and densities are (B, M, S): B pictures, M rays, S samples along the ray.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def stratified_depths(
    near: Float[Tensor, "#b #m 1"] | float,
    far: Float[Tensor, "#b #m 1"] | float,
    jitter: Float[Tensor, "b m s"],
    *,
    disparity: bool = False,
) -> Float[Tensor, "b m s"]:
    """Return S depths from `near` to `far`, each moved by its jitter in [0, 1) times the spacing.

    Args:
        near: where rays start, world units; one number, or one for each ray.
        far: where they end; the last sample may pass it.
        jitter: one number for each sample.
        disparity: space the samples evenly in 1/depth.
    """
    # Sums and products in this order, as released: rounding moves the samples by enough to be seen in steep planes.
    steps = jitter.shape[-1]
    if disparity:
        t = torch.linspace(0, 1, steps, dtype=jitter.dtype, device=jitter.device) + jitter * (1 / (steps - 1))
        return 1 / (1 / near * (1 - t) + 1 / far * t)
    spacing = (far - near) / (steps - 1)
    if isinstance(near, float) and isinstance(far, float):
        return torch.linspace(near, far, steps, dtype=jitter.dtype, device=jitter.device) + jitter * spacing
    index = torch.arange(steps, dtype=jitter.dtype, device=jitter.device)
    return near + index / (steps - 1) * (far - near) + jitter * spacing


def box_limits(
    origins: Float[Tensor, "b m 3"], directions: Float[Tensor, "b m 3"], side: float
) -> tuple[Float[Tensor, "b m 1"], Float[Tensor, "b m 1"]]:
    """Intersect rays with the cube of side `side` around the origin.

    Returns:
        Near and far depth of every ray, −1 and −2 where it misses.
    """
    inverse = 1 / directions  # multiplied with, as released: divisions round otherwise
    a = (-side / 2 - origins) * inverse
    b = (side / 2 - origins) * inverse
    near = torch.minimum(a, b).amax(dim=-1, keepdim=True)
    far = torch.maximum(a, b).amin(dim=-1, keepdim=True)
    hit = near <= far
    return torch.where(hit, near, -torch.ones_like(near)), torch.where(hit, far, torch.full_like(far, -2.0))


def fill_missed_rays(near: Float[Tensor, "b m 1"], far: Float[Tensor, "b m 1"]) -> tuple[Tensor, Tensor]:
    """Give rays that miss the box the smallest near and the largest *near* of those that hit, as released."""
    hit = far > near
    if not bool(hit.any()):
        return near, far
    return torch.where(hit, near, near[hit].min()), torch.where(hit, far, near[hit].max())


def march_weights(densities: Float[Tensor, "b m s"], depths: Float[Tensor, "b m s"]) -> Float[Tensor, "b m s1"]:
    """Return the weights of the S − 1 intervals between neighbouring samples.

    The densities of neighbours are averaged first; then softplus(σ − 1)·δ is the optical depth of the interval.
    """
    sigma = F.softplus((densities[..., :-1] + densities[..., 1:]) / 2 - 1)
    alpha = 1 - torch.exp(-sigma * (depths[..., 1:] - depths[..., :-1]))
    clear = torch.cumprod(1 - alpha + 1e-10, dim=-1)
    return alpha * torch.cat([torch.ones_like(clear[..., :1]), clear[..., :-1]], dim=-1)


def importance_depths(
    depths: Float[Tensor, "b m s"], weights: Float[Tensor, "b m s1"], u: Float[Tensor, "b m n"]
) -> Float[Tensor, "b m n"]:
    """Draw further depths where the coarse pass found matter, by the inverse of its distribution function.

    Args:
        depths: coarse depths.
        weights: of the coarse pass, for its S − 1 intervals.
        u: numbers in [0, 1), used unsorted.
    """
    with torch.no_grad():
        b, m, s1 = weights.shape
        smooth = F.max_pool1d(weights.reshape(1, b * m, s1), 2, stride=1, padding=1)
        smooth = F.avg_pool1d(smooth, 2, stride=1).reshape(b, m, s1) + 0.01
        bins = (depths[..., :-1] + depths[..., 1:]) / 2
        return inverse_cdf(bins, smooth[..., 1:-1], u)


def inverse_cdf(
    bins: Float[Tensor, "b m k"], weights: Float[Tensor, "b m w"], u: Float[Tensor, "b m n"]
) -> Float[Tensor, "b m n"]:
    """Map uniform numbers through the piecewise linear inverse of the distribution with these bin weights."""
    pdf = weights + 1e-5
    cdf = torch.cumsum(pdf / pdf.sum(dim=-1, keepdim=True), dim=-1)
    cdf = torch.cat([torch.zeros_like(cdf[..., :1]), cdf], dim=-1).contiguous()
    above = torch.searchsorted(cdf, u.contiguous(), right=True)
    below = (above - 1).clamp(min=0)
    above = above.clamp(max=weights.shape[-1])
    low, high = cdf.gather(-1, below), cdf.gather(-1, above)
    width = high - low
    width = torch.where(width < 1e-5, torch.ones_like(width), width)
    start, end = bins.gather(-1, below), bins.gather(-1, above)
    return start + (u - low) / width * (end - start)


def sample_weights(weights: Float[Tensor, "b m s1"], order: Tensor | None = None) -> Float[Tensor, "b m s"]:
    """Turn weights of intervals into weights of samples, Σ w·(cᵢ + cᵢ₊₁)/2 = Σ v·c.

    So colours need neither be averaged nor sorted: with `order`, the permutation that sorted the depths, the weights
    are put back into the samples' own order, and compositing is one batched matrix product.
    """
    v = (F.pad(weights, (0, 1)) + F.pad(weights, (1, 0))) / 2
    return v if order is None else torch.zeros_like(v).scatter(-1, order, v)


def composite(sample_weight: Float[Tensor, "b m s"], features: Float[Tensor, "b m s c"]) -> Float[Tensor, "b m c"]:
    """Return Σ v·c along every ray."""
    return torch.matmul(sample_weight.unsqueeze(-2), features).squeeze(-2)


def expected_depth(weights: Float[Tensor, "b m s1"], depths: Float[Tensor, "b m s"]) -> Float[Tensor, "b m"]:
    """Return Σ w·d / Σ w over the intervals' middles, inf where a ray met nothing; clamp it to the sampled range.

    Where a ray met nothing the released networks' gradient is NaN; this one is 0.
    """
    middle = (depths[..., :-1] + depths[..., 1:]) / 2
    total = weights.sum(-1)
    nothing = total == 0
    depth = (weights * middle).sum(-1) / total.masked_fill(nothing, 1)
    return torch.nan_to_num(depth.masked_fill(nothing, float("inf")), float("inf"))
