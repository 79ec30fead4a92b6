"""What a transfer method is held against: copying, chance, and the world's ideal edit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sat3d.generators import Generator
from sat3d.generators.batches import PairBatch
from sat3d.methods.grading import Picture
from sat3d.methods.sat3d import MaskEditor
from sat3d.world import World


def copy_editor(generator: Generator, attributes: Sequence[str], participates: Tensor) -> MaskEditor:
    """Copy every participating channel from the reference, whatever the attribute."""
    masks = participates.float().expand(len(attributes), -1)
    return MaskEditor(attributes, generator.style_space.size, masks=masks)


def random_editor(editor: MaskEditor, participates: Tensor, seed: int = 0) -> MaskEditor:
    """Deal an editor's mask values out to random participating channels: the same mass in the wrong places."""
    rng, masks = torch.Generator().manual_seed(seed), editor.masks.cpu().clone()
    columns = participates.nonzero()[:, 0]
    for row in masks:
        row[columns] = row[columns[torch.randperm(len(columns), generator=rng)]]
    return MaskEditor(editor.attributes, editor.num_channels, editor.kind, editor.threshold, masks)


def participating(editor: MaskEditor, generator: Generator) -> Tensor:
    """Return the channels that took part in an editor's training, from its card; else those that its masks use."""
    training = editor.card.get("training", {})
    if "kinds" in training and "parts" in training:
        return generator.style_space.mask(training["kinds"], training["parts"])
    return (editor.masks > 0).any(0).cpu()


class IdealEdit:
    """Give the source the reference's value of an attribute, in the world, and hold all else.

    The world's codes are exact where the generator's are not truncated: sources z and references z_ref must have been
    mapped with ψ = 1. Strength δ goes along the attribute's value: v = v_src + δ (v_ref − v_src) for continuous ones,
    the reference's class from δ = 0.5 on for categorical ones.

    Args:
        world: what the codes mean.
        generator: draws the edited code; `None` lets the world draw it.
        resolution: side of the world's pictures.
    """

    def __init__(self, world: World, generator: Generator | None, resolution: int) -> None:
        self.world, self.generator, self.resolution = world, generator, resolution

    def codes(self, pairs: PairBatch, attribute: str, strength: float = 1.0) -> Tensor:
        """Return the edited z, (B, z_dim)."""
        source, reference = pairs.source_z.cpu(), pairs.reference_z.cpu()
        column, world = self.world.index(attribute), self.world
        old, new = (world.values(world.coordinates(z))[:, column] for z in (source, reference))
        if world.attribute(attribute).kind == "continuous":
            value = (old + strength * (new - old)).clamp(0, 1)
        else:
            value = (new if strength >= 0.5 else old).long()
        return world.intervene(source, attribute, value)

    def __call__(self, pairs: PairBatch, attribute: str, strength: float = 1.0) -> Tensor:
        """Return pictures of the ideal edits, (B, 3, H, W)."""
        z = self.codes(pairs, attribute, strength)
        if self.generator is None:
            if pairs.camera is None:
                raise ValueError("camera: the world's pictures need one; the pairs have none")
            picture = self.world.render(self.world.coordinates(z), pairs.camera.to("cpu"), self.resolution)
            return picture.rgb.to(pairs.source.device)
        styles = self.generator.styles(self.generator.map(z.to(pairs.source.device)))
        return self.generator.synthesize(styles, camera=pairs.camera).image


PictureMaker = Picture | IdealEdit
