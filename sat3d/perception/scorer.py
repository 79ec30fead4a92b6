"""The interface of whatever scores attributes: descriptors read by CLIP, or an attribute predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.perception.observer import Observer

DistanceKind = Literal["l1", "kl", "cosine"]
_EPSILON = 1e-6


def group_distance(
    a: Float[Tensor, "batch k"], b: Float[Tensor, "batch k"], kind: DistanceKind = "l1"
) -> Float[Tensor, " batch"]:
    """Compare the scores of two images over one group.

    A group of several columns is a distribution over them; one column ``v`` in [0, 1] is read as the distribution
    (v, 1 - v), so that both kinds of groups are measured alike.

    Args:
        a: Scores of the first images, ``(B, K)``.
        b: Scores of the second images, ``(B, K)``; the one that is approached.
        kind: ``l1``: half the sum of absolute differences (total variation; |a - b| for one column), in [0, 1].
            ``kl``: the Kullback-Leibler divergence of ``a`` from ``b``, in nats. ``cosine``: one minus the cosine.

    Raises:
        ValueError: If ``kind`` is none of these.
    """
    if a.shape[-1] == 1:
        a, b = torch.cat([a, 1 - a], -1), torch.cat([b, 1 - b], -1)
    if kind == "l1":
        return 0.5 * (a - b).abs().sum(-1)
    if kind == "kl":
        p, q = b.clamp_min(_EPSILON), a.clamp_min(_EPSILON)
        return (p * (p.log() - q.log())).sum(-1)
    if kind == "cosine":
        return 1 - torch.nn.functional.cosine_similarity(a, b, dim=-1)
    raise ValueError(f"distance kind {kind!r} is unknown; choose one of 'l1', 'kl', 'cosine'")


class Scorer(Observer):
    """An observer that maps images to one row of scores, in named groups of columns.

    Attributes:
        attributes: Names of the attributes.
        slices: For each attribute, the columns of each of its groups.
        columns: A name for every column.
    """

    attributes: tuple[str, ...]
    slices: Mapping[str, Sequence[slice]]
    columns: tuple[str, ...]

    def column(self, name: str) -> int:
        """Return the place of a column by its name, or by its attribute's where that has one column only.

        Raises:
            ValueError: If there is no such column; the message lists those there are.
        """
        if name in self.columns:
            return self.columns.index(name)
        groups = self.slices.get(name, ())
        if len(groups) == 1 and groups[0].stop - groups[0].start == 1:
            return int(groups[0].start)
        raise ValueError(f"nothing scored here is named {name!r}; the columns are {', '.join(self.columns)}")

    def siblings(self, column: int) -> tuple[int, ...]:
        """Return all columns of the attribute that a column belongs to, itself included."""
        for groups in self.slices.values():
            if any(g.start <= column < g.stop for g in groups):
                return tuple(c for g in groups for c in range(g.start, g.stop))
        raise IndexError(f"column {column} belongs to no attribute")

    def logits(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch p"]:
        """Return the columns before softmax (groups) or sigmoid (single columns); by default read off the scores."""
        scores: Tensor = self(images)
        single = torch.zeros(scores.shape[1], dtype=torch.bool, device=scores.device)
        for group in (g for groups in self.slices.values() for g in groups if g.stop - g.start == 1):
            single[group] = True
        scores = scores.clamp(_EPSILON, 1 - _EPSILON)
        return torch.where(single, scores.logit(), scores.log())

    def log_odds(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch p"]:
        """Return log p/(1 - p) of every column, ``(B, P)``: 0 where a descriptor is as likely as all others together.

        Unlike the scores they do not saturate, so that confident images can be ranked and their changes told.
        """
        logits = self.logits(images)
        columns = []
        for group in (g for attribute in self.attributes for g in self.slices[attribute]):
            part = logits[:, group]
            if part.shape[1] == 1:
                columns.append(part)
                continue
            own = torch.eye(part.shape[1], dtype=torch.bool, device=part.device)
            others = part[:, None, :].masked_fill(own, -torch.inf)
            columns.append(part - others.logsumexp(-1))
        return torch.cat(columns, dim=-1)

    def distance(
        self,
        scores_a: Float[Tensor, "batch p"],
        scores_b: Float[Tensor, "batch p"],
        attribute: str,
        kind: DistanceKind = "l1",
    ) -> Float[Tensor, " batch"]:
        """Average the distances of an attribute's groups: mean_g d(D_ag(I_a), D_ag(I_b)).

        Raises:
            ValueError: If the attribute or the kind is unknown.
        """
        if attribute not in self.slices:
            raise ValueError(f"attribute {attribute!r} is not scored here; known: {', '.join(self.attributes)}")
        parts = [group_distance(scores_a[:, g], scores_b[:, g], kind) for g in self.slices[attribute]]
        return torch.stack(parts).mean(0)
