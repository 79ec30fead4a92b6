"""The plain way to compute our generators, as a baseline: what one writes down first, as the released code on a CPU.

Every sample gets its own modulated weights, run as a grouped convolution; resampling inserts zeros and filters them;
bias, leaky ReLU, gain and clamp are passes of their own; samples along a ray are sorted and their features gathered,
and compositing multiplies and sums. It takes the modules of `sat3d.generators`, so that outputs can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from sat3d.generators.eg3d import EG3D
from sat3d.generators.layers import SynthesisBlock, SynthesisLayer, ToRGBLayer
from sat3d.generators.stylegan2 import StyleGAN2
from sat3d.ops import Camera, raymarch
from sat3d.ops.triplane import sample_planes


def upfirdn2d(x: Tensor, f: Tensor, up: int = 1, pad: tuple[int, int] = (0, 0), gain: float = 1.0) -> Tensor:
    """Insert zeros, pad, and filter every channel."""
    b, c, h, w = x.shape
    x = x.reshape(b, c, h, 1, w, 1)
    x = F.pad(x, [0, up - 1, 0, 0, 0, up - 1]).reshape(b, c, h * up, w * up)
    x = F.pad(x, [pad[0], pad[1], pad[0], pad[1]])
    return F.conv2d(x, (f * gain).flip((0, 1))[None, None].repeat(c, 1, 1, 1), groups=c)


def modulated(x: Tensor, weight: Tensor, style: Tensor, f: Tensor | None = None, demodulate: bool = True) -> Tensor:
    """Convolve with weights of each sample's own; with `f`, double the resolution."""
    b, (o, i, k, _) = len(x), weight.shape
    w = weight[None] * style[:, None, :, None, None]
    if demodulate:
        w = w * (w.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, -1, *x.shape[2:])
    if f is None:
        y = F.conv2d(x, w.reshape(b * o, i, k, k), padding=k // 2, groups=b)
    else:
        y = F.conv_transpose2d(x, w.transpose(1, 2).reshape(b * i, o, k, k), stride=2, groups=b)
        y = upfirdn2d(y, f, pad=(1, 1), gain=4.0)
    return y.reshape(b, -1, *y.shape[2:])


def activate(x: Tensor, bias: Tensor, gain: float, clamp: float | None) -> Tensor:
    """Add the bias, apply leaky ReLU, gain and clamp."""
    x = F.leaky_relu(x + bias.reshape(1, -1, 1, 1), 0.2)
    x = x * (math.sqrt(2) * gain)
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def layer(net: SynthesisLayer, x: Tensor, style: Tensor, noise: str) -> Tensor:
    """Run one styled convolution."""
    x = modulated(x, net.weight, style, net.resample_filter if net.up else None)
    if noise == "const":
        x = x + net.noise_const * net.noise_strength
    return activate(x, net.bias, 1.0, net.clamp)


def torgb(net: ToRGBLayer, x: Tensor, style: Tensor) -> Tensor:
    """Run one toRGB."""
    x = modulated(x, net.weight, style / math.sqrt(net.weight[0].numel()), demodulate=False)
    x = x + net.bias.reshape(1, -1, 1, 1)
    return x if net.clamp is None else x.clamp(-net.clamp, net.clamp)


def block(
    net: SynthesisBlock, x: Tensor | None, image: Tensor | None, styles: Iterator[Tensor], noise: str
) -> tuple[Tensor, Tensor]:
    """Run a block of the `skip` architecture."""
    if x is None:
        style = next(styles)
        x = net.const.unsqueeze(0).repeat(len(style), 1, 1, 1)
    else:
        x = layer(net.conv0, x, next(styles), noise)
        style = next(styles)
    x = layer(net.conv1, x, style, noise)
    if image is not None and net.up:
        image = upfirdn2d(image, net.resample_filter, up=2, pad=(2, 1), gain=4.0)
    assert net.torgb is not None
    y = torgb(net.torgb, x, next(styles))
    return x, y if image is None else image + y


def stylegan2(generator: StyleGAN2, s: Tensor) -> Tensor:
    """Return pictures of styles."""
    x, image, styles = None, None, iter(generator.style_space.split(s))
    for _, net in generator.synthesis.blocks():
        x, image = block(net, x, image, styles, "const")
    assert image is not None
    return image


def backbone(generator: EG3D, s: Tensor) -> Tensor:
    """Return the tri-planes (B, 3, C, H, W) of styles."""
    x, image, styles = None, None, iter(generator.style_space.split(s))
    for _, net in generator.backbone.synthesis.blocks():
        x, image = block(net, x, image, styles, "const")
    assert image is not None
    return image.unflatten(1, (3, generator.options.plane_channels))


def along(
    generator: EG3D, planes: Tensor, origins: Tensor, directions: Tensor, depths: Tensor
) -> tuple[Tensor, Tensor]:
    """Return densities (B, M, S, 1) and features (B, M, S, C) at depths (B, M, S) along rays."""
    points = origins.unsqueeze(-2) + depths.unsqueeze(-1) * directions.unsqueeze(-2)
    read = sample_planes(planes, generator.renderer.axes, points.flatten(1, 2), generator.options.rendering.box_warp)
    density, features = generator.decoder(read.mean(1))
    shape = depths.shape[1:]
    return density.unflatten(1, shape).unsqueeze(-1), features.unflatten(1, shape)


def march(density: Tensor, features: Tensor, depths: Tensor) -> tuple[Tensor, Tensor]:
    """Composite sorted samples: features (B, M, C) and the intervals' weights (B, M, S − 1, 1)."""
    delta = (depths[..., 1:] - depths[..., :-1]).unsqueeze(-1)
    colours = (features[..., :-1, :] + features[..., 1:, :]) / 2
    sigma = F.softplus((density[..., :-1, :] + density[..., 1:, :]) / 2 - 1)
    alpha = 1 - torch.exp(-sigma * delta)
    clear = torch.cumprod(torch.cat([torch.ones_like(alpha[..., :1, :]), 1 - alpha + 1e-10], dim=-2), dim=-2)
    weights = alpha * clear[..., :-1, :]
    return (weights * colours).sum(-2) * 2 - 1, weights


def render(generator: EG3D, planes: Tensor, s: Tensor, camera: Camera, side: int) -> Tensor:
    """Return pictures: coarse and fine samples merged by sorting, then super-resolution."""
    o = generator.options.rendering
    origins, directions = camera.rays(side)
    b, m, _ = origins.shape
    assert not isinstance(o.ray_start, str) and not isinstance(o.ray_end, str)
    half = origins.new_full((b, m, o.depth_resolution), 0.5)
    depths = raymarch.stratified_depths(o.ray_start, o.ray_end, half)
    density, features = along(generator, planes, origins, directions, depths)
    _, weights = march(density, features, depths)
    n = o.depth_resolution_importance
    u = ((torch.arange(n, device=origins.device) + 0.5) / n).to(origins).expand(b, m, n)
    fine = raymarch.importance_depths(depths, weights.squeeze(-1), u)
    more_density, more_features = along(generator, planes, origins, directions, fine)
    depths, order = torch.sort(torch.cat([depths, fine], dim=-1), dim=-1)
    order = order.unsqueeze(-1)
    density = torch.cat([density, more_density], dim=-2).gather(-2, order)
    features = torch.cat([features, more_features], dim=-2)
    features = features.gather(-2, order.expand(-1, -1, -1, features.shape[-1]))
    colour, _ = march(density, features, depths)
    x = colour.transpose(1, 2).reshape(b, -1, side, side)
    net = generator.superresolution
    assert net is not None
    size, image = net.options.input_resolution, x[:, :3]
    if size != side:
        image, x = (
            F.interpolate(t, (size, size), mode="bilinear", antialias=net.options.antialias) for t in (image, x)
        )
    styles = iter(generator.style_space.split(s)[len(list(generator.backbone.synthesis.styled_layers())) :])
    for _, part in net.blocks():
        x, image = block(part, x, image, styles, "none")
    return image


def eg3d(generator: EG3D, s: Tensor, camera: Camera, side: int) -> Tensor:
    """Return pictures of styles; one camera for each."""
    return render(generator, backbone(generator, s), s, camera, side)
