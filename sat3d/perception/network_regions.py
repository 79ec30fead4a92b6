"""Regions from any parsing network: BiSeNet for faces, torchvision's, one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sat3d.perception.networks import fit_resolution, load_torchscript
from sat3d.perception.regions import Groups, Regions


@dataclass(frozen=True)
class ParsingNetwork:
    """Say how to get a parsing network, and how to feed and read it.

    Args:
        classes: names of its output maps, in their order.
        builder: dotted path of the class or function that builds it. What it names is imported and run.
        args: its keyword arguments.
        weights: file of its weights: `.safetensors`, or a state dict that `torch.save` wrote.
        torchscript: file of a TorchScript network, in place of `builder`.
        size: side of the square that pictures are resized to, pixels.
        mean: of the colours, taken away from pictures in [0, 1].
        std: of the colours, that they are divided by. The defaults are ImageNet's.
        output: name or place of the logits (B, classes, h, w) where the network returns a mapping or a sequence; by
            default its first entry.

    Raises:
        ValueError: unless one of `builder` and `torchscript` is given, and classes are.
    """

    classes: tuple[str, ...]
    builder: str | None = None
    args: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    torchscript: str | None = None
    size: int = 512
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    output: str | int | None = None

    def __post_init__(self) -> None:
        if (self.builder is None) == (self.torchscript is None):
            raise ValueError("regions.network: give `builder`, a dotted path, or `torchscript`, a file, and not both")
        if self.torchscript is not None and (self.args or self.weights):
            raise ValueError("regions.network: `args` and `weights` belong to `builder`; `torchscript` has its own")
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError("regions.network.classes: name every output map, none twice")


class NetworkRegions(Regions):
    """Take the classes of a parsing network for regions.

    Args:
        network: how to get it.
        groups: see `Regions`; StyleSpace merges the 19 classes of a BiSeNet to 10 regions.

    Raises:
        FileNotFoundError: for a file that does not exist.
        ValueError: for a network that cannot be built or loaded; in `segment`, for outputs that do not fit `classes`.

    Example:
        >>> options = {"weights_backbone": None, "num_classes": 2}
        >>> builder = "torchvision.models.segmentation.lraspp_mobilenet_v3_large"
        >>> network = ParsingNetwork(("background", "person"), builder, options, size=64)
        >>> NetworkRegions(network).segment(torch.zeros(1, 3, 128, 128)).shape
        torch.Size([1, 64, 64])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: ParsingNetwork, groups: Groups | None = None) -> None:
        super().__init__(network.classes, groups)
        self.options = network
        self.net = _load(network)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(network, name)).view(3, 1, 1), persistent=False)
        self.freeze()

    def describe(self) -> dict[str, Any]:
        """Return what tells regions, as plain data; where files lie does not matter."""
        options = {k: v for k, v in asdict(self.options).items() if k not in ("weights", "torchscript")}
        return {**super().describe(), "network": options}

    def _classes_of(self, images: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        pictures = fit_resolution(images, self.options.size)
        logits = _entry(self.net(((pictures + 1) / 2 - self.mean) / self.std), self.options.output)
        wanted = (len(images), len(self.classes))
        if logits.ndim != 4 or logits.shape[:2] != wanted:
            raise ValueError(
                f"regions.network gives {tuple(logits.shape)}, not {wanted[0]} × {wanted[1]} maps of classes"
            )
        return logits.argmax(1)


def _entry(output: Any, which: str | int | None) -> Tensor:
    """Return the logits among a network's outputs."""
    entries: dict[Any, Any] = {None: output}
    if isinstance(output, Mapping):
        entries = dict(output)
    elif isinstance(output, tuple | list):
        entries = dict(enumerate(output))
    which = next(iter(entries), None) if which is None else which
    if not isinstance(logits := entries.get(which), Tensor):
        raise ValueError(f"regions.network.output={which!r} is no tensor of the network's; it gives {list(entries)}")
    return logits


def _load(options: ParsingNetwork) -> nn.Module:
    """Get the network, without moving the caller's random numbers."""
    if options.torchscript is not None:
        return load_torchscript(_existing(options.torchscript))
    module, _, name = str(options.builder).rpartition(".")
    try:
        build = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"regions.network.builder={options.builder!r} cannot be imported: {error}") from error
    with torch.random.fork_rng(devices=[]):
        net = build(**options.args)
    if options.weights is not None:
        path = _existing(options.weights)
        try:
            net.load_state_dict(_state(path))
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"{str(path)!r} does not fit {options.builder}: {error}") from error
    return net  # type: ignore[no-any-return]


def _state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
    except (SafetensorError, UnpicklingError, EOFError) as error:
        raise ValueError(f"{str(path)!r} is damaged, or holds more than tensors: {error}") from error


def _existing(name: str) -> Path:
    if not Path(name).is_file():
        raise FileNotFoundError(f"regions.network: file {name!r} does not exist")
    return Path(name)
