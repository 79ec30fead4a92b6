"""What a released checkpoint holds, drawn at random: names and shapes of tensors told from a network's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tests.generators.naive_eg3d import FEATURES, RGB, SUPERRESOLUTION
from tests.generators.naive_stylegan2 import fir, sides

Shapes = dict[str, tuple[int, ...]]


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
