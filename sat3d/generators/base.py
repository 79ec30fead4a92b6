"""The one interface of every frozen generator: `map → styles → synthesize`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat3d.ops.camera import Camera, CameraDistribution

Kind = Literal["conv", "torgb"]
Part = Literal["backbone", "superresolution"]
NoiseMode = Literal["const", "none", "random"]
UNUSUAL = {"unusual": True}


def described(options: Any) -> dict[str, Any]:
    """Describe a network's options as plain data, those that are marked `UNUSUAL` only where they differ.

    So an option can be added without a change of the hash of the networks that do without it.
    """
    return {
        f.name: described(value) if is_dataclass(value := getattr(options, f.name)) else value
        for f in fields(options)
        if not (f.metadata.get("unusual") and getattr(options, f.name) == f.default)
    }


@dataclass(frozen=True)
class Rendering:
    """Hold what a generator made of a batch of codes.

    Args:
        image: (B, 3, H, W), nominally in [-1, 1].
        raw: 3-D only: the picture before super-resolution, (B, 3, h, w).
        depth: 3-D only: expected distance along the rays, (B, 1, h, w), world units.
        opacity: 3-D only: the rays' accumulated weight in [0, 1], (B, 1, h, w).
        features: the activations that were asked for, by layer name.
    """

    image: Tensor
    raw: Tensor | None = None
    depth: Tensor | None = None
    opacity: Tensor | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StyleLayer:
    """Name one slice of the flat style vector.

    Args:
        name: the layer's name in the released weights, e.g. `backbone.synthesis.b8.conv1`.
        start: first flat index.
        size: number of channels.
        kind: `conv` or `torgb`.
        part: `backbone` or `superresolution`.
        resolution: of the layer's output, pixels.
        ws_index: which of the ws the layer reads.
    """

    name: str
    start: int
    size: int
    kind: Kind
    part: Part
    resolution: int
    ws_index: int

    @property
    def slice(self) -> slice:
        """The layer's place in the flat vector."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True)
class StyleSpace:
    """Name the channels of the flat style vector S (Wu et al. 2021, arXiv 2011.12799, §3).

    Layers stand in forward order; a channel is named by its layer and its place in it.

    Raises:
        KeyError: for a layer name that the generator does not have.
        IndexError: for a channel outside its layer, or a flat index outside the vector.

    Example:
        >>> G = load_generator("toyfaces64")
        >>> G.style_space.locate(200)
        ('backbone.synthesis.b8.conv1', 8)
    """

    layers: tuple[StyleLayer, ...]

    @cached_property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(layer.size for layer in self.layers)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Layer names in forward order."""
        return tuple(layer.name for layer in self.layers)

    def layer(self, name: str) -> StyleLayer:
        """Return a layer by name."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"no style layer {name!r}; this generator has {', '.join(self.names)}")

    def split(self, s: Float[Tensor, "b c"]) -> tuple[Float[Tensor, "b n"], ...]:
        """Cut a flat vector (B, size) into the layers' styles, forward order."""
        if s.shape[-1] != self.size:
            raise ValueError(f"a style vector of this generator has {self.size} channels, not {s.shape[-1]}")
        return s.split([layer.size for layer in self.layers], dim=-1)

    def locate(self, flat: int) -> tuple[str, int]:
        """Return (layer, channel) of a flat index."""
        for layer in self.layers:
            if layer.start <= flat < layer.start + layer.size:
                return layer.name, flat - layer.start
        raise IndexError(f"flat style index {flat} is outside [0, {self.size})")

    def flat(self, layer: str, channel: int) -> int:
        """Return the flat index of a channel of a layer."""
        found = self.layer(layer)
        if not 0 <= channel < found.size:
            raise IndexError(f"{layer} has channels 0 to {found.size - 1}, not {channel}")
        return found.start + channel

    def mask(
        self,
        kinds: Iterable[str] = ("conv",),
        parts: Iterable[str] = ("backbone",),
        resolutions: Iterable[int] | None = None,
    ) -> Tensor:
        """Return a boolean mask (size,) of the channels of these kinds, parts and (if given) resolutions."""
        kinds, parts = set(kinds), set(parts)
        allowed = None if resolutions is None else set(resolutions)
        return torch.cat(
            [
                torch.full(
                    (y.size,), y.kind in kinds and y.part in parts and (allowed is None or y.resolution in allowed)
                )
                for y in self.layers
            ]
        )


class Generator(nn.Module):
    """Factor a frozen generator as `z → w → s → image`.

    Subclasses set `z_dim`, `c_dim`, `w_dim`, `num_ws`, `resolution` (picture pixels), `config` (what rebuilds them) and
    build the mapping network and the styled layers. `unused` names buffers that released files hold or lack, and on
    which no picture depends.

    Example:
        >>> G = load_generator("toyfaces64")
        >>> s = G.styles(G.map(torch.randn(1, G.z_dim), truncation=0.7))
        >>> G.synthesize(s, camera=G.cameras.frontal()).image.shape
        torch.Size([1, 3, 64, 64])
    """

    z_dim: int
    c_dim: int
    w_dim: int
    num_ws: int
    resolution: int
    config: dict[str, Any]
    cameras: CameraDistribution | None = None
    name: str = ""
    unused: frozenset[str] = frozenset()

    @property
    def is_3d(self) -> bool:
        """Whether pictures need a camera."""
        return False

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def style_space(self) -> StyleSpace:
        """The names of the flat style vector."""
        raise TypeError(f"{type(self).__name__} names no styles")

    def map(
        self, z: Float[Tensor, "b z"], c: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None
    ) -> Float[Tensor, "b n w"]:
        """Map latents (B, z_dim) to ws (B, num_ws, w_dim).

        Args:
            z: standard normal latents.
            c: condition (B, c_dim); for 3-D generators the conditioning pose's camera label, frontal if not given.
            truncation: ψ; 1 leaves w as it is, 0 gives the mean.
            cutoff: truncate the first `cutoff` layers only.
        """
        raise TypeError(f"{type(self).__name__} has no mapping network")

    def styles(self, ws: Float[Tensor, "b n w"]) -> Float[Tensor, "b c"]:
        """Return every layer's raw affine output, (B, style_space.size), in forward order."""
        raise TypeError(f"{type(self).__name__} has no styles")

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
        """Make pictures of styles (B, style_space.size).

        Args:
            s: flat styles.
            camera: 3-D only: one camera, or one for each code; `None` for a 2-D generator.
            noise: `const`, `none`, `random`, or a `torch.Generator` for random noise that can be repeated.
            neural_resolution: 3-D only: side of the picture that is ray-marched, pixels.
            jitter: 3-D only: `midpoint` (deterministic), or a `torch.Generator` for random samples along the rays.
            superresolution: 3-D only: `False` stops at the ray-marched picture, which is then the image too.
            features: layers whose activations are returned. 3-D only: `renderer` is what the rays gathered,
                (B, F, h, w), of which the first three channels are the raw picture.

        Raises:
            ValueError: a camera for a 2-D generator or none for a 3-D one; an unknown layer in `features`.
        """
        raise TypeError(f"{type(self).__name__} makes no pictures")

    def train(self, mode: bool = True) -> Generator:
        """Follow `mode` only where the weights are trainable: a frozen generator stays in eval()."""
        return super().train(mode and any(p.requires_grad for p in self.parameters()))

    def freeze(self) -> Generator:
        """Switch off gradients on the weights and go to eval()."""
        self.requires_grad_(False)
        return self.eval()

    @property
    def hash(self) -> str:
        """A sha256 of the weights and the configuration; converting a file does not change it."""
        digest = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            data = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {data.dtype} {tuple(data.shape)}".encode())
            digest.update(data.reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


class FeatureTap(dict[str, Tensor]):
    """Collect the activations of wanted layers while a network runs.

    Raises:
        ValueError: when `close` finds a wanted layer that the network never passed.
    """

    def __init__(self, wanted: Sequence[str] = ()) -> None:
        super().__init__()
        self.wanted = frozenset(wanted)

    def see(self, name: str, x: Tensor) -> None:
        """Keep `x` if the layer `name` is wanted."""
        if name in self.wanted:
            self[name] = x

    def close(self, known: Iterable[str]) -> dict[str, Tensor]:
        """Return what was collected, and refuse names that do not exist."""
        missing = self.wanted - self.keys()
        if missing:
            raise ValueError(f"features={sorted(missing)} are no layers of this generator; it has {', '.join(known)}")
        return dict(self)
