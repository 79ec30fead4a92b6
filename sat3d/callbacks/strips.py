"""Figures of directions: each attribute and each direction, from one end to the other."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from sat3d.callbacks.pictures import run_folder, show
from sat3d.methods.base import edited_styles
from sat3d.visualization import strip_grid, write_picture


class EditStrips(Callback):
    """Write `<run>/pictures/strips.png` at the end of a fit, and show it to any logger: a row for each edit.

    For methods that leave directions and learn from a stream of codes. The difference is that of the last strength but
    one.

    Args:
        strengths: of the edits, rising, 0 among them.
        rows: how many of the editor's attributes are drawn, the first ones.
        code: number of the held-out code that is edited.
        side: largest side of a picture, pixels.
        scale: enlargement.
    """

    def __init__(
        self,
        strengths: tuple[float, ...] = (-3.0, -1.5, 0.0, 1.5, 3.0),
        rows: int = 60,
        code: int = 0,
        side: int = 256,
        scale: int = 1,
    ) -> None:
        if 0 not in strengths or sorted(strengths) != list(strengths) or len(strengths) < 3:
            raise ValueError(f"strengths={list(strengths)} must rise, with 0 among them, and be three at least")
        self.strengths, self.rows, self.code, self.side, self.scale = strengths, rows, code, side, scale

    @torch.no_grad()
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the strips."""
        module: Any = pl_module
        folder = run_folder(trainer) / "pictures"
        if not trainer.is_global_zero or not bool(module.is_fitted):
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        codes, editor = data.codes("val", [self.code], module.device), module.editor()
        edits = [
            (name, partial(edited_styles, module.generator, editor, codes, name))
            for name in editor.attributes[: self.rows]
        ]
        cameras = None if codes.camera is None else module.generator.cameras.frontal()
        picture = strip_grid(module.generator, edits, self.strengths, cameras, "", self.side, self.scale)
        write_picture(folder / "strips.png", picture)
        show(trainer, "strips", picture)
