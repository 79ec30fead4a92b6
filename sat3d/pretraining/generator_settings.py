"""How large the embedded generator is, and at what rates its weights learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from sat3d.generators.eg3d import EG3D, EG3DOptions, SuperResolutionOptions
from sat3d.generators.layers import FullyConnected
from sat3d.generators.renderer import RenderingOptions
from sat3d.generators.stylegan2 import SynthesisOptions
from sat3d.ops.triplane import plane_axes
from sat3d.world import World


@dataclass(frozen=True)
class ToyGeneratorConfig:
    """Choose the size of the embedded generator; everything else is EG3D's.

    Args:
        w_dim: width of w.
        mapping_layers: depth of the mapping network.
        mapping_width: its hidden width.
        channel_base: see `SynthesisOptions`.
        channel_max: see `SynthesisOptions`.
        plane_resolution: side of the tri-planes.
        plane_channels: of each plane.
        decoder_hidden: hidden width of the decoder.
        features: colour features along the rays.
        samples: along each ray.
        neural_resolution: side of the ray-marched picture.
        superresolution_channels: of the one block that doubles it.
        density_gain: factor on the decoder's density; without it surfaces stay foggy for long.
    """

    w_dim: int = 64
    mapping_layers: int = 11
    mapping_width: int = 256
    channel_base: int = 2048
    channel_max: int = 96
    plane_resolution: int = 64
    plane_channels: int = 12
    decoder_hidden: int = 24
    features: int = 16
    samples: int = 18
    neural_resolution: int = 32
    superresolution_channels: int = 32
    density_gain: float = 20.0

    @property
    def mapping(self) -> dict[str, Any]:
        """Options of the mapping network."""
        return {
            "num_layers": self.mapping_layers,
            "layer_features": self.mapping_width,
            "lr_multiplier": 1.0,
            "normalize_z": False,
        }

    def build(self, world: World) -> EG3D:
        """Return the generator of a world with fresh weights."""
        axes = plane_axes("corrected").tolist()
        generator = EG3D(
            EG3DOptions(
                z_dim=world.z_dim,
                c_dim=0,
                w_dim=self.w_dim,
                resolution=2 * self.neural_resolution,
                plane_resolution=self.plane_resolution,
                plane_channels=self.plane_channels,
                decoder_hidden=self.decoder_hidden,
                decoder_channels=self.features,
                density_gain=self.density_gain,
                neural_resolution=self.neural_resolution,
                plane_axes=tuple(tuple(map(tuple, plane)) for plane in axes),
                mapping=self.mapping,
                backbone=SynthesisOptions(self.channel_base, self.channel_max, position=True),
                rendering=RenderingOptions(*world.domain.depths, self.samples, 0),
                superresolution=SuperResolutionOptions(
                    self.neural_resolution, (self.superresolution_channels,), (True,)
                ),
            )
        )
        generator.cameras = world.domain.cameras
        with torch.no_grad():
            # Start from thin, even fog: with random densities rays end at once, or never.
            last = generator.decoder.net[2]
            assert isinstance(last, FullyConnected)
            last.weight[0] *= 0.1
            last.bias[0] = 1 / self.density_gain
        return generator


@dataclass(frozen=True)
class GeneratorRates:
    """Set Adam's learning rates by what a weight is; all follow one warm-up and half a cosine.

    Args:
        position: the learned constant and position maps, which hold the places of things. Fitting one head for 195
            steps, 0.05 with 7e-3 for the rest gave 20.0 dB, one rate of 0.015 for all 17.4 dB; 0.1 and 0.2 were no
            better.
        styles: the affine maps to styles, and the network from attributes to w. On all heads, 250 steps, the rest at
            4e-3: 17.9 dB with 0.02, 16.4 dB with 4e-3. One run each.
        mapping: the mapping network, before its own cosine.
        decoder: the decoder of plane features.
        rest: convolutions, toRGB, super-resolution.
        floor: share of the rate that is left at the end.
        warmup: steps of linear warm-up.
    """

    position: float = 0.03
    styles: float = 0.02
    mapping: float = 0.03
    decoder: float = 4e-3
    rest: float = 1e-2
    floor: float = 0.03
    warmup: int = 50


def rate_kind(name: str) -> str:
    """Tell which of `GeneratorRates` a parameter follows."""
    if name.endswith((".position", ".const")):
        return "position"
    if ".affine." in name or name.startswith("from_attributes"):
        return "styles"
    if ".mapping." in name:
        return "mapping"
    return "decoder" if ".decoder." in name else "rest"
