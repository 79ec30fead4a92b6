"""StyleGAN2's layers (Karras et al. 2020, arXiv 1912.04958), under the released networks' parameter names."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sat3d.generators.base import FeatureTap, Kind
from sat3d.ops.modulation import leaky_relu, modulated_conv2d, styled_conv2d
from sat3d.ops.resample import conv2d_up, setup_filter, upsample2d

Architecture = Literal["skip", "orig", "resnet"]
Noise = Literal["const", "none", "random"] | torch.Generator
MOST_LAYERS = 64


class FullyConnected(nn.Module):
    """Apply a linear layer with equalised learning rate: weight gain lr/√in, bias gain lr.

    Args:
        inputs: input width.
        outputs: output width.
        activate: follow with leaky ReLU·√2.
        lr: learning-rate multiplier.
        bias: initial bias.
    """

    def __init__(
        self, inputs: int, outputs: int, *, activate: bool = False, lr: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.full((outputs,), float(bias)))
        self.activate, self.lr = activate, lr

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        """Map (…, inputs) to (…, outputs)."""
        gain = self.lr / math.sqrt(self.weight.shape[1])
        x = F.linear(x, self.weight.to(x.dtype) * gain, self.bias.to(x.dtype) * self.lr)
        return leaky_relu(x) if self.activate else x


class MappingNetwork(nn.Module):
    """Map z (and a condition c) to w; truncate towards the mean w.

    Args:
        z_dim: width of z; 0 for none.
        c_dim: width of c; 0 for none.
        w_dim: width of w.
        num_ws: how often w is repeated.
        num_layers: depth.
        layer_features: hidden width, `w_dim` if not given.
        embed_features: width of the embedded condition, `w_dim` if not given.
        lr_multiplier: of the layers' learning rate.
        normalize_z: scale z to unit mean square, as the released networks do; that discards its length.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int,
        num_layers: int = 8,
        embed_features: int | None = None,
        layer_features: int | None = None,
        lr_multiplier: float = 0.01,
        normalize_z: bool = True,
    ) -> None:
        super().__init__()
        if not 1 <= num_layers <= MOST_LAYERS:
            raise ValueError(f"num_layers={num_layers}: a mapping network has 1 to {MOST_LAYERS}")
        embed = (embed_features or w_dim) if c_dim else 0
        hidden = layer_features or w_dim
        widths = [z_dim + embed, *[hidden] * (num_layers - 1), w_dim]
        self.z_dim, self.c_dim, self.num_ws, self.num_layers = z_dim, c_dim, num_ws, num_layers
        self.normalize_z = normalize_z
        if c_dim:
            self.embed = FullyConnected(c_dim, embed)
        for i in range(num_layers):
            self.add_module(f"fc{i}", FullyConnected(widths[i], widths[i + 1], activate=True, lr=lr_multiplier))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self, z: Float[Tensor, "b z"], c: Tensor | None, truncation: float = 1.0, cutoff: int | None = None
    ) -> Float[Tensor, "b n w"]:
        """Return ws (B, num_ws, w_dim), computed in float32 or better."""
        kind = z.dtype
        z = z.to(torch.promote_types(kind, torch.float32))
        parts = [_normalise(z) if self.normalize_z else z] if self.z_dim else []
        if self.c_dim:
            if c is None or c.shape[-1] != self.c_dim:
                raise ValueError(f"this generator's mapping takes a condition c of shape (B, {self.c_dim})")
            parts.append(_normalise(self.embed(c.to(z.dtype))))
        x = torch.cat(parts, dim=1)
        for i in range(self.num_layers):
            x = self.get_submodule(f"fc{i}")(x)
        ws = x.unsqueeze(1).repeat(1, self.num_ws, 1)
        if truncation != 1:
            mean = self.w_avg.to(ws.dtype)
            ws = torch.cat(
                [mean.lerp(ws[:, :cutoff], truncation), ws[:, cutoff:] if cutoff is not None else ws[:, :0]], 1
            )
        return ws.to(kind)


def _normalise(x: Tensor) -> Tensor:
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class StyledLayer(nn.Module):
    """Hold what every layer with a style shares: kernel, bias, affine map of w, and a name for taps.

    Args:
        kind: `conv` or `torgb`.
        inputs: input channels, which is also the size of the style.
        outputs: output channels.
        w_dim: width of w.
        kernel: side of the kernel.
        resolution: of the output, pixels.
    """

    kind: Kind

    def __init__(self, kind: Kind, inputs: int, outputs: int, w_dim: int, kernel: int, resolution: int) -> None:
        super().__init__()
        self.kind, self.inputs, self.outputs, self.resolution = kind, inputs, outputs, resolution
        self.affine = FullyConnected(w_dim, inputs, bias=1)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))


class SynthesisLayer(StyledLayer):
    """Convolve with modulated weights; add noise and bias; leaky ReLU, gain, clamp.

    Args:
        up: double the resolution.
        clamp: of the activations, `None` for none.
        position: add a learned map of the full shape (C, H, W) with the bias, so that a small backbone knows at every
            resolution where it is. Not part of the released networks; the embedded generators use it.
        use_noise: whether there is any, in any noise mode.
    """

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        w_dim: int,
        resolution: int,
        *,
        kernel: int = 3,
        up: bool = False,
        clamp: float | None = None,
        position: bool = False,
        use_noise: bool = True,
        taps: tuple[float, ...] = (1, 3, 3, 1),
    ) -> None:
        super().__init__("conv", inputs, outputs, w_dim, kernel, resolution)
        self.up, self.clamp, self.use_noise = up, clamp, use_noise
        if use_noise:
            self.noise_strength = nn.Parameter(torch.zeros([]))
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", setup_filter(taps))
        self.position = nn.Parameter(torch.zeros(outputs, resolution, resolution)) if position else None

    def forward(
        self, x: Tensor, style: Tensor, noise: Noise = "const", gain: float = 1.0, overwrite: bool = False
    ) -> Tensor:
        """Map (B, inputs, h, w) to (B, outputs, resolution, resolution); see `styled_conv2d` for the last two."""
        noise = noise if self.use_noise else "none"
        bias = self.bias if self.position is None else self.bias[:, None, None] + self.position
        field: Tensor | None = None
        if noise == "const":
            field = self.noise_const * self.noise_strength
        elif noise != "none":
            field = _draw_noise(len(x), self.resolution, noise, x) * self.noise_strength
        up = self.resample_filter if self.up else None
        return styled_conv2d(
            x, self.weight, style, bias, field, up_filter=up, gain=gain, clamp=self.clamp, overwrite=overwrite
        )


def _draw_noise(count: int, side: int, noise: Noise, like: Tensor) -> Float[Tensor, "b 1 h w"]:
    generator = noise if isinstance(noise, torch.Generator) else None
    where = generator.device if generator is not None else like.device
    return torch.randn(count, 1, side, side, generator=generator, device=where).to(like)


class ToRGBLayer(StyledLayer):
    """Turn activations into picture (or plane) channels: no demodulation, the style times 1/√(in·k²)."""

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, resolution: int, *, kernel: int = 1, clamp: float | None = None
    ) -> None:
        super().__init__("torgb", inputs, outputs, w_dim, kernel, resolution)
        self.clamp = clamp

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W), float32 or better: pictures add up in that."""
        style = style / math.sqrt(self.weight[0].numel())
        x = modulated_conv2d(x, self.weight, style, demodulate=False)
        x = x + self.bias.to(x.dtype)[:, None, None]
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class ResidualSkip(nn.Module):
    """Carry a residual block's input past it: 1×1, doubled resolution, gain √½, no bias."""

    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int, taps: tuple[float, ...] = (1, 3, 3, 1)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.register_buffer("resample_filter", setup_filter(taps))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, h, w) to (B, outputs, 2h, 2w)."""
        weight = self.weight.to(x.dtype) * math.sqrt(0.5 / self.weight.shape[1])
        return conv2d_up(x, weight, self.resample_filter)


class SynthesisBlock(nn.Module):
    """Run the one or two convolutions of a resolution, and its toRGB.

    Args:
        inputs: input channels; 0 makes the first block, which starts from a learned constant.
        outputs: channels.
        w_dim: width of w.
        resolution: of the block's output, pixels.
        rgb_channels: channels of the picture or planes.
        is_last: `resnet` and `orig` have their toRGB here.
        architecture: `skip` (toRGB in every block, summed), `orig`, or `resnet`.
        clamp: limit of the activations, `None` for none.
        up: double the resolution (the released 2X and 4X super-resolutions begin with a block that does not).
        position: see `SynthesisLayer`.
        use_noise: see `SynthesisLayer`.
        taps: of the resampling filter.
    """

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        w_dim: int,
        resolution: int,
        rgb_channels: int,
        *,
        is_last: bool,
        architecture: Architecture = "skip",
        clamp: float | None = None,
        up: bool = True,
        position: bool = False,
        use_noise: bool = True,
        taps: tuple[float, ...] = (1, 3, 3, 1),
    ) -> None:
        super().__init__()
        self.architecture, self.up, self.first = architecture, up and inputs > 0, inputs == 0
        self.register_buffer("resample_filter", setup_filter(taps))
        shared = {"clamp": clamp, "position": position, "use_noise": use_noise}
        if self.first:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(inputs, outputs, w_dim, resolution, up=self.up, taps=taps, **shared)  # type: ignore[arg-type]
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim, resolution, **shared)  # type: ignore[arg-type]
        self.torgb = (
            ToRGBLayer(outputs, rgb_channels, w_dim, resolution, clamp=clamp)
            if is_last or architecture == "skip"
            else None
        )
        self.skip = ResidualSkip(inputs, outputs, taps) if architecture == "resnet" and not self.first else None

    @property
    def convolutions(self) -> int:
        """How many ws the block moves on by."""
        return 1 if self.first else 2

    def styled_layers(self) -> Iterator[tuple[str, StyledLayer]]:
        """Yield the layers with a style, forward order."""
        for name in ("conv0", "conv1", "torgb"):
            layer = getattr(self, name, None)
            if layer is not None:
                yield name, layer

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        styles: Iterator[Tensor],
        noise: Noise = "const",
        tap: FeatureTap | None = None,
        prefix: str = "",
    ) -> tuple[Tensor, Tensor | None]:
        """Take activations (B, inputs, h, w) and the picture so far; return both, of this resolution.

        Args:
            x: activations; `None` in the first block.
            image: picture so far, `None` if there is none yet.
            styles: the layers' raw styles in forward order, of which the block takes its own; it computes in their
                type.
            noise: see `Generator.synthesize`.
            tap: collects activations.
            prefix: of the layers' names.
        """
        tap = FeatureTap() if tap is None else tap
        gain = math.sqrt(0.5) if self.skip is not None else 1.0
        style = next(styles)
        if self.first:
            x = self.const.to(style.dtype).expand(len(style), -1, -1, -1)
            x = self.conv1(x, style, noise)
        else:
            assert x is not None
            x = x.to(style.dtype)
            residual = self.skip(x) if self.skip is not None else None
            x = self.conv0(x, style, noise)
            tap.see(f"{prefix}.conv0", x)
            kept = bool(tap.wanted or self.conv0._forward_hooks or self.conv1._forward_hooks)
            x = self.conv1(x, next(styles), noise, gain=gain, overwrite=not kept)
            if residual is not None:
                x = residual + x
        tap.see(f"{prefix}.conv1", x)
        if image is not None and self.up:
            with torch.autocast(image.device.type, enabled=False):  # pictures add up in float32
                image = upsample2d(image, self.resample_filter)
        if self.torgb is not None:
            y = self.torgb(x, next(styles))
            tap.see(f"{prefix}.torgb", y)
            image = y if image is None else image + y
        return x, image
