"""All that decides which code a picture gets, in one place: the command line, the page and notebooks take it alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.generators import Generator
from sat3d.inversion.codes import PictureCodes
from sat3d.inversion.encoder import Encoder, load_encoder, shipped_encoder
from sat3d.inversion.optimization import InversionOptions, Inverter, Progress
from sat3d.inversion.tuning import TuningOptions, tune, with_tuning
from sat3d.metrics.pictures import picture_errors
from sat3d.ops.camera import Camera
from sat3d.perception.networks import fit_resolution

SHIPPED, NONE = "shipped", "none"


@dataclass(frozen=True)
class Recipe:
    """Say how pictures are inverted: from an encoder's answer or the mean code, by some steps, and with tuning or not.

    The default is the hybrid that Wu et al. 2021 (arXiv 2011.12799, §6) found to keep both reconstruction and
    editability: an encoder, followed by few steps in S.

    Args:
        options: of the optimisation.
        encoder: `shipped`: the one that is shipped for the generator, if there is one. `none`: start from the mean
            code. Else a name or file.
        tuning: of the generator's private copy; `None` leaves it out.
    """

    options: InversionOptions = field(default_factory=InversionOptions)
    encoder: str = SHIPPED
    tuning: TuningOptions | None = None


@dataclass(frozen=True)
class Inverted:
    """Hold what became of one picture.

    Args:
        codes: of the picture.
        picture: as the generator is to draw it, (1, 3, R, R) in [-1, 1].
        drawn: as it draws it, likewise.
        figures: PSNR in decibels, SSIM, the perceptual and identity distances that the loss has, the camera's angles.
    """

    codes: PictureCodes
    picture: Float[Tensor, "1 3 r r"]
    drawn: Float[Tensor, "1 3 r r"]
    figures: dict[str, float]


class PictureInverter:
    """Invert pictures by a recipe.

    Args:
        generator: that the codes are of.
        recipe: how.

    Raises:
        FileNotFoundError: for an encoder or network that is not there.
        ValueError: for one of another generator; for no steps without an encoder.

    Example:
        >>> invert = PictureInverter(load_generator("toyfaces64"))
        >>> found = list(invert(pictures))
    """

    def __init__(self, generator: Generator, recipe: Recipe | None = None) -> None:
        self.generator, self.recipe = generator, recipe or Recipe()
        self.encoder = _encoder(self.recipe.encoder, generator)
        self.inverter = Inverter(generator, self.recipe.options, self.encoder)

    def key(self, picture: Float[Tensor, "1 3 h w"], camera: Camera | None) -> str:
        """Return a hash of everything that decides the code of a picture: the networks and settings, too."""
        networks = [self.generator.hash, None if self.encoder is None else self.encoder.hash]
        digest = hashlib.sha256(json.dumps([asdict(self.recipe), networks], sort_keys=True).encode())
        for tensor in (picture, None if camera is None else camera.label()):
            if tensor is not None:
                digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def __call__(
        self, pictures: Float[Tensor, "b 3 h w"], camera: Camera | None = None, progress: Progress | None = None
    ) -> Iterator[Inverted]:
        """Yield what became of each picture, in order; see `Inverter`."""
        net = self.generator
        wanted = fit_resolution(pictures.to(net.device), net.resolution)
        together = self.inverter(wanted, camera, progress)
        for k in range(len(wanted)):
            one = together[k : k + 1]
            if self.recipe.tuning is not None:
                one = tune(net, one, wanted[k : k + 1], self.recipe.tuning, progress)
            yield self._finished(one, wanted[k : k + 1])

    @torch.no_grad()
    def _finished(self, codes: PictureCodes, picture: Tensor) -> Inverted:
        drawn = codes.show(with_tuning(self.generator, codes.tuned)).image
        errors = picture_errors(drawn, picture)
        distance = self.inverter.distance
        terms = distance(drawn, distance.seen(picture))
        weights: dict[str, Any] = asdict(self.recipe.options.loss)
        figures = {"psnr": float(errors.psnr), "ssim": float(errors.ssim)}
        figures |= {name: float(value) / weights[name] for name, value in terms.items() if name != "pixels"}
        if codes.camera is not None:
            yaw, pitch = codes.camera.angles()[0].tolist()
            figures |= {"yaw": yaw, "pitch": pitch}
        told = {name: round(value, 5) for name, value in figures.items()}
        return Inverted(replace(codes, card={**codes.card, "figures": told}), picture, drawn, figures)


def _encoder(name: str, generator: Generator) -> Encoder | None:
    if name == SHIPPED:
        found = shipped_encoder(generator)
        return None if found is None else load_encoder(found, generator)
    return None if name == NONE else load_encoder(name, generator)
