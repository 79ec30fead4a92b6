"""An encoder for one generator: a picture's w and camera at a glance."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat3d.generators import Generator
from sat3d.inversion.spaces import CodeStatistics
from sat3d.perception import Observer
from sat3d.perception.networks import build_trunk, fit_resolution
from sat3d.perception.storage import read_weights, save_weights
from sat3d.shipped import manifest, shipped_path

KIND = "encoder"


class Encoded(NamedTuple):
    """Hold what an encoder reads from pictures.

    Args:
        ws: one w for all layers, (B, num_ws, w_dim).
        angles: yaw and pitch of the cameras, radians, (B, 2); `None` for a 2-D generator.
    """

    ws: Tensor
    angles: Tensor | None


@dataclass(frozen=True)
class EncoderConfig:
    """Say what an encoder is made of, and whose codes it tells.

    Args:
        generator: name of the generator.
        generator_hash: its hash.
        w_dim: width of w.
        num_ws: number of ws.
        yaw: range of the cameras, radians; `None` for a 2-D generator.
        pitch: likewise.
        trunk: `residual` or `plain`, as observers have them.
        widths: channels of the trunk's stages.
        resolution: side of the pictures that it looks at, pixels.
    """

    generator: str
    generator_hash: str
    w_dim: int
    num_ws: int
    yaw: tuple[float, float] | None
    pitch: tuple[float, float] | None
    trunk: str = "plain"
    widths: tuple[int, ...] = (32, 64, 128, 192)
    resolution: int = 64

    @classmethod
    def of(cls, generator: Generator, trunk: str, widths: tuple[int, ...], resolution: int) -> EncoderConfig:
        """Describe an encoder for a generator."""
        own = generator.cameras
        return cls(
            generator=generator.name,
            generator_hash=generator.hash,
            w_dim=generator.w_dim,
            num_ws=generator.num_ws,
            yaw=None if own is None else (own.yaw[0], own.yaw[1]),
            pitch=None if own is None else (own.pitch[0], own.pitch[1]),
            trunk=trunk,
            widths=tuple(widths),
            resolution=resolution,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EncoderConfig:
        """Read it back from plain data."""
        plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        return cls(**{key: value for key, value in plain.items() if key != "kind"})


class Encoder(Observer):
    """Read w and the camera from pictures (the first step of hybrid inversion, as Zhu et al. 2016, arXiv 1609.03552).

    Args:
        config: architecture, and whose codes it tells.
        statistics: of the generator's codes: the network tells w in standard deviations from the mean.
    """

    statistics: Tensor

    def __init__(self, config: EncoderConfig, statistics: CodeStatistics | None = None) -> None:
        super().__init__()
        self.config = config
        w = torch.zeros(2, config.w_dim) if statistics is None else statistics.w.detach().clone().cpu()
        self.register_buffer("statistics", w)
        self.trunk = build_trunk(config.trunk, config.widths, config.resolution)
        features = self.trunk.features
        self.hidden = nn.Sequential(nn.Linear(features, features), nn.GELU())
        self.head = nn.Linear(features, config.w_dim + (0 if config.yaw is None else 2))

    def describe(self) -> dict[str, Any]:
        """Return kind and configuration."""
        return {"kind": KIND, **asdict(self.config)}

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Encoded:
        """Read pictures in [-1, 1], of any size."""
        found = self.head(self.hidden(self.trunk(fit_resolution(pictures, self.config.resolution)))).float()
        mean, std = self.statistics
        w = mean + std * found[:, : self.config.w_dim]
        ws = w[:, None].expand(-1, self.config.num_ws, -1)
        if self.config.yaw is None or self.config.pitch is None:
            return Encoded(ws, None)
        low, high = torch.tensor([self.config.yaw, self.config.pitch], device=found.device).T
        return Encoded(ws, (low + high) / 2 + (high - low) / 2 * found[:, -2:])

    def check(self, generator: Generator) -> None:
        """Refuse another generator than the encoder's.

        Raises:
            ValueError: it is another one.
        """
        if generator.hash != self.config.generator_hash:
            raise ValueError(
                f"encoder: made for generator {self.config.generator!r} (hash {self.config.generator_hash[:12]}), not "
                f"for {generator.name!r} (hash {generator.hash[:12]}); train one, see docs/your_generator.md"
            )

    def save(self, path: str | Path) -> Path:
        """Write a `.safetensors` file, in half precision."""
        return save_weights(self.state_dict(), self.describe(), path)


def shipped_encoder(generator: Generator) -> str | None:
    """Return the name of the encoder that is shipped for a generator, if there is one."""
    name = f"{generator.name}-encoder"
    return name if name in manifest() else None


@cache
@torch.inference_mode(False)
def _loaded(path: Path) -> Encoder:
    config, state = read_weights(path, "encoder")
    if config.get("kind") != KIND:
        raise ValueError(f"encoder: {str(path)!r} holds none (kind {config.get('kind')!r})")
    try:
        with torch.random.fork_rng(devices=[]):
            encoder = Encoder(EncoderConfig.from_dict(config))
        encoder.load_state_dict(state)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"encoder: {str(path)!r} does not fit its own configuration: {error}") from error
    return encoder.freeze()


def load_encoder(name: str | Path, generator: Generator) -> Encoder:
    """Load a frozen encoder.

    Args:
        name: a shipped name (`toyfaces64-encoder`) or a `.safetensors` file that a training exported.
        generator: whose codes it must tell.

    Raises:
        FileNotFoundError: if there is no such name or file.
        ValueError: if the file is damaged, holds no encoder, or one of another generator.
    """
    path = Path(name) if Path(name).suffix == ".safetensors" else shipped_path(str(name))
    encoder = _loaded(path)
    encoder.check(generator)
    return encoder.to(generator.device)
