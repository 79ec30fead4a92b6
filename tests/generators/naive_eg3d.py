"""EG3D written out from what is known of it: rays one by one, samples drawn number by number; see `naive_stylegan2`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tests.generators.naive_stylegan2 import State, Styles, dense, double, fir, layer, to_rgb

RGB, FEATURES = 3, 32
# side of the input, channels and doubling of the two blocks, what is resized
SUPERRESOLUTION: dict[str, tuple[int, tuple[int, int], tuple[bool, bool], str]] = {
    "SuperresolutionHybrid8XDC": (128, (256, 128), (True, True), "any"),
    "SuperresolutionHybrid8X": (128, (128, 64), (True, True), "any"),
    "SuperresolutionHybrid4X": (128, (128, 64), (False, True), "smaller"),
    "SuperresolutionHybridDeepfp32": (128, (128, 64), (False, True), "smaller"),
    "SuperresolutionHybrid2X": (64, (128, 64), (False, True), "any"),
}


def rays(label: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return origins and unit directions (B, side², 3) of camera labels (B, 25)."""
    origins, directions = [], []
    for one in label:
        pose, ((fx, skew, cx), (_, fy, cy), _) = one[:16].reshape(4, 4), one[16:].reshape(3, 3)
        for row in range(side):
            for column in range(side):
                u, v = (column + 0.5) / side, (row + 0.5) / side
                y = (v - cy) / fy
                x = (u - cx - skew * y) / fx
                towards = pose[:3, :3] @ torch.stack([x, y, torch.ones_like(x)])
                origins.append(pose[:3, 3])
                directions.append(towards / towards.norm())
    shape = (len(label), side * side, 3)
    return torch.stack(origins).reshape(shape), torch.stack(directions).reshape(shape)


def limits(origins: Tensor, directions: Tensor, options: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return where rays start and end, (B, M) each."""
    near, far = torch.empty(origins.shape[:2]).to(origins), torch.empty(origins.shape[:2]).to(origins)
    if options["ray_start"] != "auto":
        return near.fill_(options["ray_start"]), far.fill_(options["ray_end"])
    pairs = zip(origins.reshape(-1, 3).tolist(), directions.reshape(-1, 3).tolist(), strict=True)
    found = [box(o, d, options["box_warp"] / 2) for o, d in pairs]
    starts = [limit[0] for limit in found if limit]
    missed = (min(starts), max(starts)) if starts else (-1.0, -2.0)
    both = origins.new_tensor([limit or missed for limit in found]).reshape(*near.shape, 2)
    return both[..., 0], both[..., 1]


def box(origin: list[float], direction: list[float], half: float) -> tuple[float, float] | None:
    """Return where a ray enters and leaves the cube, if it does."""
    enters, leaves = -math.inf, math.inf
    for o, d in zip(origin, direction, strict=True):
        first, second = sorted([(-half - o) / d, (half - o) / d])
        enters, leaves = max(enters, first), min(leaves, second)
    return (enters, leaves) if leaves > enters else None


def coarse_depths(near: Tensor, far: Tensor, jitter: Tensor, disparity: bool) -> Tensor:
    """Return depths (B, M, S) of jitter (B, M, S)."""
    count, depths = jitter.shape[-1], []
    for i in range(count):
        t = (i + jitter[..., i]) / (count - 1)
        depths.append(1 / ((1 - t) / near + t / far) if disparity else near + t * (far - near))
    return torch.stack(depths, dim=-1)


def fine_depths(depths: Tensor, weights: Tensor, u: Tensor) -> Tensor:
    """Draw depths (R, N) from the coarse ones (R, S) with weights (R, S − 1) and uniform numbers (R, N)."""
    out = torch.empty_like(u)
    for ray in range(len(depths)):
        d, w = depths[ray].tolist(), [-math.inf, *weights[ray].tolist(), -math.inf]
        pooled = [max(a, b) for a, b in pairwise(w)]
        smooth = [(a + b) / 2 + 0.01 for a, b in pairwise(pooled)][1:-1]
        total, cdf = sum(s + 1e-5 for s in smooth), [0.0]
        for s in smooth:
            cdf.append(cdf[-1] + (s + 1e-5) / total)
        bins = [(a + b) / 2 for a, b in pairwise(d)]
        for n, value in enumerate(u[ray].tolist()):
            above = sum(value >= edge for edge in cdf)
            low, high = max(above - 1, 0), min(above, len(smooth))
            width = cdf[high] - cdf[low]
            out[ray, n] = bins[low] + (value - cdf[low]) / (width if width >= 1e-5 else 1) * (bins[high] - bins[low])
    return out


def bilinear(plane: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Read (C, H, W) at coordinates in [-1, 1]; zeros outside; (N, C)."""
    c, h, w = plane.shape
    x, y = ((u + 1) * w - 1) / 2, ((v + 1) * h - 1) / 2
    out = plane.new_zeros(len(u), c)
    for i in (0, 1):
        for j in (0, 1):
            column, row = x.floor() + i, y.floor() + j
            inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
            share = (1 - (x - column).abs()) * (1 - (y - row).abs()) * inside
            at = row.clamp(0, h - 1).long() * w + column.clamp(0, w - 1).long()
            out = out + share[:, None] * plane.flatten(1)[:, at].T
    return out


def decode(state: State, planes: Tensor, points: Tensor, kwargs: Mapping[str, Any], corrected: bool) -> tuple:
    """Return density (N,) and features (N, 32) of one sample's planes (3, 32, H, W) at points (N, 3)."""
    options = kwargs["rendering_kwargs"]
    x, y, z = (points * 2 / options["box_warp"]).T
    pairs = [(x, y), (x, z), (z, y) if corrected else (z, x)]
    features = sum(bilinear(plane, u, v) for plane, (u, v) in zip(planes, pairs, strict=True)) / 3
    lr = options.get("decoder_lr_mul", 1)
    hidden = dense(state, "decoder.net.0", features, lr)
    out = dense(state, "decoder.net.2", torch.log1p(hidden.exp()), lr)
    return out[:, 0], 1.002 / (1 + (-out[:, 1:]).exp()) - 0.001


def march(density: Tensor, colour: Tensor, depths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return Σ w·c (B, M, F), Σ w·d and Σ w (B, M), and the weights (B, M, S − 1)."""
    clear: Tensor | float = 1.0
    weights = []
    for i in range(depths.shape[-1] - 1):
        sigma = torch.log1p(((density[..., i] + density[..., i + 1]) / 2 - 1).exp())
        alpha = 1 - (-sigma * (depths[..., i + 1] - depths[..., i])).exp()
        weights.append(alpha * clear)
        clear = clear * (1 - alpha + 1e-10)
    w = torch.stack(weights, dim=-1)
    middle = (depths[..., 1:] + depths[..., :-1]) / 2
    colours = (colour[..., 1:, :] + colour[..., :-1, :]) / 2
    return (w[..., None] * colours).sum(-2), (w * middle).sum(-1), w


def render(
    state: State,
    kwargs: Mapping[str, Any],
    planes: Tensor,
    label: Tensor,
    side: int,
    jitter: tuple[Tensor, Tensor],
    corrected: bool = False,
) -> dict[str, Tensor]:
    """Return `features` (B, M, 32), `depth`, `opacity` (B, M) of planes (B, 3, 32, H, W) seen by labels (B, 25).

    `along` is Σ w·d, before it is divided by the opacity.
    """
    options = kwargs["rendering_kwargs"]
    origins, directions = rays(label, side)
    near, far = limits(origins, directions, options)
    b, m = near.shape

    def along(depths: Tensor) -> tuple[Tensor, Tensor]:
        points = origins[:, :, None] + depths[..., None] * directions[:, :, None]
        pairs = [decode(state, planes[i], points[i].reshape(-1, 3), kwargs, corrected) for i in range(b)]
        density, colour = (torch.stack(t) for t in zip(*pairs, strict=True))
        return density.reshape(depths.shape), colour.reshape(*depths.shape, FEATURES)

    depths = coarse_depths(near, far, jitter[0].reshape(b, m, -1), options.get("disparity_space_sampling", False))
    density, colour = along(depths)
    if options["depth_resolution_importance"]:
        weights = march(density.detach(), colour.detach(), depths)[2]
        fine = fine_depths(depths.reshape(b * m, -1), weights.reshape(b * m, -1), jitter[1].reshape(b * m, -1))
        more_density, more_colour = along(fine.reshape(b, m, -1))
        depths, order = torch.cat([depths, fine.reshape(b, m, -1)], dim=-1).sort(dim=-1)
        density = torch.cat([density, more_density], dim=-1).gather(-1, order)
        together = torch.cat([colour, more_colour], dim=-2)
        colour = together.gather(-2, order[..., None].expand(together.shape))
    colours, distance, weights = march(density, colour, depths)
    opacity = weights.sum(-1)
    depth = torch.nan_to_num(distance / opacity, math.inf).clamp(depths.min(), depths.max())
    if options.get("white_back"):
        colours = colours + 1 - opacity[..., None]
    return {"features": 2 * colours - 1, "depth": depth, "opacity": opacity, "along": distance}


def resizing(inputs: int, outputs: int, antialias: bool) -> Tensor:
    """Return the matrix (outputs, inputs) of linear interpolation between pixel centres."""
    matrix, scale = torch.zeros(outputs, inputs, dtype=torch.float64), inputs / outputs
    reach = max(scale, 1.0) if antialias else 1.0
    for i in range(outputs):
        centre = (i + 0.5) * scale - 0.5
        centre = centre if antialias else min(max(centre, 0.0), inputs - 1.0)
        for j in range(inputs):
            matrix[i, j] = max(0.0, 1 - abs(j - centre) / reach)
    return matrix / matrix.sum(dim=1, keepdim=True)


def superresolve(
    state: State, kwargs: Mapping[str, Any], features: Tensor, styles: Styles, shrink: int = 1
) -> tuple[Tensor, Tensor]:
    """Return the picture and the raw picture of ray-marched features (B, 32, h, w).

    Args:
        shrink: divides the side that the module works at, which its convolutions do not mind.
    """
    options = kwargs["rendering_kwargs"]
    module = options["superresolution_module"].rsplit(".", 1)[-1]
    size, _, up, resized = SUPERRESOLUTION[module]
    size, side = size // shrink, features.shape[-1]
    clamp = 256.0 if kwargs.get("sr_num_fp16_res", 0) > 0 else None
    f = fir().double()
    x = features
    if side != size and not (resized == "smaller" and side > size):
        matrix = resizing(side, size, options["sr_antialias"] and "Deepfp32" not in module)
        x = matrix @ x @ matrix.T
    image = x[:, :RGB]
    for i in (0, 1):
        block = f"superresolution.block{i}"
        mode = options["superresolution_noise_mode"]
        x = layer(state, f"{block}.conv0", x, styles, mode, clamp, f if up[i] else None)
        x = layer(state, f"{block}.conv1", x, styles, mode, clamp)
        if up[i]:
            image = torch.stack([double(one, f) for one in image])
        image = image + to_rgb(state, f"{block}.torgb", x, styles, clamp)
    return image, features[:, :RGB]


SR_LAYERS = [f"block{i}.{name}" for i in (0, 1) for name in ("conv0", "conv1", "torgb")]
