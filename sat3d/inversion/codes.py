"""A picture's code: what inversion finds, what editors take, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sat3d.generators import Generator, Rendering
from sat3d.ops.camera import Camera
from sat3d.replacing import replacing

FORMAT = 1
TUNED = "tuned."


@dataclass(frozen=True)
class PictureCodes:
    """Hold the codes of pictures.

    Styles that were moved on their own are not those of their ws. Editors of s take the styles; editors of w the ws,
    and `sat3d.methods.edited_styles` adds what they change to the styles.

    Args:
        ws: (B, num_ws, w_dim).
        styles: (B, C).
        camera: where the pictures were taken from; `None` for a 2-D generator.
        tuned: what pivotal tuning adds to the generator's weights, by name; empty without. For one picture only.
        card: what is known of them, as plain data.
    """

    ws: Float[Tensor, "b n d"]
    styles: Float[Tensor, "b c"]
    camera: Camera | None = None
    tuned: Mapping[str, Tensor] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.styles)

    def __getitem__(self, index: slice | Tensor) -> PictureCodes:
        camera = None if self.camera is None else self.camera[index]
        return replace(self, ws=self.ws[index], styles=self.styles[index], camera=camera)

    def to(self, device: torch.device | str) -> PictureCodes:
        """Move to a device."""
        return replace(
            self,
            ws=self.ws.to(device),
            styles=self.styles.to(device),
            camera=None if self.camera is None else self.camera.to(device),
            tuned={name: tensor.to(device) for name, tensor in self.tuned.items()},
        )

    def show(self, generator: Generator) -> Rendering:
        """Return the pictures that the codes make, from where they were taken."""
        return generator.synthesize(self.styles, camera=self.camera)

    def save(self, path: str | Path, generator: Generator, **facts: Any) -> Path:
        """Write a `.safetensors` file, whole or not at all.

        Args:
            path: of the file.
            generator: that the codes are of.
            facts: further entries of the card.
        """
        tensors = {"ws": self.ws, "styles": self.styles}
        if self.camera is not None:
            tensors["camera"] = self.camera.label()
        tensors |= {f"{TUNED}{name}": tensor.half() for name, tensor in self.tuned.items()}
        card = {**self.card, **facts, "format": FORMAT, "generator": {"name": generator.name, "hash": generator.hash}}
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with replacing(path) as partial:
            save_file(plain, partial, metadata={"sat3d.code": json.dumps(card)})
        return Path(path)


def read_card(path: str | Path) -> dict[str, Any]:
    """Return what a file of codes tells of them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or holds no codes.
    """
    return _read(Path(path), tensors=False)[0]


def load_codes(path: str | Path, generator: Generator) -> PictureCodes:
    """Load what `PictureCodes.save` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, holds no codes, or those of another generator.
    """
    card, tensors = _read(Path(path), tensors=True)
    try:
        name, digest = (card["generator"][key] for key in ("name", "hash"))
        if digest != generator.hash:
            raise ValueError(
                f"{path}: codes of generator {name!r} (hash {digest[:12]}), not of {generator.name!r} (hash "
                f"{generator.hash[:12]}); take that one, or invert the picture again"
            )
        camera = Camera.from_label(tensors["camera"]) if "camera" in tensors else None
        codes = PictureCodes(tensors["ws"].float(), tensors["styles"].float(), camera, {}, card)
    except KeyError as error:
        raise ValueError(f"{path} lacks {error}: it is damaged; invert the picture again") from error
    wanted = (generator.num_ws, generator.w_dim)
    if codes.ws.shape[1:] != wanted or codes.styles.shape != (len(codes.ws), generator.style_space.size):
        raise ValueError(f"{path}: codes of {tuple(codes.ws.shape[1:])} do not fit the generator's {wanted}")
    tuned = {k.removeprefix(TUNED): t.float() for k, t in tensors.items() if k.startswith(TUNED)}
    return replace(codes, tuned=tuned).to(generator.device)


def _read(path: Path, tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {}).get("sat3d.code", "null"))
            found = {k: file.get_tensor(k) for k in file.keys()} if tensors else {}  # noqa: SIM118 - no mapping
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is damaged or no file of codes ({error}); invert the picture again") from error
    if not isinstance(card, dict) or not isinstance(card.get("generator"), dict):
        raise ValueError(f"{path} holds no codes; `sat3d invert` writes such files")
    return card, found
