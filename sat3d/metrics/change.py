"""One number for an edit's worth: how far it moves its target before it moves everything else too far."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from sat3d.metrics.dependency import attribute_dependency

ALLOWED_DRIFT = 0.2
"""How far the other attributes may move, on average, in standard deviations; copying a reference moves them by 1."""

MOST = 2.0


def change_at_drift(
    change: Float[Tensor, "b d a"],
    std: Float[Tensor, " a"],
    target: int,
    at: float = ALLOWED_DRIFT,
    most: float = MOST,
) -> Float[Tensor, " b"]:
    """Read how far each picture's target has moved where its own sweep first moves the others by `at` on average.

    Edits that move nothing get 0, and edits that move everything alike no more than `at`. A sweep that never drifts
    as far gives the most that it moved its target: its user may stop anywhere below.

    Args:
        change: Δ logits by rising strength, without strength 0, which is the origin, (B, D, A). Of the target the
            sign counts: away from what was wanted is below 0.
        std: standard deviation of each logit over generated pictures, (A,).
        target: the attribute that was edited.
        at: mean |Δl|/σ of the others.
        most: changes of the target count up to this, in σ; past it the attribute is there, and more is no merit.

    Returns:
        change of the target, σ, at most `most`, (B,).
    """
    origin = change.new_zeros(len(change), 1)
    moved = (change[..., target] / std[target].clamp_min(1e-6)).clamp_max(most)
    moved = torch.cat([origin, moved], dim=1)
    drift = torch.cat([origin, attribute_dependency(change, std, target)], dim=1)
    past = drift > at
    last = past.int().argmax(1, keepdim=True).clamp_min(1)  # argmax gives the first of equals
    (low, high), (below, above) = ((x.gather(1, last - 1), x.gather(1, last)) for x in (moved, drift))
    read = low + (at - below) / (above - below) * (high - low)
    return torch.where(past.any(1), read[:, 0], moved.amax(1))


class ChangeAtDrift(Metric):
    """Average `change_at_drift` over pictures.

    Args:
        at: see `change_at_drift`.
        most: see `change_at_drift`.
        kwargs: torchmetrics' own.

    Example:
        >>> score = ChangeAtDrift(at=0.2)
        >>> score.update(torch.tensor([[[1.0, 0.1], [2.0, 0.3]]]), std=torch.ones(2), target=0)
        >>> score.compute()
        tensor(1.5000)
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self, at: float = ALLOWED_DRIFT, most: float = MOST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.at, self.most = at, most
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, change: Float[Tensor, "b d a"], std: Float[Tensor, " a"], target: int) -> None:
        """Add sweeps of one target attribute: B pictures, D rising strengths."""
        self.total += change_at_drift(change, std, target, self.at, self.most).double().sum()
        self.count += len(change)

    def compute(self) -> Float[Tensor, ""]:
        """Return the mean, σ; NaN where nothing was given."""
        return (self.total / self.count).float()
