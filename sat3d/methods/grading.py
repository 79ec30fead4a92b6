"""Grading edits: render them, let an observer score them, collect gain and drift."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.generators import Generator
from sat3d.generators.batches import PairBatch
from sat3d.methods.base import Editor
from sat3d.methods.precision import float32
from sat3d.metrics import TransferScore, ViewConsistency, column_drift, mean_of_others
from sat3d.ops.camera import Camera
from sat3d.perception import Scorer

Picture = Callable[[PairBatch, str, float], Tensor]
"""Pairs, attribute, strength → pictures of the edits, (B, 3, H, W)."""


def picture_of(generator: Generator, editor: Editor) -> Picture:
    """Return how an editor's edits look."""

    def picture(pairs: PairBatch, attribute: str, strength: float) -> Tensor:
        styles = editor.edit(pairs.source, attribute, strength, reference=pairs.reference)
        return generator.synthesize(styles, camera=pairs.camera).image

    return picture


@torch.no_grad()
def grade(score: TransferScore, pairs: PairBatch, picture: Picture, generator: Generator, scorer: Scorer) -> None:
    """Add a batch of pairs to a score: every attribute in which they differ, at every strength.

    Args:
        score: where it is collected.
        pairs: held-out pairs.
        picture: how the edits look.
        generator: shows sources and references.
        scorer: labeller or judge; all its attributes count as drift, except the target.

    Raises:
        ValueError: if the scorer does not know an attribute, or tells no standard deviations.
    """
    std = column_std(scorer)
    with float32(pairs.source.device):  # grades do not depend on the precision of the training
        before = scorer(generator.synthesize(pairs.source, camera=pairs.camera).image)
        wanted = scorer(generator.synthesize(pairs.reference, camera=pairs.camera).image)
        for row, attribute in enumerate(score.attributes):
            distance = scorer.distance(before, wanted, attribute)
            keep = (distance >= score.minimum).nonzero()[:, 0]
            if len(keep) == 0:
                continue
            chosen, target = pairs[keep], scorer.attributes.index(attribute)
            for column, strength in enumerate(score.strengths):
                edited = scorer(picture(chosen, attribute, strength))
                moved = column_drift(edited, before[keep], std, scorer.slices)
                drift = mean_of_others(moved, torch.full_like(keep, target))
                to_reference = scorer.distance(edited, wanted[keep], attribute)
                score.update(row, column, to_reference, distance[keep], drift)


@torch.no_grad()
def grade_views(
    score: ViewConsistency, styles: Float[Tensor, "b c"], generator: Generator, scorer: Scorer, camera: Camera
) -> None:
    """Add how differently the scorer reads the same styles from several cameras."""
    with float32(styles.device):
        seen = [generator.synthesize(styles, camera=camera[v].expand(len(styles))).image for v in range(len(camera))]
        score.update(torch.stack([scorer(image) for image in seen], dim=1), column_std(scorer))


def column_std(scorer: Scorer) -> Tensor:
    """Return the unit of drift: the population standard deviation of each of a scorer's columns, (P,)."""
    std = getattr(scorer, "column_std", None)
    if not isinstance(std, Tensor):
        raise ValueError(
            f"labeller, judge: {type(scorer).__name__} tells no standard deviations; use an attribute predictor"
        )
    return std
