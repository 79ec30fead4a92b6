"""Directions that were found without labels, and what an observer calls them afterwards."""

from __future__ import annotations

import csv
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from sat3d.generators.batches import CodeBatch
from sat3d.methods.base import edited_styles
from sat3d.methods.directions import DirectionEditor
from sat3d.methods.graded import GradedDiscovery
from sat3d.methods.sweeps import dependency_columns, tail_of
from sat3d.perception import Scorer
from sat3d.perception.scorers import load_scorer

ENOUGH = 0.5
"""A direction may name an attribute if it moves it by this share of what the strongest direction does."""


def principal_components(
    covariance: Float[Tensor, "d d"], count: int
) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
    """Return the unit eigenvectors of the largest eigenvalues, falling, and these; the largest entry is positive."""
    values, vectors = torch.linalg.eigh(covariance.double())
    values, vectors = values.flip(0)[:count].clamp_min(0), vectors.T.flip(0)[:count]
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors * largest.sign(), values


def checked_ranges(ranges: list[tuple[int, int]] | None, num_ws: int) -> list[tuple[int, int]] | None:
    """Return ranges of layers as pairs.

    Raises:
        ValueError: for ranges that are none, or beyond the generator's.
    """
    found = None if ranges is None else [(int(a), int(b)) for a, b in ranges]
    if found is not None and (not found or any(not 0 <= a <= b < num_ws for a, b in found)):
        raise ValueError(f"ranges={ranges}: each is the first and the last of ws 0 to {num_ws - 1}")
    return found


class Component(NamedTuple):
    """Say what a direction is called, and which ws it moves (all of them: `None`)."""

    name: str
    span: tuple[int, int] | None


def component_names(count: int, spans: Sequence[tuple[int, int]] | None) -> list[Component]:
    """Name `count` directions, or as many for each range of layers: `component/3`, `component/3/4-7`."""
    if spans is None:
        return [Component(f"component/{k}", None) for k in range(count)]
    return [Component(f"component/{k}/{a}-{b}", (a, b)) for a, b in spans for k in range(count)]


def most_selective(effect: Float[Tensor, "k p"], change: Float[Tensor, "k p"], scorer: Scorer, column: int) -> int:
    """Return the direction that moves a column with the least change of other attributes, for the same change of it.

    Candidates move the column by `ENOUGH` of the most that any direction does.

    Args:
        effect: mean signed change of every column by every direction, in σ.
        change: mean size of the change, likewise.
        scorer: knows which columns are of other attributes.
        column: whose name is looked for.
    """
    own = effect[:, column].abs()
    others = change[:, dependency_columns(scorer, column)[1:]].mean(1)
    cost = torch.where(own >= ENOUGH * own.max(), others / own.clamp_min(1e-12), torch.inf)
    return int(cost.argmin())


class NamedComponents(GradedDiscovery):
    """Find directions in one pass over the codes, then look at what they do, and name attributes after it.

    Each of the first `named` directions is added and subtracted on a few codes, and a scorer tells how every attribute
    moves. An attribute is the direction, with its sign, that moves it most selectively (`most_selective`). The editor
    knows attributes and directions. Subclasses write `collect`, `basis` and `found`, set `width` and `spans`, and take
    the arguments that are named here, beside those of `GradedDiscovery`.

    Args:
        settings: the subclass's arguments; `scorer`, an attribute predictor, not the judge, that names (`null`: nothing
            is named), `attributes` (a line each, as in `StyleSpaceDiscovery`; `null` for all of the scorer's columns),
            `named`, `named_codes` and `shift`, the strength that is added.
        width: D of the codes.
        spans: ranges of layers of which each has directions of its own; `None` where all ws move.

    Attributes:
        components: name and layers of each direction, K.
        scorer: who names.
    """

    directions: Tensor
    share: Tensor
    effect: Tensor
    change: Tensor

    def __init__(self, settings: dict[str, object], width: int, spans: Sequence[tuple[int, int]] | None) -> None:
        super().__init__()
        self.save_hyperparameters({k: v for k, v in settings.items() if k not in ("self", "__class__")})
        hp = self.hparams
        if not 1 <= hp["named"] <= width:
            raise ValueError(f"named={hp['named']} must be between 1 and {width}, the width of the codes")
        if hp["named_codes"] < 1 or hp["shift"] <= 0:
            raise ValueError(f"named_codes={hp['named_codes']} and shift={hp['shift']} must be positive")
        self.components = component_names(hp["named"], spans)
        self.scorer = None if hp["scorer"] is None else load_scorer(hp["scorer"])
        columns = () if self.scorer is None else self.scorer.columns
        names = [name.removesuffix("/value") for name in columns] if hp["attributes"] is None else hp["attributes"]
        if names and self.scorer is None:
            raise ValueError("attributes: who shall name them? Give a scorer")
        self.tails = {name: tail_of(self.scorer, name) for name in names if self.scorer is not None}
        self.attributes = (*self.tails, *(component.name for component in self.components))
        k = len(self.components)
        self.register_buffer("directions", torch.zeros(k, width))
        self.register_buffer("share", torch.zeros(k))
        self.register_buffer("effect", torch.zeros(k, len(columns)))
        self.register_buffer("change", torch.zeros(k, len(columns)))

    @abstractmethod
    def found(self) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
        """Return what strength 1 adds along each component, and how much of the whole each accounts for."""

    def solve(self) -> None:
        """Find directions, and look at them."""
        directions, share = self.found()
        self.directions.copy_(directions)
        self.share.copy_(share)
        if self.scorer is not None:
            self._look(self.scorer)

    def _look(self, scorer: Scorer) -> None:
        hp, editor = self.hparams, self._plain()
        seen = self._data().probe(max(hp["named_codes"], hp["graded_codes"]), self.device)
        read = torch.cat([scorer.log_odds(self._picture(part, part.styles)) for part in self._split(seen)])
        std, before = read.std(0, correction=0).clamp_min(1e-6), read[: hp["named_codes"]]
        codes = self._split(seen[: hp["named_codes"]])
        bar = tqdm(self.components, desc="Looking at directions", disable=not self.trainer.is_global_zero, leave=False)
        for k, component in enumerate(bar):
            moved = [self._moved(editor, codes, component.name, sign * hp["shift"]) - before for sign in (1, -1)]
            self.effect[k] = (moved[0] - moved[1]).mean(0) / (2 * std)
            self.change[k] = (moved[0].abs() + moved[1].abs()).mean(0) / (2 * std)

    def _moved(self, editor: DirectionEditor, codes: list[CodeBatch], name: str, strength: float) -> Tensor:
        assert self.scorer is not None
        styles = (edited_styles(self.generator, editor, part, name, strength) for part in codes)
        pictures = (self._picture(part, edited) for part, edited in zip(codes, styles, strict=True))
        return torch.cat([self.scorer.log_odds(picture) for picture in pictures])

    def _plain(self) -> DirectionEditor:
        """Return an editor of the directions alone."""
        spans = {c.name: c.span for c in self.components if c.span is not None}
        return DirectionEditor([c.name for c in self.components], self.directions, self.space, spans)

    @property
    def space(self) -> Literal["w", "s"]:
        """Of the codes: `w`, unless the subclass takes another."""
        return "s" if self.hparams.get("space") == "s" else "w"

    def naming(self) -> dict[str, tuple[int, float]]:
        """Return for each attribute the number of its direction, and the sign with which it rises."""
        found = {}
        for name, tail in self.tails.items():
            assert self.scorer is not None
            k = most_selective(self.effect, self.change, self.scorer, tail.column)
            found[name] = k, tail.sign * (1.0 if float(self.effect[k, tail.column]) >= 0 else -1.0)
        return found

    def editor(self) -> DirectionEditor:
        """Return the editor of attributes and of directions."""
        self.require_fit()
        named = self.naming()
        chosen = [(k, sign) for k, sign in named.values()] + [(k, 1.0) for k in range(len(self.components))]
        spans = {n: self.components[k].span for n, (k, _) in zip(self.attributes, chosen, strict=True)}
        directions = torch.stack([sign * self.directions[k] for k, sign in chosen]).cpu()
        layers = {name: span for name, span in spans.items() if span is not None}
        return DirectionEditor(self.attributes, directions, self.space, layers).to(self.device).eval()

    def export(self, folder: Path) -> None:
        """Write the editor and `directions.csv`: what each direction moves most, by how many σ, and what it names."""
        super().export(folder)
        titles = {k: [name for name, (row, _) in self.naming().items() if row == k] for k in range(len(self.effect))}
        with (folder / "directions.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["direction", "share", "most", "effect", "then", "effect", "others", "names"])
            for k, component in enumerate(self.components):
                writer.writerow([component.name, f"{self.share[k]:.4f}", *self._told(k), " ".join(titles[k])])

    def _told(self, k: int) -> list[str]:
        if self.scorer is None:
            return [""] * 5
        order = self.effect[k].abs().argsort(descending=True).tolist()
        own = self.scorer.siblings(order[0])
        then = next(p for p in order if p not in own) if len(own) < len(order) else order[0]
        most = [f"{x}" for p in (order[0], then) for x in (self.scorer.columns[p], f"{float(self.effect[k, p]):+.2f}")]
        return [*most, f"{float(self.change[k, dependency_columns(self.scorer, order[0])[1:]].mean()):.2f}"]
