"""Figures of discovered style channels: heat maps, strips of edits, and an orbit."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from sat3d.callbacks.pictures import run_folder, show
from sat3d.visualization import edit_clip, heat_map, strip_grid, write_clip, write_picture

SHORT = {"backbone.synthesis.": "", "synthesis.": "", "superresolution.": "sr."}


class ChannelFigures(Callback):
    """Write to `<run>/pictures` what `StyleSpaceDiscovery` found, at the end of the fit, and show it to any logger.

    `regions.png` and `attributes.png` are heat maps of all channels by layer: the share of pictures in which a region
    wins a channel, and θ. `strips-regions.png` moves each region's strongest channels, `strips-attributes.png` what the
    editor moves for each attribute, in heads that show little of it. `orbit.mp4` turns around the first edit of both.

    Args:
        strength: of the edits, in σ of the channel; the outer columns take twice as much.
        channels: strips drawn for a region.
        candidates: held-out codes among which a strip takes the one with least of the attribute.
        clip_frames: length of the orbit clip, 0 for none.
        side: largest side of a picture in a strip, pixels; there may be a hundred strips.
        scale: enlargement.
    """

    def __init__(
        self,
        strength: float = 10.0,
        channels: int = 2,
        candidates: int = 16,
        clip_frames: int = 30,
        side: int = 256,
        scale: int = 1,
    ) -> None:
        self.strength, self.channels, self.candidates = strength, channels, candidates
        self.clip_frames, self.side, self.scale = clip_frames, side, scale

    @torch.no_grad()
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw everything."""
        module: Any = pl_module
        folder = run_folder(trainer) / "pictures"
        if not trainer.is_global_zero or not bool(module.is_fitted):
            return
        self._maps(trainer, folder, module)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        codes = data.codes("val", range(self.candidates), module.device)
        strips = {"regions": self._region_strips(module), "attributes": self._attribute_strips(module, codes)}
        cameras = None if codes.camera is None else module.generator.cameras.frontal()
        for name, rows in strips.items():
            if rows:
                picture = self._strip(
                    module, [(label, edit, codes.styles[[code]]) for label, edit, code in rows], cameras
                )
                write_picture(folder / f"strips-{name}.png", picture)
                show(trainer, f"strips-{name}", picture)
        first = strips["attributes"] or strips["regions"]
        if first and self.clip_frames and module.generator.is_3d:
            self._orbit(folder, module, first[0][1], codes.styles[[first[0][2]]])

    def _maps(self, trainer: Trainer, folder: Path, module: Any) -> None:
        table = module.table
        layers = [short(table.name(row).rpartition("/")[0]) for row in range(len(table))]
        groups = [(name, len(list(run))) for name, run in groupby(layers)]
        drawn = {
            "regions": (table.rate.T, table.regions, "share of pictures won"),
            "attributes": (table.theta.T, table.attributes, "relevance θ"),
        }
        for name, (values, rows, unit) in drawn.items():
            if len(rows):
                picture = heat_map(values, list(rows), groups, f"{len(table)} style channels and {name}", unit)
                write_picture(folder / f"{name}.png", picture)
                show(trainer, name, picture)

    def _region_strips(self, module: Any) -> list[tuple[str, str, int]]:
        """Return (label, what the editor moves, number of the code) of each row."""
        table = module.table
        return [
            (f"{region}: {short(table.name(row))}", table.name(row), 0)
            for region in table.regions
            for row in table.strongest(region, self.channels).tolist()
        ]

    def _attribute_strips(self, module: Any, codes: Any) -> list[tuple[str, str, int]]:
        names, least = module.likeness.names, []
        if names:
            single = [codes[i : i + 1] for i in range(len(codes))]
            shown = [module.generator.synthesize(one.styles, camera=one.camera).image for one in single]
            least = torch.cat([module.likeness(image) for image in shown]).argmin(0).tolist()
        return [(name, name, dict(zip(names, least, strict=True)).get(name, 0)) for name in module.attributes]

    def _strip(self, module: Any, rows: list[tuple[str, str, Tensor]], cameras: Any) -> Any:
        editor, d = module.editor(), self.strength
        edits = [(label, partial(editor.edit, styles, edit)) for label, edit, styles in rows]
        strengths = [-2 * d, -d, 0.0, d, 2 * d]
        return strip_grid(module.generator, edits, strengths, cameras, " std", self.side, self.scale)

    def _orbit(self, folder: Path, module: Any, edit: str, styles: Tensor) -> None:
        editor, d = module.editor(), self.strength
        less, more = editor.edit(styles, edit, -d), editor.edit(styles, edit, d)
        write_clip(folder / "orbit.mp4", edit_clip(module.generator, less, styles, more, frames=self.clip_frames))


def short(layer: str) -> str:
    """Return a layer's or channel's name without what all of them share."""
    for long, brief in SHORT.items():
        if layer.startswith(long):
            return brief + layer.removeprefix(long)
    return layer
