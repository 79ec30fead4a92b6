"""What an inverted picture is compared by: pixels, a network's activations, identity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.metrics.perceptual import feature_distance
from sat3d.perception import IdentityEmbedder, PerceptualNetwork, load_observer, load_perceptual
from sat3d.perception.networks import fit_resolution
from sat3d.shipped import companion


@dataclass(frozen=True)
class LossOptions:
    """Say what counts how much; a weight of 0 leaves a term, and its network, out.

    Args:
        pixels: weight of the mean squared difference of pixels in [-1, 1].
        perceptual: weight of the perceptual distance.
        identity: weight of 1 − cos of the identities.
        code: weight of the codes' strangeness: the mean square of their distance from the mean, in σ.
        perceptual_network: `lpips`, or an observer's name.
        identity_network: an identity embedder's name or TorchScript file, such as an ArcFace.
    """

    pixels: float = 1.0
    perceptual: float = 1.0
    identity: float = 0.0
    code: float = 0.003
    perceptual_network: str | None = None
    identity_network: str | None = None

    def __post_init__(self) -> None:
        for name in ("pixels", "perceptual", "identity", "code"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"loss.{name}={getattr(self, name)} must not be negative")
        if not self.pixels + self.perceptual + self.identity:
            raise ValueError("loss: pixels, perceptual and identity are all 0, so nothing is compared")


class PictureDistance:
    """Compare pictures with those that codes make, each with its own.

    Args:
        options: weights and networks. Networks that are not named are those that are at hand: of a generator of the
            embedded world its labeller (never its judge, which only grades) and identity embedder; of others LPIPS.
        generator: its name, which tells what is at hand for it.
        device: of the networks.

    Raises:
        FileNotFoundError: for networks that are found nowhere.
        ValueError: for an identity network that is none.
    """

    def __init__(self, options: LossOptions, generator: str, device: torch.device | str = "cpu") -> None:
        self.options = options
        self.perceptual: PerceptualNetwork | None = None
        self.identity: IdentityEmbedder | None = None
        if options.perceptual:
            self.perceptual = load_perceptual(options.perceptual_network or companion(generator, "labeller") or "lpips")
            self.perceptual.to(device)
        if options.identity:
            name = options.identity_network or companion(generator, "identity")
            if name is None:
                raise ValueError("loss.identity_network: name an identity embedder, or set loss.identity to 0")
            found = load_observer(name)
            if not isinstance(found, IdentityEmbedder):
                raise ValueError(f"loss.identity_network={name!r} is no identity embedder")
            self.identity = found.to(device)

    def seen(self, pictures: Float[Tensor, "b 3 h w"]) -> Seen:
        """Return all that pictures are compared by."""
        return Seen(
            pictures,
            [] if self.perceptual is None else self.perceptual.activations(pictures),
            None if self.identity is None else self.identity(pictures),
        )

    def __call__(self, pictures: Float[Tensor, "b 3 h w"], target: Seen) -> dict[str, Float[Tensor, " b"]]:
        """Return the weighted terms, one number for each picture.

        Pictures of another size are resized to the target's.
        """
        pictures = fit_resolution(pictures, target.pictures.shape[-1])
        o, terms = self.options, {}
        if o.pixels:
            terms["pixels"] = o.pixels * (pictures - target.pictures).square().mean((1, 2, 3))
        if self.perceptual is not None:
            found = feature_distance(
                self.perceptual.activations(pictures), target.activations, self.perceptual.layer_weights
            )
            terms["perceptual"] = o.perceptual * found
        if self.identity is not None:
            terms["identity"] = o.identity * (1 - (self.identity(pictures) * target.identity).sum(-1))
        return terms


@dataclass(frozen=True)
class Seen:
    """Hold pictures and what the networks of a distance make of them.

    Args:
        pictures: (B, 3, H, W) in [-1, 1].
        activations: of the perceptual network, (B, C_l, H_l, W_l) each.
        identity: unit vectors, (B, D).
    """

    pictures: Tensor
    activations: list[Tensor]
    identity: Tensor | None

    def __getitem__(self, index: slice | Tensor) -> Seen:
        identity = None if self.identity is None else self.identity[index]
        return Seen(self.pictures[index], [a[index] for a in self.activations], identity)
