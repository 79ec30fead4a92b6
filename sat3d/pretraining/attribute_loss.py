"""The loss of whatever learns to read attributes off pictures."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from sat3d.perception import PredictedAttribute
from sat3d.pretraining.truth import Truth
from sat3d.world import World


def predicted_attributes(world: World) -> tuple[PredictedAttribute, ...]:
    """Describe the world's attributes, all of them, for a predictor."""
    return tuple(PredictedAttribute(a.name, a.kind, a.classes) for a in world.attributes)


class AttributeLoss:
    """Cross entropy of every attribute, over the pictures in which it shows, averaged over attributes.

    Logits are one column a class, or one column for a continuous attribute; that one is trained by the cross entropy of
    its sigmoid with the value in [0, 1], whose minimum is the mean of the values that a picture may have.

    Args:
        world: The world, which orders the columns.
    """

    def __init__(self, world: World) -> None:
        self.attributes = predicted_attributes(world)
        self.columns = sum(attribute.width for attribute in self.attributes)

    def __call__(self, logits: Float[Tensor, "b p"], truth: Truth) -> Float[Tensor, ""]:
        """Return the loss of a batch."""
        losses = []
        parts = logits.split([attribute.width for attribute in self.attributes], dim=1)
        for column, (attribute, part) in enumerate(zip(self.attributes, parts, strict=True)):
            if attribute.kind == "continuous":
                each = binary_cross_entropy_with_logits(part[:, 0], truth.values[:, column], reduction="none")
            else:
                each = cross_entropy(part, truth.classes[:, column], reduction="none")
            shows = truth.shows[:, column].to(each.dtype)
            losses.append((each * shows).sum() / shows.sum().clamp_min(1))
        return torch.stack(losses).mean()
