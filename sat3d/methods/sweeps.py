"""Grading directions: sweep an editor's strength, and tell how far other attributes move at equal change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat3d.generators import Generator
from sat3d.generators.batches import CodeBatch
from sat3d.methods.base import Editor, edited_styles
from sat3d.metrics import ChangeAtDrift, MatchedDependency, row_moments
from sat3d.perception import Scorer

MATCHED = (0.5, 1.0, 2.0)
LOGGED = 1.0


class Tail(NamedTuple):
    """Say which column of a scorer an attribute is read from, and at which end: sign −1 is the low one."""

    column: int
    sign: float


def tail_of(scorer: Scorer, name: str) -> Tail:
    """Return where a scorer reads an attribute: a column's name, with a minus before it for its low end.

    Raises:
        ValueError: if there is no such column.
    """
    if name not in scorer.columns and name.startswith("-"):
        return Tail(scorer.column(name[1:]), -1.0)
    return Tail(scorer.column(name), 1.0)


def known_tails(grader: Scorer, attributes: Sequence[str], names: Mapping[str, str]) -> dict[str, Tail]:
    """Return those of the attributes that a grader knows, and where it reads them.

    Args:
        grader: labeller or judge.
        attributes: what an editor knows.
        names: what the grader calls them, where that differs.

    Raises:
        ValueError: if `names` tells a column that there is not.
    """
    found = {}
    for attribute in attributes:
        try:
            found[attribute] = tail_of(grader, names.get(attribute, attribute))
        except ValueError:
            if attribute in names:  # said, and wrong
                raise
    return found


def dependency_columns(scorer: Scorer, column: int) -> list[int]:
    """Return a target's column, followed by those of all other attributes: its own siblings must change with it."""
    own = scorer.siblings(column)
    return [column, *(c for c in range(len(scorer.columns)) if c not in own)]


class SweepGrades(nn.Module):
    """Grade all attributes of an editor on held-out codes: Attribute Dependency at matched changes of the target.

    Args:
        generator: shows the codes.
        grader: labeller or judge; its log-odds are compared.
        attributes: what is graded, and where the grader reads it.
        strengths: rising, without 0.
        unedited: log-odds of unedited pictures, whose standard deviations are the unit, (N, P).
    """

    def __init__(
        self,
        generator: Generator,
        grader: Scorer,
        attributes: Mapping[str, Tail],
        strengths: Sequence[float],
        unedited: Float[Tensor, "n p"],
    ) -> None:
        super().__init__()
        self.generator, self.grader, self.attributes = generator, grader, dict(attributes)
        self.strengths = tuple(strengths)
        count, _, squares = row_moments(unedited)
        self.std = (squares / count).sqrt().float()
        self.scores = nn.ModuleList(MatchedDependency(MATCHED) for _ in attributes).to(unedited.device)
        self.worth = nn.ModuleList(ChangeAtDrift() for _ in attributes).to(unedited.device)

    @torch.no_grad()
    def update(self, codes: CodeBatch, editor: Editor, values: Tensor | None = None) -> None:
        """Add edits of a batch of codes; moves of the target the wrong way count as none.

        Args:
            codes: held-out ones.
            editor: moves them.
            values: the codes' labels, for editors that condition on them.
        """
        before = self._read(codes, codes.styles)
        for (name, tail), score, worth in zip(self.attributes.items(), self.scores, self.worth, strict=True):
            columns = dependency_columns(self.grader, tail.column)
            edits = (edited_styles(self.generator, editor, codes, name, d, values=values) for d in self.strengths)
            change = torch.stack([self._read(codes, styles) - before for styles in edits], dim=1)[..., columns]
            change[..., 0] = (tail.sign * change[..., 0]).clamp_min(0)
            score.update(change, self.std[columns], 0)  # type: ignore[operator]
            worth.update(change, self.std[columns], 0)  # type: ignore[operator]

    def _read(self, codes: CodeBatch, styles: Float[Tensor, "b c"]) -> Float[Tensor, "b p"]:
        return self.grader.log_odds(self.generator.synthesize(styles, camera=codes.camera).image)

    def report(self) -> dict[str, float]:
        """Return mean_ad, max_ad and reach, the share of codes whose target moved that far, at 1 σ of the target.

        Each of every attribute (`mean_ad/smile`) and, of those that got there with some codes, the average (`mean_ad`).
        And `change_at_drift`, see there: of all attributes, so that it serves as the objective of a search.
        """
        found: dict[str, float] = {}
        for name, score, worth in zip(self.attributes, self.scores, self.worth, strict=True):
            curve, at = score.compute(), MATCHED.index(LOGGED)  # type: ignore[operator]
            found[f"reach/{name}"] = curve.edits[at] / max(curve.seen, 1)
            if curve.seen:
                found[f"change_at_drift/{name}"] = float(worth.compute())  # type: ignore[operator]
            if curve.edits[at]:
                found |= {f"mean_ad/{name}": curve.mean[at], f"max_ad/{name}": curve.max[at]}
        for key in ("mean_ad", "max_ad", "reach", "change_at_drift"):
            values = [value for name, value in found.items() if name.startswith(f"{key}/")]
            if values:
                found[key] = sum(values) / len(values)
        return found
