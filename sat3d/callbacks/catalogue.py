"""Figures of a catalogue of regions: which pixels each of them has, beside the pictures."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import interpolate

from sat3d.callbacks.pictures import run_folder, show
from sat3d.visualization import picture_grid, write_picture

FADED = 0.15


class CatalogueFigures(Callback):
    """Write `<run>/pictures/catalogue.png` at the end of the fit, and show it to any logger.

    The first row shows held-out pictures, each further one what a region of `EditingInStyle` has of them, with its
    name; the rest of the picture is faded.

    Args:
        pictures: columns.
        side: largest side of a picture, pixels.
        scale: enlargement.
    """

    def __init__(self, pictures: int = 6, side: int = 128, scale: int = 1) -> None:
        self.pictures, self.side, self.scale = pictures, side, scale

    @torch.no_grad()
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the catalogue."""
        module: Any = pl_module
        folder = run_folder(trainer) / "pictures"
        if not trainer.is_global_zero or not bool(module.is_fitted):
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        images, labels = [], []
        for number in range(self.pictures):
            code = data.codes("val", [number], module.device)
            out = module.generator.synthesize(code.styles, camera=code.camera, features=module.regions.features)
            images.append(self._small(out.image))
            labels.append(module.regions.segment(out.image, out.features))
        picture, label = torch.cat(images), torch.cat(labels)
        side = (picture.shape[-1], picture.shape[-1])
        seen = interpolate(label[:, None].double(), side, mode="nearest-exact").long()
        rows = [picture, *(_only(picture, seen == k) for k in range(len(module.classes)))]
        names = [cluster if cluster == name else f"{cluster}: {name}" for cluster, name in module.catalogue.titles()]
        page = picture_grid(torch.stack(rows).cpu(), ["", *names], scale=self.scale)
        write_picture(folder / "catalogue.png", page)
        show(trainer, "catalogue", page)

    def _small(self, image: Tensor) -> Tensor:
        if image.shape[-1] <= self.side:
            return image
        return interpolate(image, (self.side, self.side), mode="bilinear", antialias=True)


def _only(picture: Tensor, inside: Tensor) -> Tensor:
    return torch.where(inside, picture, 1 + FADED * (picture - 1))
