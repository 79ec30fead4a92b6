"""Attribute Dependency: how much an edit of one attribute moves the others (StyleSpace, arXiv 2011.12799)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric


class DependencyCurve(NamedTuple):
    """Hold Attribute Dependency by the target's change, one entry a point.

    Args:
        change: |Δl_target|/σ.
        mean: mean-AD; NaN where nothing was measured.
        max: max-AD; NaN likewise.
        edits: behind each point.
        seen: edits (or sweeps) given in all; those that a point leaves out are not in its averages.
    """

    change: tuple[float, ...]
    mean: tuple[float, ...]
    max: tuple[float, ...]
    edits: tuple[int, ...]
    seen: int


def attribute_dependency(
    change: Float[Tensor, "*b a"], std: Float[Tensor, " a"], target: int, reduction: Literal["mean", "max"] = "mean"
) -> Float[Tensor, "*b"]:
    """Return mean-AD or max-AD of each edit (Wu et al. 2021, §6); 0 where there are no other attributes.

    Args:
        change: logits of the edited picture minus those of the original, (..., A).
        std: standard deviation of each logit over generated pictures, (A,).
        target: the attribute that was edited.
        reduction: mean or maximum over the other attributes of |Δl|/σ(l).
    """
    others = torch.arange(change.shape[-1], device=change.device) != target
    moved = _in_sigmas(change, std)[..., others]
    if moved.shape[-1] == 0:
        return change.new_zeros(change.shape[:-1])
    return moved.mean(-1) if reduction == "mean" else moved.amax(-1)


def matched_dependency(
    change: Float[Tensor, "b d a"],
    std: Float[Tensor, " a"],
    target: int,
    at: Float[Tensor, " x"],
    reduction: Literal["mean", "max"] = "mean",
) -> Float[Tensor, "b x"]:
    """Read each picture's dependency where its own sweep first moves the target by `at`, by linear interpolation.

    Every picture is read at the same change of the target. (A curve averaged by strength first would mix pictures
    that hardly moved with ones that moved too far.)

    Args:
        change: Δ logits by rising strength, without strength 0, which is the origin, (B, D, A).
        std: as in `attribute_dependency`, (A,).
        target: the attribute that was edited.
        at: |Δl_target|/σ > 0, (X,).
        reduction: mean or maximum over the other attributes.

    Returns:
        dependency, (B, X); NaN where a sweep never moved the target that far.
    """
    origin = change.new_zeros(len(change), 1)
    moved = torch.cat([origin, _in_sigmas(change[..., target], std[target])], dim=1)
    dependency = torch.cat([origin, attribute_dependency(change, std, target, reduction)], dim=1)
    past = moved[:, :, None] >= at
    last = past.int().argmax(1).clamp_min(1)  # the first strength past `at`; argmax gives the first of equals
    low, high = moved.gather(1, last - 1), moved.gather(1, last)
    below, above = dependency.gather(1, last - 1), dependency.gather(1, last)
    read = below + (at - low) / (high - low) * (above - below)
    return torch.where(past.any(1), read, torch.nan)


def _in_sigmas(change: Tensor, std: Tensor) -> Tensor:
    return (change / std.clamp_min(1e-6)).abs()


class _CurveMetric(Metric):
    """Add up changes and dependencies, a column for each point of the curve.

    Args:
        points: how many.
        kwargs: torchmetrics' own.
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False

    total: Tensor
    count: Tensor
    seen: Tensor

    def __init__(self, points: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros(3, points, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(points, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("seen", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def compute(self) -> DependencyCurve:
        """Return the averages at each point, at its mean change."""
        change, mean, most = (tuple(row) for row in (self.total / self.count).tolist())
        return DependencyCurve(change, mean, most, tuple(self.count.tolist()), int(self.seen))


class AttributeDependency(_CurveMetric):
    """Average mean-AD and max-AD by how far the target moved, over edits of any strength.

    Args:
        edges: rising borders of the bins of |Δl_target|/σ.
        kwargs: torchmetrics' own.

    Example:
        >>> dependency = AttributeDependency(edges=(0.0, 1.0, 2.0))
        >>> dependency.update(torch.tensor([[0.5, 0.1, -0.3]]), std=torch.ones(3), target=0)
        >>> dependency.compute().change
        (0.5, nan)
    """

    edges: Tensor

    def __init__(self, edges: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0), **kwargs: Any) -> None:
        super().__init__(len(edges) - 1, **kwargs)
        self.register_buffer("edges", torch.tensor(edges), persistent=False)

    def update(self, change: Float[Tensor, "b a"], std: Float[Tensor, " a"], target: int) -> None:
        """Add edits of one target attribute; changes outside the borders are left out."""
        moved = _in_sigmas(change[:, target], std[target])
        place = torch.bucketize(moved, self.edges, right=True) - 1
        values = [moved, *(attribute_dependency(change, std, target, kind) for kind in ("mean", "max"))]
        inside = place[:, None] == torch.arange(len(self.count), device=place.device)
        self.total += torch.stack(values).double() @ inside.double()
        self.count += inside.sum(0)
        self.seen += len(change)


STEPS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


class MatchedDependency(_CurveMetric):
    """Average mean-AD and max-AD over pictures at equal changes of the target: see `matched_dependency`.

    Pictures whose sweep does not reach a change are left out of it; compare methods where `edits` is close to `seen`.

    Args:
        at: changes of the target |Δl_target|/σ.
        kwargs: torchmetrics' own.

    Example:
        >>> dependency = MatchedDependency(at=(0.5, 2.0))
        >>> dependency.update(torch.tensor([[[1.0, 0.4], [1.5, 1.0]]]), std=torch.ones(2), target=0)
        >>> dependency.compute().edits
        (1, 0)
    """

    at: Tensor

    def __init__(self, at: Sequence[float] = STEPS, **kwargs: Any) -> None:
        super().__init__(len(at), **kwargs)
        if min(at) <= 0:
            raise ValueError(f"changes are read past the origin, so that each is above 0: {list(at)}")
        self.points = tuple(at)
        self.register_buffer("at", torch.tensor(at), persistent=False)

    def update(self, change: Float[Tensor, "b d a"], std: Float[Tensor, " a"], target: int) -> None:
        """Add sweeps of one target attribute: B pictures, D rising strengths."""
        mean, most = (matched_dependency(change, std, target, self.at, kind) for kind in ("mean", "max"))
        reached = ~mean.isnan()
        sums = [self.at * reached.sum(0), mean.nansum(0, dtype=torch.float64), most.nansum(0, dtype=torch.float64)]
        self.total += torch.stack([x.double() for x in sums])
        self.count += reached.sum(0)
        self.seen += len(change)

    def compute(self) -> DependencyCurve:
        """Return the averages at each change."""
        return super().compute()._replace(change=self.points)
