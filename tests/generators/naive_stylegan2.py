"""StyleGAN2 written out from what is known of it: own weights for every sample, rule after rule.

Nothing here, or in `naive_eg3d`, is fast, and nothing is shared with `sat3d`. Networks are what a checkpoint says they
are: constructor arguments, and tensors by their released names (`naive_tensors` draws such).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

State = Mapping[str, Tensor]
Styles = dict[str, Tensor]


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
