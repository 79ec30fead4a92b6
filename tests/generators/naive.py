"""The released networks written out from what is known of them: own weights for every sample, rule after rule.

Nothing here is fast, and nothing is shared with `sat3d`. Networks are what a checkpoint says they are: constructor
arguments, and tensors by their released names (`tensors_of` draws such).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

State = Mapping[str, Tensor]
Styles = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]
RGB, FEATURES = 3, 32
# side of the input, channels and doubling of the two blocks, what is resized
SUPERRESOLUTION: dict[str, tuple[int, tuple[int, int], tuple[bool, bool], str]] = {
    "SuperresolutionHybrid8XDC": (128, (256, 128), (True, True), "any"),
    "SuperresolutionHybrid8X": (128, (128, 64), (True, True), "any"),
    "SuperresolutionHybrid4X": (128, (128, 64), (False, True), "smaller"),
    "SuperresolutionHybridDeepfp32": (128, (128, 64), (False, True), "smaller"),
    "SuperresolutionHybrid2X": (64, (128, 64), (False, True), "any"),
}


def fir(taps: Any = (1, 3, 3, 1)) -> Tensor:
    """Return outer(taps, taps) that sums to one."""
    line = torch.tensor(taps, dtype=torch.float32)
    return torch.outer(line, line) / line.sum() ** 2


# --- layers


def dense(state: State, name: str, x: Tensor, lr: float = 1.0) -> Tensor:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return x @ (weight * lr / math.sqrt(weight.shape[1])).T + bias * lr


def activate(x: Tensor, gain: float, clamp: float | None) -> Tensor:
    x = torch.where(x < 0, 0.2 * x, x) * math.sqrt(2) * gain
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def spread(x: Tensor, length: int) -> Tensor:
    """Put zeros between the samples of (C, H, W)."""
    out = x.new_zeros(x.shape[0], length, length)
    out[:, ::2, ::2] = x
    return out


def convolve_filter(x: Tensor, f: Tensor, before: int, after: int) -> Tensor:
    """Convolve (C, H, W) truly with f, between so many zeros."""
    padded = F.pad(x, (before, after, before, after))
    return F.conv2d(padded[:, None], f.flip((0, 1))[None, None])[:, 0]


def double(x: Tensor, f: Tensor) -> Tensor:
    """Double the resolution of (C, H, W)."""
    return convolve_filter(spread(x, 2 * x.shape[1]), 4 * f, (len(f) + 1) // 2, (len(f) - 2) // 2)


def convolve(x: Tensor, weight: Tensor, f: Tensor | None) -> Tensor:
    """Convolve one sample (C, H, W) with its own weights; with a filter, double the resolution too."""
    k = weight.shape[-1]
    if f is None:
        return F.conv2d(x[None], weight, padding=k // 2)[0]
    if k == 1:
        return double(F.conv2d(x[None], weight)[0], f)
    turned = weight.flip((2, 3))
    wide = F.conv2d(spread(x, 2 * x.shape[1] - 1)[None], turned, padding=k - 1)[0]
    return convolve_filter(wide, 4 * f, k // 2 + (len(f) + 1) // 2 - (k - 1), k // 2 + (len(f) - 2) // 2 - (k - 2))


def modulated(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool, f: Tensor | None = None) -> Tensor:
    out = []
    for one, factors in zip(x, style, strict=True):
        own = weight * factors[None, :, None, None]
        if demodulate:
            own = own / (own.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        out.append(convolve(one, own, f))
    return torch.stack(out)


# --- StyleGAN2


def mapping(
    state: State, name: str, kwargs: Mapping[str, Any], count: int, z: Tensor, c: Tensor | None, psi: float, cutoff: Any
) -> Tensor:
    """Return ws (B, count, w_dim)."""
    options = {"num_layers": 8, "lr_multiplier": 0.01} | dict(kwargs.get("mapping_kwargs", {}))
    parts = [z] if kwargs["z_dim"] else []
    if kwargs["c_dim"]:
        parts.append(dense(state, f"{name}.embed", c))
    x = torch.cat([p / (p.square().mean(dim=1, keepdim=True) + 1e-8).sqrt() for p in parts], dim=1)
    for i in range(options["num_layers"]):
        x = activate(dense(state, f"{name}.fc{i}", x, options["lr_multiplier"]), 1.0, None)
    ws, mean = [x] * count, state[f"{name}.w_avg"]
    for i in range(count):
        if psi != 1 and (cutoff is None or i < cutoff):
            ws[i] = mean + psi * (x - mean)
    return torch.stack(ws, dim=1)


def sides(resolution: int) -> list[int]:
    return [2**i for i in range(2, resolution.bit_length())]


def layers_of(resolution: int, architecture: str) -> Iterator[tuple[str, int]]:
    """Yield (name, index of its w) of the layers with a style, forward order."""
    for i, side in enumerate(sides(resolution)):
        if i:
            yield f"b{side}.conv0", 2 * i - 1
        yield f"b{side}.conv1", 2 * i
        if architecture == "skip" or side == resolution:
            yield f"b{side}.torgb", 2 * i + 1


def affine(state: State, prefix: str, layers: Any, ws: Tensor) -> Styles:
    """Return the raw styles of layers by name."""
    return {f"{prefix}.{name}": dense(state, f"{prefix}.{name}.affine", ws[:, i]) for name, i in layers}


def noise_of(state: State, name: str, x: Tensor, noise: str) -> Tensor | float:
    if f"{name}.noise_strength" not in state or noise == "none":
        return 0.0
    if noise == "random":
        return torch.randn(len(x), 1, *x.shape[2:]).to(x) * state[f"{name}.noise_strength"]
    return state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]


def layer(
    state: State, name: str, x: Tensor, styles: Styles, noise: str, clamp: Any, f: Tensor | None = None, gain: float = 1
) -> Tensor:
    x = modulated(x, state[f"{name}.weight"], styles[name], True, f)
    x = x + noise_of(state, name, x, noise) + state[f"{name}.bias"][:, None, None]
    return activate(x, gain, clamp)


def to_rgb(state: State, name: str, x: Tensor, styles: Styles, clamp: float | None) -> Tensor:
    weight = state[f"{name}.weight"]
    y = modulated(x, weight, styles[name] / math.sqrt(weight[0].numel()), False)
    y = y + state[f"{name}.bias"][:, None, None]
    return y if clamp is None else y.clamp(-clamp, clamp)


def synthesis(
    state: State, prefix: str, kwargs: Mapping[str, Any], resolution: int, styles: Styles, noise: str
) -> Tensor:
    """Return the picture (or planes)."""
    architecture, clamp = kwargs.get("architecture", "skip"), kwargs["conv_clamp"]
    f = fir(kwargs.get("resample_filter", (1, 3, 3, 1))).double()
    image, x = None, torch.empty(0)
    for side in sides(resolution):
        block = f"{prefix}.b{side}"
        if side == 4:
            count = len(styles[f"{block}.conv1"])
            x = torch.stack([state[f"{block}.const"]] * count)
            x = layer(state, f"{block}.conv1", x, styles, noise, clamp)
        elif architecture == "resnet":
            kernel = state[f"{block}.skip.weight"]
            past = torch.stack([convolve(one, kernel / math.sqrt(kernel.shape[1]), f) for one in x])
            x = layer(state, f"{block}.conv0", x, styles, noise, clamp, f)
            x = layer(state, f"{block}.conv1", x, styles, noise, clamp, gain=math.sqrt(0.5))
            x = past * math.sqrt(0.5) + x
        else:
            x = layer(state, f"{block}.conv0", x, styles, noise, clamp, f)
            x = layer(state, f"{block}.conv1", x, styles, noise, clamp)
        if image is not None:
            image = torch.stack([double(one, f) for one in image])
        if architecture == "skip" or side == resolution:
            y = to_rgb(state, f"{block}.torgb", x, styles, clamp)
            image = y if image is None else image + y
    assert image is not None
    return image


# --- EG3D


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


# --- what a checkpoint holds


def tensors_of(config: Mapping[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """Draw a network's tensors, float32, under the names and in the shapes of a released checkpoint."""
    kwargs = config["init_kwargs"]
    if config["class_name"].endswith("TriPlaneGenerator"):
        shapes = _eg3d_shapes(kwargs)
    else:
        flat = {**kwargs, **kwargs.get("synthesis_kwargs", {})}
        shapes = _mapping_shapes("mapping", kwargs) | _synthesis_shapes(
            "synthesis", flat, kwargs["img_resolution"], kwargs["img_channels"]
        )
    draw = torch.Generator().manual_seed(seed)
    lr = kwargs.get("mapping_kwargs", {}).get("lr_multiplier", 0.01)
    out = {}
    for name, shape in shapes.items():
        tensor = torch.randn(shape, generator=draw)
        if name.endswith("resample_filter"):
            tensor = fir(_taps(name, kwargs))
        elif "mapping.fc" in name:
            tensor = tensor / lr
        elif name.endswith("affine.bias"):
            tensor = 1 + 0.3 * tensor
        elif name.endswith("w_avg"):
            tensor = 0.3 * tensor
        out[name] = tensor
    return out


def _taps(name: str, kwargs: Mapping[str, Any]) -> Any:
    """Layers that double the resolution, and blocks, have the filter that was asked for."""
    flat = {**kwargs, **kwargs.get("synthesis_kwargs", {})}
    return (1, 3, 3, 1) if "superresolution" in name or "conv1" in name else flat.get("resample_filter", (1, 3, 3, 1))


def _mapping_shapes(prefix: str, kwargs: Mapping[str, Any]) -> Shapes:
    options, width = kwargs.get("mapping_kwargs", {}), kwargs["w_dim"]
    count, hidden = options.get("num_layers", 8), options.get("layer_features") or width
    embed = (options.get("embed_features") or width) if kwargs["c_dim"] else 0
    widths = [kwargs["z_dim"] + embed, *[hidden] * (count - 1), width]
    shapes: Shapes = {f"{prefix}.w_avg": (width,)}
    if embed:
        shapes |= {f"{prefix}.embed.weight": (embed, kwargs["c_dim"]), f"{prefix}.embed.bias": (embed,)}
    for i in range(count):
        shapes |= {f"{prefix}.fc{i}.weight": (widths[i + 1], widths[i]), f"{prefix}.fc{i}.bias": (widths[i + 1],)}
    return shapes


def _styled(name: str, outputs: int, inputs: int, kernel: int, w_dim: int) -> Shapes:
    return {
        f"{name}.affine.weight": (inputs, w_dim),
        f"{name}.affine.bias": (inputs,),
        f"{name}.weight": (outputs, inputs, kernel, kernel),
        f"{name}.bias": (outputs,),
    }


def _layer_shapes(name: str, outputs: int, inputs: int, side: int, w_dim: int, noisy: bool = True) -> Shapes:
    noise: Shapes = {f"{name}.noise_strength": (), f"{name}.noise_const": (side, side)} if noisy else {}
    return _styled(name, outputs, inputs, 3, w_dim) | noise | {f"{name}.resample_filter": (4, 4)}


def _synthesis_shapes(prefix: str, kwargs: Mapping[str, Any], resolution: int, outputs: int) -> Shapes:
    base, most = kwargs.get("channel_base", 32768), kwargs.get("channel_max", 512)
    architecture, noisy = kwargs.get("architecture", "skip"), kwargs.get("use_noise", True)
    shapes: Shapes = {}
    for side in sides(resolution):
        block, here, w_dim = f"{prefix}.b{side}", min(base // side, most), kwargs["w_dim"]
        shapes[f"{block}.resample_filter"] = (4, 4)
        if side == 4:
            shapes[f"{block}.const"] = (here, 4, 4)
        else:
            before = min(base // (side // 2), most)
            shapes |= _layer_shapes(f"{block}.conv0", here, before, side, w_dim, noisy)
            if architecture == "resnet":
                shapes |= {f"{block}.skip.weight": (here, before, 1, 1), f"{block}.skip.resample_filter": (4, 4)}
        shapes |= _layer_shapes(f"{block}.conv1", here, here, side, w_dim, noisy)
        if architecture == "skip" or side == resolution:
            shapes |= _styled(f"{block}.torgb", outputs, here, 1, w_dim)
    return shapes


def _eg3d_shapes(kwargs: Mapping[str, Any]) -> Shapes:
    module = kwargs["rendering_kwargs"]["superresolution_module"].rsplit(".", 1)[-1]
    side, channels, up, _ = SUPERRESOLUTION[module]
    shapes = _mapping_shapes("backbone.mapping", kwargs)
    shapes |= _synthesis_shapes("backbone.synthesis", kwargs, 256, 3 * FEATURES)
    inputs = FEATURES
    for i, outputs in enumerate(channels):
        name, side = f"superresolution.block{i}", side * (2 if up[i] else 1)
        shapes[f"{name}.resample_filter"] = (4, 4)
        shapes |= _layer_shapes(f"{name}.conv0", outputs, inputs, side, 512)
        shapes |= _layer_shapes(f"{name}.conv1", outputs, outputs, side, 512)
        shapes |= _styled(f"{name}.torgb", RGB, outputs, 1, 512)
        inputs = outputs
    if module != "SuperresolutionHybrid8XDC":
        shapes["superresolution.resample_filter"] = (4, 4)
    shapes |= {"decoder.net.0.weight": (64, FEATURES), "decoder.net.0.bias": (64,)}
    return shapes | {"decoder.net.2.weight": (1 + FEATURES, 64), "decoder.net.2.bias": (1 + FEATURES,)}
