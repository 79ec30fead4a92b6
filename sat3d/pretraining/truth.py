"""What a picture of the world truly shows, and what of it an observer is held to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sat3d.data.world import PictureBatch
from sat3d.world import World

MIN_PIXELS = 10
MIDDLE = 0.2


@dataclass(frozen=True)
class Truth:
    """Labels of a batch of pictures.

    Args:
        values: Attribute values, (B, A): continuous ones in [0, 1], categorical ones as class numbers.
        classes: Class numbers, (B, A); continuous attributes are cut into low (0) and high (1).
        shows: Whether the attribute can be seen, (B, A): one of its parts covers enough pixels.
        graded: Whether it counts in figures, (B, A): it shows, the camera is near the front, and a continuous value is
            not in the middle.
    """

    values: Float[Tensor, "b a"]
    classes: Int[Tensor, "b a"]
    shows: Bool[Tensor, "b a"]
    graded: Bool[Tensor, "b a"]


def camera_yaw(label: Float[Tensor, "b 25"]) -> Float[Tensor, " b"]:
    """Read the yaw of cameras that stand around the origin off their labels, radians."""
    return torch.atan2(label[:, 3], label[:, 11])


def part_pixels(segmentation: Tensor, parts: int) -> Int[Tensor, "b p"]:
    """Count the pixels of each part, (B, parts)."""
    counts = torch.zeros(len(segmentation), parts, dtype=torch.long, device=segmentation.device)
    flat = segmentation.flatten(1).long()
    return counts.scatter_add_(1, flat, torch.ones_like(flat))


class Grader:
    """Tell what pictures of the world show.

    What no part shows does not count: the colour of no hat, the eyes behind sunglasses.

    Args:
        world: The world.
        min_pixels: A part shows where it covers at least this many pixels.
        middle: Figures leave out this central share of the values of continuous attributes.
    """

    def __init__(self, world: World, min_pixels: int = MIN_PIXELS, middle: float = MIDDLE) -> None:
        self.world, self.min_pixels, self.middle = world, min_pixels, middle
        names = world.parts
        self._parts = torch.zeros(len(names), len(world.attributes))
        for column, attribute in enumerate(world.attributes):
            for part in attribute.parts:
                self._parts[names.index(part), column] = 1
        self._captioner = world.domain.captioner(world.attributes)
        self._continuous = torch.tensor([a.kind == "continuous" for a in world.attributes])

    def near(self, batch: PictureBatch) -> Bool[Tensor, " b"]:
        """Tell which cameras count in figures: those near the front, of worlds that have one."""
        yaw, front = camera_yaw(batch.camera_label).abs(), self.world.domain.front
        return yaw <= (torch.inf if front is None else front)

    def nameable(self, batch: PictureBatch) -> Bool[Tensor, "b a"]:
        """Tell which attributes a caption may name: no curls of a bald head, no hair colour by eyebrows alone."""
        u, labels = batch.u.cpu().double().numpy(), self.world.labels(batch.u).numpy()
        facts = [self._captioner.facts(row, label) for row, label in zip(u, labels, strict=True)]
        return torch.tensor([[name in known for name in self.world.names] for known in facts], device=batch.u.device)

    def __call__(self, batch: PictureBatch) -> Truth:
        """Label a batch."""
        device = batch.u.device
        values = self.world.values(batch.u).to(device)
        classes = self.world.labels(batch.u).to(device)
        seen = (part_pixels(batch.segmentation, len(self.world.parts)) >= self.min_pixels).float()
        shows = (seen @ self._parts.to(device)) > 0
        middle = ((values - 0.5).abs() < self.middle / 2) & self._continuous.to(device)
        return Truth(values, classes, shows, shows & self.near(batch)[:, None] & ~middle)
