"""Small convolutional networks: two different trunks for the observers that must not share their mistakes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn


def conv_norm(cin: int, cout: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Build a convolution with batch normalisation and ReLU."""
    conv = nn.Conv2d(cin, cout, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout), nn.ReLU(inplace=True))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016, arXiv 1512.03385)."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.first = conv_norm(cin, cout, stride=stride)
        self.second = nn.Sequential(nn.Conv2d(cout, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or cin != cout:
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(cin, cout, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Transform feature maps."""
        return torch.relu(self.shortcut(x) + self.second(self.first(x)))


class ResidualTrunk(nn.Module):
    """A residual network with batch normalisation, pooled by mean and maximum over the picture.

    Args:
        widths: Channels of the stages; the first works at half the picture's resolution, each next at half of that.
    """

    def __init__(self, widths: Sequence[int], resolution: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(3, widths[0], stride=2)]
        for cin, cout in zip((widths[0], *widths[:-1]), widths, strict=True):
            layers.append(ResidualBlock(cin, cout, 1 if len(layers) == 1 else 2))
        self.layers = nn.Sequential(*layers)
        self.features = 2 * widths[-1]

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch f"]:
        """Return pooled features ``(B, features)``."""
        maps = self.layers(images)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)


class PlainTrunk(nn.Module):
    """Strided convolutions with group normalisation and GELU, no shortcuts, no pooling: it knows where things are.

    Args:
        widths: Channels of the stages, each at half the resolution of the one before, starting at half the picture's.
        resolution: Height and width of the pictures in pixels.
    """

    def __init__(self, widths: Sequence[int], resolution: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for cin, cout in zip((3, *widths[:-1]), widths, strict=True):
            layers += [nn.Conv2d(cin, cout, 4, 2, padding=1), nn.GroupNorm(8, cout), nn.GELU()]
            layers += [nn.Conv2d(cout, cout, 3, padding=1), nn.GroupNorm(8, cout), nn.GELU()]
        side = resolution // 2 ** len(widths)
        self.features = 256
        layers += [nn.Conv2d(widths[-1], 48, 1), nn.Flatten(), nn.Linear(48 * side * side, 256), nn.GELU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch f"]:
        """Return features ``(B, features)``."""
        out: Tensor = self.layers(images)
        return out


TRUNKS: Mapping[str, Callable[[Sequence[int], int], ResidualTrunk | PlainTrunk]] = {
    "residual": ResidualTrunk,
    "plain": PlainTrunk,
}


def build_trunk(name: str, widths: Sequence[int], resolution: int) -> ResidualTrunk | PlainTrunk:
    """Build a trunk by name.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in TRUNKS:
        raise ValueError(f"trunk {name!r} is unknown; choose one of {', '.join(TRUNKS)}")
    return TRUNKS[name](widths, resolution)


def toyfaces_resnet(pretrained: bool = False, **options: Any) -> nn.Module:
    """Build the image network of the toy world's CLIP, of timm's blocks, with the signature that timm's registry wants.

    The residual networks of open_clip and timm shrink pictures fourfold before their first block, and a mouth of the
    toy world is a line of two pixels. This one shrinks them twofold.

    Raises:
        ValueError: If weights of this network alone are asked for.
    """
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    if pretrained:
        raise ValueError("toyfaces_resnet has no weights of its own: they come with the whole text-image model")
    stages = ((32, 1), (64, 2), (128, 2), (192, 2))  # channels and stride
    blocks = tuple(ByoBlockCfg("basic", d=1, c=width, s=stride, gs=0, br=1.0) for width, stride in stages)
    config = ByoModelCfg(blocks, downsample="avg", stem_chs=32, stem_pool="", zero_init_last=False)
    return cast(nn.Module, ByobNet(config, **{key: options[key] for key in ("num_classes", "global_pool")}))


def load_torchscript(path: Path) -> nn.Module:
    """Load a TorchScript network on the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no such network.
    """
    if not path.is_file():
        raise FileNotFoundError(f"file {str(path)!r} does not exist")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*torch.jit")  # such files outlive the format's deprecation
            return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-any-return, no-untyped-call]
    except RuntimeError as error:
        raise ValueError(f"{str(path)!r} is no TorchScript network: {error}") from error


def fit_resolution(images: Tensor, resolution: int) -> Tensor:
    """Resize images to a square of the given side, anti-aliased; images of that size pass untouched."""
    if images.shape[-2:] == (resolution, resolution):
        return images
    return nn.functional.interpolate(images, (resolution, resolution), mode="bilinear", antialias=True)
