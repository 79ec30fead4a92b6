"""StyleGAN2 and StyleGAN2-ADA (Karras et al. 2020, arXiv 1912.04958 and 2006.06676)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat3d.generators.base import (
    UNUSUAL,
    FeatureTap,
    Generator,
    NoiseMode,
    Part,
    Rendering,
    StyleLayer,
    StyleSpace,
    described,
)
from sat3d.generators.layers import Architecture, MappingNetwork, Noise, StyledLayer, SynthesisBlock
from sat3d.ops.camera import Camera


@dataclass(frozen=True)
class SynthesisOptions:
    """Choose the size of a synthesis network.

    Args:
        channel_base: a resolution r has min(channel_base / r, channel_max) channels.
        channel_max: see `channel_base`.
        architecture: `skip`, `orig` or `resnet`.
        conv_clamp: limit of the activations, `None` for none.
        position: learned position maps in every layer (ours; off in the released networks).
        resample_filter: taps of the resampling filter.
        use_noise: whether layers have noise, in any noise mode.
    """

    channel_base: int = 32768
    channel_max: int = 512
    architecture: Architecture = "skip"
    conv_clamp: float | None = None
    position: bool = False
    resample_filter: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)
    use_noise: bool = field(default=True, metadata=UNUSUAL)

    def channels(self, resolution: int) -> int:
        """Return the channels of a resolution."""
        return min(self.channel_base // resolution, self.channel_max)


class SynthesisNetwork(nn.Module):
    """Grow a learned 4×4 constant to `resolution` in blocks b4, b8, ….

    Args:
        w_dim: width of w.
        resolution: of the output, a power of two.
        channels: of the output (3 for a picture, 96 for three planes of 32).
        options: sizes and architecture.
    """

    def __init__(self, w_dim: int, resolution: int, channels: int, options: SynthesisOptions) -> None:
        super().__init__()
        if resolution < 4 or resolution & (resolution - 1):
            raise ValueError(f"resolution is a power of two from 4 on, not {resolution}")
        self.resolutions = [2**i for i in range(2, int(math.log2(resolution)) + 1)]
        for res in self.resolutions:
            block = SynthesisBlock(
                options.channels(res // 2) if res > 4 else 0,
                options.channels(res),
                w_dim,
                res,
                channels,
                is_last=res == resolution,
                architecture=options.architecture,
                clamp=options.conv_clamp,
                position=options.position,
                use_noise=options.use_noise,
                taps=options.resample_filter,
            )
            self.add_module(f"b{res}", block)
        self.num_ws = 2 * len(self.resolutions)

    def blocks(self) -> Iterator[tuple[str, SynthesisBlock]]:
        """Yield (name, block) in forward order."""
        for res in self.resolutions:
            block = self.get_submodule(f"b{res}")
            assert isinstance(block, SynthesisBlock)
            yield f"b{res}", block

    def styled_layers(self) -> Iterator[tuple[str, StyledLayer, int]]:
        """Yield (name, layer, index of its w) in forward order; toRGB shares the w of the next block's first layer."""
        at = 0
        for block_name, block in self.blocks():
            for i, (name, layer) in enumerate(block.styled_layers()):
                yield f"{block_name}.{name}", layer, at + (block.convolutions if layer.kind == "torgb" else i)
            at += block.convolutions

    def forward(self, styles: Iterator[Tensor], noise: Noise, tap: FeatureTap, prefix: str) -> Tensor:
        """Return (B, channels, resolution, resolution), unclamped."""
        x: Tensor | None = None
        image: Tensor | None = None
        for name, block in self.blocks():
            x, image = block(x, image, styles, noise, tap, f"{prefix}.{name}")
        assert image is not None
        return image


class StyledGenerator(Generator):
    """Serve `styles` and `style_space` from the list of a network's styled layers."""

    def named_styled_layers(self) -> Iterator[tuple[str, StyledLayer, int, Part]]:
        """Yield (name, layer, index of its w, part) in forward order."""
        raise TypeError(f"{type(self).__name__} lists no layers")

    @cached_property
    def style_space(self) -> StyleSpace:
        """The names of the flat style vector."""
        layers, start = [], 0
        for name, layer, ws_index, part in self.named_styled_layers():
            layers.append(StyleLayer(name, start, layer.inputs, layer.kind, part, layer.resolution, ws_index))
            start += layer.inputs
        return StyleSpace(tuple(layers))

    def styles(self, ws: Float[Tensor, "b n w"]) -> Float[Tensor, "b c"]:
        """Return every layer's raw affine output, (B, style_space.size), in forward order."""
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws is (B, {self.num_ws}, {self.w_dim}) for this generator, not {tuple(ws.shape)}")
        return torch.cat([layer.affine(ws[:, i]) for _, layer, i, _ in self.named_styled_layers()], dim=1)


@dataclass(frozen=True)
class StyleGAN2Options:
    """Describe a StyleGAN2 generator: what its configuration file holds.

    Args:
        z_dim: width of z.
        c_dim: width of the condition, 0 for none.
        w_dim: width of w.
        resolution: of the picture, pixels.
        channels: of the picture.
        mapping: arguments of `MappingNetwork`.
        synthesis: sizes of the synthesis network.
    """

    z_dim: int = 512
    c_dim: int = 0
    w_dim: int = 512
    resolution: int = 256
    channels: int = 3
    mapping: dict[str, Any] = field(default_factory=dict)
    synthesis: SynthesisOptions = SynthesisOptions()


class StyleGAN2(StyledGenerator):
    """Make pictures from styles, without a camera; see `Generator`.

    Args:
        options: sizes.

    Example:
        >>> G = StyleGAN2(StyleGAN2Options(z_dim=64, w_dim=64, resolution=32)).freeze()
        >>> G.synthesize(G.styles(G.map(torch.randn(2, 64)))).image.shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, options: StyleGAN2Options) -> None:
        super().__init__()
        o = options
        self.config = {"class": "StyleGAN2", **described(o)}
        self.z_dim, self.c_dim, self.w_dim, self.resolution = o.z_dim, o.c_dim, o.w_dim, o.resolution
        self.synthesis = SynthesisNetwork(o.w_dim, o.resolution, o.channels, o.synthesis)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(o.z_dim, o.c_dim, o.w_dim, self.num_ws, **o.mapping)

    def named_styled_layers(self) -> Iterator[tuple[str, StyledLayer, int, Part]]:
        """Yield (name, layer, index of its w, part) in forward order."""
        for name, layer, i in self.synthesis.styled_layers():
            yield f"synthesis.{name}", layer, i, "backbone"

    def map(
        self, z: Float[Tensor, "b z"], c: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None
    ) -> Float[Tensor, "b n w"]:
        """Map latents to ws; see `Generator.map`."""
        ws: Tensor = self.mapping(z, c, truncation, cutoff)
        return ws

    def synthesize(
        self,
        s: Float[Tensor, "b c"],
        camera: Camera | None = None,
        *,
        noise: NoiseMode | torch.Generator = "const",
        neural_resolution: int | None = None,
        jitter: Any = "midpoint",
        superresolution: bool = True,
        features: Sequence[str] = (),
    ) -> Rendering:
        """Make pictures of styles; see `Generator.synthesize`."""
        if camera is not None or neural_resolution is not None:
            raise ValueError(
                "camera and neural_resolution are for 3-D generators; this StyleGAN2 is 2-D: leave them out"
            )
        tap = FeatureTap(features)
        image = self.synthesis(iter(self.style_space.split(s)), noise, tap, "synthesis")
        return Rendering(image, features=tap.close(self.style_space.names))
