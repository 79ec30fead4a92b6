"""EG3D (Chan et al. 2022, arXiv 2112.07945): tri-planes from StyleGAN2, ray marching, super-resolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sat3d.generators.base import FeatureTap, NoiseMode, Part, Rendering, described
from sat3d.generators.layers import FullyConnected, MappingNetwork, Noise, StyledLayer, SynthesisBlock
from sat3d.generators.renderer import Jitter, Marched, RayRenderer, RenderingOptions
from sat3d.generators.sampling import DEFAULT_CAMERAS
from sat3d.generators.stylegan2 import StyledGenerator, SynthesisNetwork, SynthesisOptions
from sat3d.ops.camera import LABEL_SIZE, Camera, CameraDistribution
from sat3d.ops.resample import setup_filter

_MOST_ACTIVATIONS = 2**26  # of one super-resolution layer at a time: 256 MB


@dataclass(frozen=True)
class SuperResolutionOptions:
    """Describe the layers behind the ray-marched picture.

    Args:
        input_resolution: side that the ray-marched features are resized to, pixels.
        channels: of each block.
        up: whether each block doubles the resolution.
        clamp: limit of the activations, `None` for none.
        noise: noise mode of its layers.
        antialias: of the resizing.
        resize_only_up: enlarge what is smaller than the input, refuse what is larger (the released 4X module).
    """

    input_resolution: int = 128
    channels: tuple[int, ...] = (256, 128)
    up: tuple[bool, ...] = (True, True)
    clamp: float | None = None
    noise: NoiseMode = "none"
    antialias: bool = True
    resize_only_up: bool = False


class SuperResolution(nn.Module):
    """Refine the ray-marched features with styled blocks, all driven by the last w.

    Args:
        features: channels of the ray-marched picture, of which the first three are its colours.
        w_dim: width of w.
        options: layers.

    Raises:
        ValueError: in `forward`, for a raw picture that is larger than the module takes.
    """

    resample_filter: Tensor

    def __init__(self, features: int, w_dim: int, options: SuperResolutionOptions) -> None:
        super().__init__()
        self.options = options
        with torch.device("cpu"):  # also where weights are only declared: files may lack it
            self.register_buffer("resample_filter", setup_filter())
        resolution, inputs = options.input_resolution, features
        for i, (channels, up) in enumerate(zip(options.channels, options.up, strict=True)):
            resolution *= 2 if up else 1
            block = SynthesisBlock(inputs, channels, w_dim, resolution, 3, is_last=True, clamp=options.clamp, up=up)
            self.add_module(f"block{i}", block)
            inputs = channels
        self.resolution = resolution

    def blocks(self) -> Iterator[tuple[str, SynthesisBlock]]:
        """Yield (name, block) in forward order."""
        for i in range(len(self.options.channels)):
            block = self.get_submodule(f"block{i}")
            assert isinstance(block, SynthesisBlock)
            yield f"block{i}", block

    def forward(
        self, raw: Tensor, x: Tensor, styles: Iterator[Tensor], noise: Noise, tap: FeatureTap
    ) -> Float[Tensor, "b 3 h w"]:
        """Take the raw picture (B, 3, h, w) and its features (B, C, h, w); return the picture."""
        size, side = self.options.input_resolution, x.shape[-1]
        if side > size and self.options.resize_only_up:
            raise ValueError(f"neural_resolution={side}: this super-resolution takes {size} at most")
        if side != size:
            raw, x = (
                F.interpolate(t, (size, size), mode="bilinear", align_corners=False, antialias=self.options.antialias)
                for t in (raw, x)
            )
        image: Tensor | None = raw
        for name, block in self.blocks():
            x, image = block(x, image, styles, noise, tap, f"superresolution.{name}")
        assert image is not None
        return image


class Decoder(nn.Module):
    """Read density and colour features from plane features: FC, softplus, FC.

    Args:
        inputs: plane channels.
        hidden: hidden width.
        outputs: colour features.
        lr: learning-rate multiplier.
        density_gain: factor on the density; 1 in the released networks.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, lr: float = 1.0, density_gain: float = 1.0) -> None:
        super().__init__()
        self.density_gain = density_gain
        self.net = nn.Sequential(
            FullyConnected(inputs, hidden, lr=lr), nn.Softplus(), FullyConnected(hidden, 1 + outputs, lr=lr)
        )

    def forward(self, x: Float[Tensor, "b n c"]) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n f"]]:
        """Return raw densities (B, N) and features (B, N, outputs) in about [0, 1]."""
        y = self.net(x)
        return y[..., 0] * self.density_gain, torch.sigmoid(y[..., 1:]) * 1.002 - 0.001


@dataclass(frozen=True)
class EG3DOptions:
    """Describe an EG3D generator: what its configuration file holds. The defaults are the released FFHQ network's.

    Args:
        z_dim: width of z.
        c_dim: width of the mapping's condition: 25 (a camera label) or 0.
        w_dim: width of w.
        resolution: of the picture, pixels.
        plane_resolution: side of the tri-planes, samples.
        plane_channels: of each of the three planes.
        decoder_hidden: hidden width of the decoder.
        decoder_channels: colour features along the rays.
        decoder_lr: learning-rate multiplier of the decoder.
        density_gain: factor on the decoder's density.
        c_scale: factor on the condition; 0 switches pose conditioning off.
        neural_resolution: default side of the ray-marched picture, pixels.
        plane_axes: (3, 3, 3) axes as a list, `None` for the released convention.
        mapping: arguments of `MappingNetwork`.
        backbone: sizes of the plane-making network.
        rendering: ray sampling.
        superresolution: layers behind the ray-marched picture; `None` for none.
    """

    z_dim: int = 512
    c_dim: int = LABEL_SIZE
    w_dim: int = 512
    resolution: int = 512
    plane_resolution: int = 256
    plane_channels: int = 32
    decoder_hidden: int = 64
    decoder_channels: int = 32
    decoder_lr: float = 1.0
    density_gain: float = 1.0
    c_scale: float = 1.0
    neural_resolution: int = 64
    plane_axes: tuple[tuple[tuple[float, ...], ...], ...] | None = None
    mapping: dict[str, Any] = field(default_factory=lambda: {"num_layers": 2})
    backbone: SynthesisOptions = SynthesisOptions()
    rendering: RenderingOptions = RenderingOptions()
    superresolution: SuperResolutionOptions | None = SuperResolutionOptions()


@contextmanager
def _single(planes: Tensor) -> Iterator[Tensor]:
    """March rays in float32 or better, whatever the layers compute in: less cannot tell samples on a ray apart."""
    with torch.autocast(planes.device.type, enabled=False):
        yield planes.to(torch.promote_types(planes.dtype, torch.float32))


class _Backbone(nn.Module):
    """Group the mapping and the plane-making network under the released names."""

    def __init__(self, options: EG3DOptions) -> None:
        super().__init__()
        o = options
        self.synthesis = SynthesisNetwork(o.w_dim, o.plane_resolution, 3 * o.plane_channels, o.backbone)
        self.mapping = MappingNetwork(o.z_dim, o.c_dim, o.w_dim, self.synthesis.num_ws, **o.mapping)


class EG3D(StyledGenerator):
    """Make pictures from styles and cameras; see `Generator`.

    Args:
        options: sizes. The embedded generators are this class too, with small ones.

    Raises:
        ValueError: if the picture's resolution is not what the super-resolution makes of its input.

    Example:
        >>> G = load_generator("toyfaces64")
        >>> s = G.styles(G.map(torch.randn(1, G.z_dim)))
        >>> planes = G.planes(s)                                  # the backbone runs once
        >>> G.render(planes, s, G.cameras.orbit(8)).image.shape   # and many cameras look
        torch.Size([8, 3, 64, 64])
    """

    unused = frozenset({"dataset_label_std", "superresolution.resample_filter"})
    dataset_label_std: Tensor
    cameras: CameraDistribution = DEFAULT_CAMERAS

    def __init__(self, options: EG3DOptions) -> None:
        super().__init__()
        o = self.options = options
        self.config = {"class": "EG3D", **described(o)}
        self.z_dim, self.c_dim, self.w_dim, self.resolution = o.z_dim, o.c_dim, o.w_dim, o.resolution
        self.backbone = _Backbone(o)
        self.num_ws = self.backbone.synthesis.num_ws
        self.decoder = Decoder(o.plane_channels, o.decoder_hidden, o.decoder_channels, o.decoder_lr, o.density_gain)
        self.renderer = RayRenderer(o.rendering, o.plane_axes)
        self.superresolution = (
            None if o.superresolution is None else SuperResolution(o.decoder_channels, o.w_dim, o.superresolution)
        )
        made = o.neural_resolution if self.superresolution is None else self.superresolution.resolution
        if made != o.resolution:
            raise ValueError(f"these options make pictures of {made} px, but resolution says {o.resolution}")
        with torch.device("cpu"):
            self.register_buffer("dataset_label_std", torch.zeros(LABEL_SIZE))

    @property
    def is_3d(self) -> bool:
        """Whether pictures need a camera."""
        return True

    def named_styled_layers(self) -> Iterator[tuple[str, StyledLayer, int, Part]]:
        """Yield (name, layer, index of its w, part) in forward order."""
        for name, layer, i in self.backbone.synthesis.styled_layers():
            yield f"backbone.synthesis.{name}", layer, i, "backbone"
        if self.superresolution is not None:
            for block_name, block in self.superresolution.blocks():
                for name, layer in block.styled_layers():
                    yield f"superresolution.{block_name}.{name}", layer, self.num_ws - 1, "superresolution"

    def map(
        self, z: Float[Tensor, "b z"], c: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None
    ) -> Float[Tensor, "b n w"]:
        """Map latents to ws; the conditioning pose `c` is frontal if not given (see `Generator.map`)."""
        if self.c_dim:
            if c is None:
                c = self.cameras.frontal().label()
            c = c.to(z).expand(len(z), -1) * self.options.c_scale
        ws: Tensor = self.backbone.mapping(z, c, truncation, cutoff)
        return ws

    def planes(self, s: Float[Tensor, "b c"], noise: Noise = "const") -> Float[Tensor, "b 3 f h w"]:
        """Return the tri-planes (B, 3, plane_channels, H, W) of styles, to be looked at by many cameras."""
        return self._planes(s, noise, FeatureTap())[0]

    def render(
        self,
        planes: Float[Tensor, "b 3 f h w"],
        s: Float[Tensor, "b c"],
        cameras: Camera,
        *,
        neural_resolution: int | None = None,
        jitter: Jitter = "midpoint",
    ) -> Rendering:
        """Look at planes: one camera for each code, or many cameras for one code.

        Args:
            planes: from `planes`.
            s: the same styles: super-resolution has its own.
            cameras: as many as codes, or any number for one code.
            neural_resolution: side of the ray-marched picture, pixels.
            jitter: see `Generator.synthesize`.
        """
        return self.trace(planes, s, cameras, neural_resolution=neural_resolution, jitter=jitter)[0]

    def trace(
        self,
        planes: Float[Tensor, "b 3 f h w"],
        s: Float[Tensor, "b c"],
        cameras: Camera,
        *,
        neural_resolution: int | None = None,
        jitter: Jitter = "midpoint",
    ) -> tuple[Rendering, Marched]:
        """Render as `render` does, and return the weights along the rays too, for losses on the geometry."""
        sr_styles = self.style_space.split(s)[len(list(self.backbone.synthesis.styled_layers())) :]
        return self._trace(planes, sr_styles, cameras, neural_resolution, jitter, FeatureTap())

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
        if camera is None:
            raise ValueError("this generator is 3-D: give a camera, e.g. camera=G.cameras.frontal()")
        tap = FeatureTap(features)
        planes, sr_styles = self._planes(s, noise, tap)
        out, _ = self._trace(planes, sr_styles, camera.expand(len(s)), neural_resolution, jitter, tap, superresolution)
        tap.close((*self.style_space.names, "renderer"))
        return out

    def density(self, planes: Float[Tensor, "b 3 f h w"], points: Float[Tensor, "b n 3"]) -> tuple[Tensor, Tensor]:
        """Return raw densities (B, N) and colour features (B, N, decoder_channels) at world points."""
        with _single(planes) as planes:
            return self.renderer.query(planes, self.decoder, points)

    def _planes(self, s: Tensor, noise: Noise, tap: FeatureTap) -> tuple[Tensor, tuple[Tensor, ...]]:
        styles = iter(self.style_space.split(s))
        flat = self.backbone.synthesis(styles, noise, tap, "backbone.synthesis")
        return flat.unflatten(1, (3, self.options.plane_channels)), tuple(styles)

    def _trace(
        self,
        planes: Tensor,
        sr_styles: Sequence[Tensor],
        cameras: Camera,
        side: int | None,
        jitter: Jitter,
        tap: FeatureTap,
        superresolution: bool = True,
    ) -> tuple[Rendering, Marched]:
        side = side or self.options.neural_resolution
        with _single(planes) as planes:
            rays = cameras.to(planes.device).to(planes.dtype).rays(side)
            marched: Marched = self.renderer(planes, self.decoder, *rays, jitter)
        x, depth, opacity = (
            rearrange(t, "b (h w) c -> b c h w", h=side) for t in (marched.features, marched.depth, marched.opacity)
        )
        tap.see("renderer", x)
        raw = x[:, :3]
        image = raw
        if self.superresolution is not None and superresolution:
            image = self._superresolve(raw, x, [t.expand(len(x), -1) for t in sr_styles], tap)
        return Rendering(image, raw, depth, opacity, tap), marched

    def _superresolve(self, raw: Tensor, x: Tensor, styles: Sequence[Tensor], tap: FeatureTap) -> Tensor:
        """Refine pictures; without gradients few at once, as many as keep to a memory budget."""
        net = self.superresolution
        assert net is not None
        most = max(1, _MOST_ACTIVATIONS // (max(net.options.channels) * net.resolution**2))
        if torch.is_grad_enabled() or tap.wanted - tap.keys() or net.options.noise == "random":
            most = len(x)
        pieces = zip(raw.split(most), x.split(most), zip(*(t.split(most) for t in styles), strict=True), strict=True)
        return torch.cat([net(r, f, iter(s), net.options.noise, tap) for r, f, s in pieces])
