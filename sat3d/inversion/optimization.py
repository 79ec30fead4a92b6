"""Inversion by optimisation: codes, and cameras with them, whose pictures are the given ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.generators import Generator
from sat3d.inversion.codes import PictureCodes
from sat3d.inversion.encoder import Encoder
from sat3d.inversion.losses import LossOptions, PictureDistance, Seen
from sat3d.inversion.pose import PoseOptions, angle_grid, within
from sat3d.inversion.spaces import SPACES, Codes, CodeStatistics, Space
from sat3d.ops.camera import Camera
from sat3d.perception.networks import fit_resolution

Progress = Callable[[int, int, float], object]
"""Told after every step: how many are done, of how many, and the mean loss."""


@dataclass(frozen=True)
class InversionOptions:
    """Set an inversion by Adam: as Karras et al. 2020 (arXiv 1912.04958, appendix D) project pictures, in any space.

    Moves of codes, and with them `lr` and `noise`, are in standard deviations of the generator's own codes, so that
    one setting serves w, w+ and s.

    Args:
        space: `w`: one w for all layers. `w+`: one for each. `s`: every style channel on its own.
        steps: of Adam; 0 leaves what the encoder says.
        lr: largest step size.
        rampup: share of the steps in which it rises.
        rampdown: share of the steps in which it falls to 0.
        noise: standard deviation of what is added to the codes at the start; it falls as (1 − t/`quiet`)².
        quiet: share of the steps after which nothing is added.
        loss: what pictures are compared by.
        pose: the search for cameras.
        seed: of the noise.
    """

    space: Space = "s"
    steps: int = 100
    lr: float = 0.1
    rampup: float = 0.05
    rampdown: float = 0.25
    noise: float = 0.0
    quiet: float = 0.75
    loss: LossOptions = field(default_factory=LossOptions)
    pose: PoseOptions = field(default_factory=PoseOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise ValueError(f"space={self.space!r} is unknown; choose one of {', '.join(SPACES)}")
        if self.steps < 0 or self.lr <= 0 or self.noise < 0:
            raise ValueError(f"steps={self.steps}, lr={self.lr}, noise={self.noise}: give 0 or more steps, and lr > 0")

    def rate(self, step: int) -> float:
        """Return the share of `lr` at a step: a linear rise, and half a cosine at the end."""
        t = (step + 1) / self.steps
        rise = min(1.0, t / self.rampup) if self.rampup else 1.0
        fall = min(1.0, (1 - step / self.steps) / self.rampdown) if self.rampdown else 1.0
        return rise * (0.5 - 0.5 * math.cos(math.pi * fall))

    def noise_at(self, step: int) -> float:
        """Return the standard deviation of what is added to the codes at a step."""
        return self.noise * max(0.0, 1 - step / self.steps / self.quiet) ** 2 if self.quiet else 0.0


class Inverter:
    """Find codes of pictures.

    Every picture is on its own: what it is inverted with changes nothing but the time.

    Args:
        generator: that the codes are of.
        options: of the optimisation.
        encoder: where it starts; from the mean code without.

    Raises:
        ValueError: for an encoder of another generator, or no steps and no encoder.

    Example:
        >>> G = load_generator("toyfaces64")
        >>> codes = Inverter(G, InversionOptions(space="s"), load_encoder("toyfaces64", G))(pictures)
        >>> codes.show(G).image
    """

    def __init__(
        self, generator: Generator, options: InversionOptions | None = None, encoder: Encoder | None = None
    ) -> None:
        self.generator, self.options, self.encoder = generator, options or InversionOptions(), encoder
        if encoder is None and not self.options.steps:
            raise ValueError("steps=0 leaves the encoder's codes, and there is no encoder: name one, or take steps")
        if encoder is not None:
            encoder.check(generator)
        self.statistics = CodeStatistics.of(generator)
        self.distance = PictureDistance(self.options.loss, generator.name, generator.device)

    def __call__(
        self, pictures: Float[Tensor, "b 3 h w"], camera: Camera | None = None, progress: Progress | None = None
    ) -> PictureCodes:
        """Invert pictures in [-1, 1]; any square size is resized to the generator's.

        Args:
            pictures: aligned as the generator's own.
            camera: where they were taken from, one or B; looked for if not given. None for a 2-D generator.
            progress: told after every step.

        Returns:
            Their codes; the card tells the options, the last loss and the seconds of each picture.

        Raises:
            ValueError: for a camera with a 2-D generator, or pictures of another shape.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.shape[2] != pictures.shape[3]:
            raise ValueError(f"pictures are (B, 3, side, side), not {tuple(pictures.shape)}")
        if camera is not None and not self.generator.is_3d:
            raise ValueError("camera: a 2-D generator has none; leave it out")
        started = time.perf_counter()
        net = self.generator
        with torch.no_grad():
            wanted = fit_resolution(pictures.to(net.device), net.resolution)
            target = self.distance.seen(wanted)
            ws, angles = self._start(target, known=camera is not None)
        if camera is not None:
            camera, angles = camera.expand(len(wanted)).to(net.device), None
        codes = Codes(net, self.statistics, self.options.space, ws)
        found = self._descend(codes, target, camera, angles, progress)
        pose = "none" if not net.is_3d else "found" if camera is None else "given"
        card = {"inversion": {**asdict(self.options), "encoder": self.encoder is not None, "pose": pose}}
        return replace(found, card={**card, "seconds": round((time.perf_counter() - started) / len(wanted), 3)})

    def _start(self, target: Seen, known: bool) -> tuple[Tensor, Tensor | None]:
        """Return ws to start from, (B, num_ws, w_dim), and angles of cameras that are not known, (B, 2)."""
        count, net = len(target.pictures), self.generator
        if self.encoder is not None:
            encoded = self.encoder(target.pictures)
            return encoded.ws, encoded.angles
        ws = self.statistics.w[0].expand(count, net.num_ws, -1)
        if net.cameras is None or known:
            return ws, None
        grid = angle_grid(net.cameras, self.options.pose).to(net.device)
        styles = net.styles(ws[:1])
        best = torch.full((count,), torch.inf, device=net.device)
        angles = torch.zeros(count, 2, device=net.device)
        for row in grid:  # one view at a time: few pictures in memory, whatever the generator
            image = net.synthesize(styles, camera=net.cameras.at(row[:1], row[1:])).image
            found = sum(self.distance(image.expand(count, -1, -1, -1), target).values())
            assert isinstance(found, Tensor)
            better = found < best
            best, angles = torch.where(better, found, best), torch.where(better[:, None], row, angles)
        return ws, angles

    @torch.enable_grad()
    def _descend(
        self, codes: Codes, target: Seen, camera: Camera | None, angles: Tensor | None, progress: Progress | None
    ) -> PictureCodes:
        """Run Adam. Losses are sums over pictures, and Adam goes number by number: no picture feels another."""
        net, o = self.generator, self.options
        x = codes.x.clone().requires_grad_(True)
        groups: list[dict[str, Any]] = [{"params": [x], "lr": o.lr}]
        if angles is not None:
            angles = angles.clone().requires_grad_(True)
            groups.append({"params": [angles], "lr": o.pose.lr})
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        random = torch.Generator().manual_seed(o.seed)
        for step in range(o.steps):
            for group, lr in zip(optimizer.param_groups, (o.lr, o.pose.lr), strict=False):
                group["lr"] = lr * o.rate(step)
            sigma = o.noise_at(step)
            # one noise for all pictures: a picture's does not depend on its place in the batch
            noise = sigma * torch.randn(x.shape[1:], generator=random).to(x) if sigma else 0.0
            ws, styles = codes.at(x + noise)
            image = net.synthesize(styles, camera=self._camera(camera, angles)).image
            terms = self.distance(image, target)
            if o.loss.code:
                terms["code"] = o.loss.code * codes.strangeness(ws, styles)
            loss = torch.stack(list(terms.values())).sum(0)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            if angles is not None:
                with torch.no_grad():
                    assert net.cameras is not None
                    angles.copy_(within(angles, net.cameras, o.pose.reach))
            if progress is not None:
                progress(step + 1, o.steps, float(loss.detach().mean()))
        with torch.no_grad():
            ws, styles = codes.at(x)
            return PictureCodes(ws.contiguous(), styles, self._camera(camera, angles))

    def _camera(self, camera: Camera | None, angles: Tensor | None) -> Camera | None:
        if angles is None:
            return camera
        assert self.generator.cameras is not None
        return self.generator.cameras.at(angles[:, 0], angles[:, 1])
