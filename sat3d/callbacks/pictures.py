"""Pictures of a run: what the editor does, written to the run folder and shown to any logger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from sat3d.generators import Generator
from sat3d.generators.batches import PairBatch
from sat3d.methods.base import Editor
from sat3d.visualization import edit_clip, edit_grid, write_clip, write_picture


def run_folder(trainer: Trainer) -> Path:
    """Return where a run leaves its files. Every process must ask: the first one tells the others."""
    return Path(trainer.log_dir or trainer.default_root_dir)


class EditGrid(Callback):
    """Write the grid source | reference | edit | difference at every validation, and an orbit clip at the end.

    Works for modules with an `editor()` and a `generator`, and a datamodule with `pairs(split, numbers)`. Files go to
    `<run>/pictures`; loggers that take pictures (TensorBoard, W&B) are given the grid too.

    Args:
        attributes: rows; `null` takes the editor's first `rows`.
        rows: most rows that are drawn.
        yaws: cameras of the columns, radians.
        strength: editing intensity.
        candidates: held-out pairs among which each row takes the first that differs in its attribute, as the module's
            scorer sees it.
        clip_frames: length of the orbit clip, 0 for none.
        scale: enlargement.
    """

    def __init__(
        self,
        attributes: list[str] | None = None,
        rows: int = 8,
        yaws: tuple[float, ...] = (0.0, 0.5),
        strength: float = 1.0,
        candidates: int = 16,
        clip_frames: int = 30,
        scale: int = 1,
    ) -> None:
        self.attributes, self.rows, self.yaws, self.strength = attributes, rows, yaws, strength
        self.candidates, self.clip_frames, self.scale = candidates, clip_frames, scale

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the grid of this step; not during the sanity check."""
        if not trainer.sanity_checking:
            self.write(trainer, pl_module, f"edits-step{trainer.global_step:06d}")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last grid and the clip."""
        self.write(trainer, pl_module, "edits", clip=True)

    @torch.no_grad()
    def write(self, trainer: Trainer, pl_module: Any, name: str, clip: bool = False) -> None:
        """Draw and write the editor as it is now."""
        folder = run_folder(trainer) / "pictures"
        if not trainer.is_global_zero:
            return
        editor, generator = pl_module.editor(), pl_module.generator
        pairs: PairBatch = trainer.datamodule.pairs("val", range(self.candidates), pl_module.device)  # type: ignore[attr-defined]
        attributes = list(self.attributes or editor.attributes)[: self.rows]
        chosen = pairs[differing_rows(generator, pl_module.scorer, pairs, attributes)]
        edited = edit_rows(editor, chosen, attributes, self.strength)
        cameras = None if generator.cameras is None else generator.cameras.turned(torch.tensor(self.yaws))
        grid = edit_grid(generator, chosen.source, chosen.reference, edited, attributes, cameras, self.scale)
        write_picture(folder / f"{name}.png", grid)
        show(trainer, "edits", grid)
        if clip and self.clip_frames and generator.is_3d:
            rows = (chosen.source[:1], chosen.reference[:1], edited[:1])
            write_clip(folder / f"orbit-{attributes[0]}.mp4", edit_clip(generator, *rows, frames=self.clip_frames))


def edit_rows(editor: Editor, pairs: PairBatch, attributes: Sequence[str], strength: float) -> torch.Tensor:
    """Edit pair *i* in attribute *i*."""
    rows = zip(pairs.source.split(1), pairs.reference.split(1), attributes, strict=True)
    return torch.cat([editor.edit(s, name, strength, reference=r) for s, r, name in rows])


@torch.no_grad()
def differing_rows(generator: Generator, scorer: Any, pairs: PairBatch, attributes: Sequence[str]) -> torch.Tensor:
    """Return for every attribute a pair that differs in it by half or more, else the pair that differs most.

    The search for attribute *i* starts at pair *i*, so that rows show different heads.
    """
    scores = [scorer(generator.synthesize(s, camera=pairs.camera).image) for s in (pairs.source, pairs.reference)]
    distances = torch.stack([scorer.distance(*scores, name) for name in attributes])
    enough = (distances >= 0.5) | (distances == distances.amax(1, keepdim=True))
    rows = [(int(row.roll(-i).float().argmax()) + i) % len(row) for i, row in enumerate(enough)]
    return torch.tensor(rows, device=enough.device)


def show(trainer: Trainer, name: str, picture: np.ndarray) -> None:
    """Give a picture to every logger that takes pictures."""
    loggers: list[Any] = list(trainer.loggers)
    for logger in loggers:
        if hasattr(logger, "log_image"):  # W&B, and loggers made alike
            logger.log_image(name, [picture], step=trainer.global_step)
        elif hasattr(logger.experiment, "add_image"):  # TensorBoard
            logger.experiment.add_image(name, picture, trainer.global_step, dataformats="HWC")
