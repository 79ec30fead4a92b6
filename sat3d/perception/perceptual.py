"""Networks whose activations tell how differently two pictures look."""

from __future__ import annotations

import os
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat3d.perception.observer import Observer
from sat3d.perception.storage import load_observer

LPIPS = "lpips"


class PerceptualNetwork(Observer):
    """Give the activations that a perceptual distance compares; see `sat3d.metrics.feature_distance`."""

    def activations(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return the activations of several layers for images in [-1, 1]."""
        raise TypeError(f"{type(self).__name__} has no activations")

    @property
    def layer_weights(self) -> list[Tensor] | None:
        """The weights of the layers' channels; `None` where all count alike."""
        return None


class ObserverActivations(PerceptualNetwork):
    """Take the convolution stages of one of our observers: where no weights can be downloaded, those that are shipped.

    The last activation at each resolution is one layer; channels count alike, as nobody has judged their pictures.

    Args:
        name: an attribute predictor or identity embedder, as `load_observer` takes it.

    Raises:
        ValueError: for an observer without stages.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        observer = load_observer(name)
        layers = getattr(getattr(observer, "trunk", None), "layers", None)
        if not isinstance(layers, nn.Sequential):
            raise ValueError(f"perceptual={name!r} has no stages; name an attribute predictor or identity embedder")
        self.observer, self.layers = observer, layers
        self.freeze()

    def describe(self) -> dict[str, Any]:
        """Return whose activations they are."""
        return {"kind": type(self).__name__, "observer": self.observer.describe()}

    def activations(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return the last activation at each resolution."""
        kept: dict[int, Tensor] = {}
        x = images
        for layer in self.layers:
            x = layer(x)
            if x.ndim != 4 or x.shape[-1] < 2:
                break
            if isinstance(layer, nn.GELU | nn.ReLU) or not isinstance(layer, nn.Conv2d | nn.GroupNorm):
                kept[x.shape[-1]] = x
        return list(kept.values())


class LearnedPerceptual(PerceptualNetwork):
    """LPIPS with AlexNet, as torchmetrics carries it; AlexNet's own weights are found in torch's cache or downloaded.

    Raises:
        FileNotFoundError: if they are in neither place.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        try:
            metric = LearnedPerceptualImagePatchSimilarity(net_type="alex")
        except OSError as error:  # URLError is one
            cache = os.path.join(torch.hub.get_dir(), "checkpoints")  # noqa: PTH118 - as torch.hub has it
            raise FileNotFoundError(
                f"perceptual=lpips needs torchvision's AlexNet in {cache}, and it cannot be downloaded ({error}); copy "
                "alexnet-owt-7be5be79.pth there, or name an observer, such as toyfaces-judge"
            ) from error
        parts: Any = metric.net
        self.scaling, self.net, self.lins = parts.scaling_layer, parts.net, parts.lins
        self.freeze()

    def describe(self) -> dict[str, Any]:
        """Return which network it is."""
        return {"kind": type(self).__name__, "network": "alex"}

    @property
    def layer_weights(self) -> list[Tensor] | None:
        """The weights that were fitted to people's judgements."""
        return [lin.model[-1].weight.reshape(-1) for lin in self.lins]

    def activations(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return the five layers of the paper."""
        return list(self.net(self.scaling(images)))


def load_perceptual(name: str) -> PerceptualNetwork:
    """Load `lpips`, or take the activations of an observer.

    Raises:
        FileNotFoundError: if weights are found nowhere.
        ValueError: for an observer without stages.
    """
    return LearnedPerceptual() if name == LPIPS else ObserverActivations(name)
