"""Edits at an equal change of their target: each as strong as its code needs, then everything else is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sat3d.evaluation.comparison.eyes import Eyes, Sight
from sat3d.evaluation.comparison.strengths import CALIBRATION, Match, Response, match_strengths, response_of
from sat3d.evaluation.contestants import Contestant
from sat3d.evaluation.tasks import Task, drawn_references, log_odds_towards, opposite_tasks
from sat3d.generators import Generator
from sat3d.generators.batches import CodeBatch
from sat3d.methods.base import Editor
from sat3d.methods.sweeps import dependency_columns, tail_of
from sat3d.metrics import attribute_dependency, masked_psnr
from sat3d.ops.camera import Camera


@dataclass(frozen=True)
class Rules:
    """Say how strengths are matched.

    Args:
        wanted: probability of a class that an edit must reach; continuous attributes must reach the reference's value.
        shown: probability from which on a reference shows a target.
        trials: renderings of a code by the search, at most.
        tolerance: share of the change that may be missing.
        calibrated: codes of each target whose average response the first trial follows; none of those compared.
        seed: of the draw among several other classes.
        chunk: pictures made at a time.
    """

    wanted: float = 0.8
    shown: float = 0.7
    trials: int = 5
    tolerance: float = 0.1
    calibrated: int = 4
    seed: int = 0
    chunk: int = 25


@dataclass
class Outcome:
    """Hold what became of the codes of one attribute.

    Args:
        rows: a row for each code.
        change: of the judge's log-odds by column, in σ, (N, P).
        moved: change of the target by each trial, in σ, towards it, (N, T); NaN where there was none.
        drift: mean change of the others by each trial, (N, T).
        features: by which sets of pictures are compared, (N, F).
    """

    rows: list[dict[str, float | str]]
    change: Tensor
    moved: Tensor
    drift: Tensor
    features: Tensor

    @classmethod
    def together(cls, parts: Sequence[Outcome]) -> Outcome:
        """Join outcomes."""
        tensors = (torch.cat([getattr(part, k) for part in parts]) for k in ("change", "moved", "drift", "features"))
        return cls([row for part in parts for row in part.rows], *tensors)


class MatchedProtocol:
    """Give every method the same codes, cameras, references and wanted readings, and measure what it does with them.

    Each code is asked for what it does not show. A reference is drawn that shows it, from other codes: its value, as
    the labeller reads it in the code's own camera, is what every method has to reach, whether it looks at the reference
    or only at the value. The labeller's reading sets the strength (`match_strengths`); all else is measured there.

    Args:
        generator: shows the codes.
        codes: B of them, with cameras of their own.
        pool: other codes, which serve as references, and tell how strongly methods respond.
        eyes: the observers.
        other: 3-D only: a second camera for each code, from which nothing is chosen.
        rules: of the search.

    Attributes:
        log_odds: what the labeller reads from the unedited codes, (B, P).
        std: σ of the judge's log-odds over the unedited codes in both views, (P,).
        pool_features: by which sets of pictures are compared, of the pool, (R, F); `None` without `perceptual`.
    """

    @torch.no_grad()
    def __init__(
        self,
        generator: Generator,
        codes: CodeBatch,
        pool: CodeBatch,
        eyes: Eyes,
        other: Camera | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.generator, self.codes, self.pool, self.eyes = generator, codes, pool, eyes
        self.other, self.rules = other, rules or Rules()
        everything = torch.arange(len(codes))
        self.before = self.look(codes.styles, everything)
        self.log_odds = self._each(eyes.labeller.log_odds, self.before.image)
        self.judged = [self._each(eyes.judge.log_odds, self.before.image)]
        self.before_other: Sight | None = None
        if other is not None:
            self.before_other = self.look(codes.styles, everything, other=True)
            self.judged.append(self._each(eyes.judge.log_odds, self.before_other.image))
        self.std = torch.cat(self.judged).std(0, correction=0).clamp_min(1e-6)
        pictures = [generator.synthesize(part.styles, camera=part.camera).image for part in self._parts(pool)]
        self.pool_odds = self._each(eyes.labeller.log_odds, torch.cat(pictures))
        self.pool_features = None if eyes.perceptual is None else self._each(eyes.features, torch.cat(pictures))
        self._ideals: dict[str, Tensor] = {}
        self._references: dict[str, Tensor] = {}

    def tasks(self, attribute: str) -> list[Task]:
        """Return what is asked of the codes for one attribute; every code has one task."""
        return opposite_tasks(self.eyes.labeller, self.log_odds, [attribute], self.rules.seed)

    # Strengths --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def compare(self, one: Contestant, attribute: str) -> Outcome:
        """Edit all codes by one attribute, as strongly as each needs, and measure."""
        return Outcome.together([self._compare(one, task) for task in self.tasks(attribute)])

    def _compare(self, one: Contestant, task: Task) -> Outcome:
        rows, labeller, judge = task.rows, self.eyes.labeller, self.eyes.judge
        columns = dependency_columns(judge, tail_of(judge, task.column).column)
        moved, drift = (torch.full((len(rows), self.rules.trials), torch.nan) for _ in range(2))
        seen: list[tuple[Tensor, Sight]] = []

        def read(trial: int, some: Tensor, strengths: Tensor) -> Tensor:
            sight = self.look(self._edited(one, task, rows[some], strengths), rows[some])
            seen.append((some, sight))
            found = self._in_sigmas(self._each(judge.log_odds, sight.image), rows[some])[:, columns]
            moved[some, trial] = tail_of(judge, task.column).sign * found[:, 0].cpu()
            drift[some, trial] = found[:, 1:].abs().mean(1).cpu()
            return log_odds_towards(labeller, task, self._each(labeller.log_odds, sight.image))

        start = log_odds_towards(labeller, task, self.log_odds[rows]).cpu()
        match = match_strengths(
            read, start, self.wanted(task), self.response(one, task), self.rules.trials, self.rules.tolerance
        )
        chosen = self._chosen(match, seen)
        measured, change, features = self._measured(one, task, match, chosen)
        told: dict[str, Tensor] = {
            "strength": match.strength,
            "reached": match.reached.float(),
            "asked": self.wanted(task) - start,
            "got": match.reading - start,
            "trials": (~match.strengths.isnan()).sum(1),
            "code": self.codes.index[rows],
            **measured,
        }
        about = {"method": one.name, "seed": one.seed, "attribute": task.attribute, "target": task.column}
        table: list[dict[str, float | str]] = [
            {**about, **{k: float(v[i]) for k, v in told.items()}} for i in range(len(rows))
        ]
        return Outcome(table, change, moved, drift, features)

    def wanted(self, task: Task) -> Float[Tensor, " n"]:
        """Return the readings that a task's codes have to reach: their references', of a class `wanted` at most."""
        odds = log_odds_towards(self.eyes.labeller, task, self.pool_odds)
        wanted = odds[self.references(task)[task.rows].to(odds.device)].cpu()
        is_class = "/" in task.target
        return wanted.clamp_max(float(torch.tensor(self.rules.wanted).logit())) if is_class else wanted

    def references(self, task: Task) -> Int[Tensor, " b"]:
        """Return for every code which one of the pool shows it a task's target."""
        if task.column not in self._references:
            odds = log_odds_towards(self.eyes.labeller, task, self.pool_odds)
            self._references[task.column] = drawn_references(odds, task, self.codes.index, self.rules.shown)
        return self._references[task.column]

    def response(self, one: Contestant, task: Task) -> Response:
        """Return how some codes of the pool, which do not show the target, respond on average."""
        odds = log_odds_towards(self.eyes.labeller, task, self.pool_odds).cpu()
        rows = (odds < 0).nonzero()[: self.rules.calibrated, 0]
        rows = rows if len(rows) else odds.argmin()[None]
        codes = self.pool[rows]
        shown = self.pool[drawn_references(odds, task, codes.index, self.rules.shown)]
        values = None if one.labels is None else one.labels(self.pool_odds[rows])

        def read(strength: float) -> Tensor:
            given = _given(one.editor, codes)
            amount = torch.full((len(rows),), strength, device=given.device)
            edited = _move(one.editor, task, given, amount, _given(one.editor, shown), values)
            image = self.generator.synthesize(self.styles_of(one, edited), camera=codes.camera).image
            return log_odds_towards(self.eyes.labeller, task, self.eyes.labeller.log_odds(image)).cpu()

        return response_of(read, odds[rows], CALIBRATION)

    def _chosen(self, match: Match, seen: Sequence[tuple[Tensor, Sight]]) -> Sight:
        """Return the pictures of the trials that were chosen, in the order of the codes."""
        first = seen[0][1]
        images = torch.empty_like(first.image)
        depths = None if first.depth is None else torch.empty_like(first.depth)
        for trial, (some, sight) in enumerate(seen):
            own = match.trial[some] == trial
            images[some[own]] = sight.image[own]
            if depths is not None and sight.depth is not None:
                depths[some[own]] = sight.depth[own]
        return Sight(images, depths)

    # Edits ------------------------------------------------------------------------------------------------------------

    def _edited(self, one: Contestant, task: Task, rows: Tensor, strengths: Tensor) -> Tensor:
        return self.styles_of(one, self.edited_codes(one, task, rows, strengths))

    def edited_codes(
        self, one: Contestant, task: Task, rows: Int[Tensor, " n"], strengths: Float[Tensor, " n"]
    ) -> Tensor:
        """Return some codes of the protocol, edited, in the editor's space."""
        values = None if one.labels is None else one.labels(self.log_odds[rows])
        return self.moved_codes(one, task, rows, strengths, _given(one.editor, self.codes[rows]), values)

    def moved_codes(
        self,
        one: Contestant,
        task: Task,
        rows: Int[Tensor, " n"],
        strengths: Float[Tensor, " n"],
        given: Float[Tensor, "n ..."],
        values: Float[Tensor, "n k"] | None,
    ) -> Tensor:
        """Return edits of given codes, which may be edited ones, by the protocol's references of some rows."""
        shown = self.pool[self.references(task)[rows]]
        return _move(one.editor, task, given, strengths.to(given.device), _given(one.editor, shown), values)

    def styles_of(self, one: Contestant, codes: Tensor) -> Float[Tensor, "n c"]:
        """Return the styles of codes of an editor's space."""
        return codes if one.editor.space == "s" else self.generator.styles(codes)

    def shown(self, one: Contestant, codes: Tensor, rows: Int[Tensor, " n"]) -> Float[Tensor, "n 3 h w"]:
        """Return pictures of codes of an editor's space, from the cameras of some rows."""
        return self.look(self.styles_of(one, codes), rows).image

    def look(self, styles: Tensor, rows: Tensor, other: bool = False) -> Sight:
        """Return pictures of styles from the cameras of some rows, or from their second ones."""
        camera = self.other if other else self.codes.camera
        images, depths = [], []
        for part, some in zip(styles.split(self.rules.chunk), rows.split(self.rules.chunk), strict=True):
            out = self.generator.synthesize(part, camera=None if camera is None else camera[some])
            images.append(out.image)
            depths.append(out.depth)
        known = [depth for depth in depths if depth is not None]
        return Sight(torch.cat(images), torch.cat(known) if known else None)

    def _parts(self, codes: CodeBatch) -> Iterator[CodeBatch]:
        return (codes[i : i + self.rules.chunk] for i in range(0, len(codes), self.rules.chunk))

    def _each(self, network: object, images: Tensor) -> Tensor:
        return torch.cat([network(part) for part in images.split(self.rules.chunk)])  # type: ignore[operator]

    def _in_sigmas(self, log_odds: Tensor, rows: Tensor, view: int = 0) -> Tensor:
        return (log_odds - self.judged[view][rows]) / self.std

    # Measures ---------------------------------------------------------------------------------------------------------

    def _measured(
        self, one: Contestant, task: Task, match: Match, after: Sight
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        rows, eyes = task.rows, self.eyes
        before = self.before.rows(rows)
        tail = tail_of(eyes.judge, task.column)
        columns = dependency_columns(eyes.judge, tail.column)
        odds = [self._each(eyes.judge.log_odds, after.image)]
        told: dict[str, Tensor] = {}
        codes = self.edited_codes(one, task, rows, match.strength)
        if self.before_other is not None:
            other = self.look(self.styles_of(one, codes), rows, other=True)
            odds.append(self._each(eyes.judge.log_odds, other.image))
            assert self.codes.camera is not None and self.other is not None
            cameras = self.codes.camera[rows], self.other[rows]
            told |= eyes.across_views((before, self.before_other.rows(rows)), (after, other), cameras)
        probability = torch.stack([(tail.sign * o[:, tail.column]).sigmoid() for o in odds]).mean(0)
        changes = torch.stack([self._in_sigmas(o, rows, view) for view, o in enumerate(odds)])
        change = changes.mean(0)
        told["success"] = (probability > 0.5).float()
        told["change"] = tail.sign * change[:, tail.column]
        one_sigma = torch.ones(len(columns), device=change.device)
        for name in ("mean", "max"):
            each = [attribute_dependency(c[:, columns], one_sigma, 0, name) for c in changes]  # type: ignore[arg-type]
            told[f"ad_{name}"] = torch.stack(each).mean(0)
        if eyes.identity is not None:
            told["identity"] = 1 - eyes.identity.similarity(before.image, after.image)
        features = torch.empty(len(rows), 0)
        if eyes.perceptual is not None:
            told["perceptual"] = eyes.perceived(before.image, after.image)
            features = eyes.features(after.image)
        if eyes.parser is not None and task.attribute in eyes.parts:
            told |= eyes.locality(task.attribute, before.image, after.image)
        if eyes.world is not None:
            wanted = self.ideal(task).to(after.image)
            told["ideal_psnr"] = masked_psnr(after.image.clamp(-1, 1), wanted.clamp(-1, 1))
            if eyes.perceptual is not None:
                told["ideal_perceptual"] = eyes.perceived(wanted, after.image)
        told["undo"] = self._undone(one, task, match, after, codes)
        return told, change.cpu(), features.cpu()

    def ideal(self, task: Task) -> Float[Tensor, "n 3 h w"]:
        """Return pictures of the ideal edit of a task's codes: the target in the world, all else held."""
        if task.column not in self._ideals:
            world, rows = self.eyes.world, task.rows
            assert world is not None
            z = self.codes.z[rows].cpu()
            _, _, label = task.target.partition("/")
            value: str | Tensor = label
            if not label:
                shown = self.pool.z[self.references(task)[rows]].cpu()
                value = world.values(world.coordinates(shown))[:, world.index(task.attribute)]
            edited = world.intervene(z, task.attribute, value).to(self.codes.z)
            styles = self.generator.styles(self.generator.map(edited))
            self._ideals[task.column] = self.look(styles, rows).image
        return self._ideals[task.column]

    def _undone(self, one: Contestant, task: Task, match: Match, after: Sight, codes: Tensor) -> Tensor:
        """Return what is left after the edit was taken back: with −strength, or with the source as the reference."""
        rows, editor = task.rows, one.editor
        source = _given(editor, self.codes[rows])
        values = None if one.labels is None else one.labels(self._each(self.eyes.labeller.log_odds, after.image))
        amount = match.strength.to(codes.device)
        back = _move(editor, task, codes, amount if editor.needs_reference else -amount, source, values)
        old, edited, undone = (self.styles_of(one, x) for x in (source, codes, back))
        return self.style_distance(undone, old) / self.style_distance(edited, old).clamp_min(1e-9)

    def style_distance(self, a: Float[Tensor, "n c"], b: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
        """Return how far styles are apart, in σ of the channels over the codes (root of the mean square)."""
        return ((a - b) / self._spread).square().mean(1).sqrt()

    @cached_property
    def _spread(self) -> Tensor:
        return self.codes.styles.std(0, correction=0).clamp_min(1e-6)

    # Two edits --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def order(
        self, one: Contestant, first: str, second: str, strengths: Mapping[tuple[str, int], float], count: int
    ) -> dict[int, float]:
        """Tell how much the order of two edits matters: ‖AB − BA‖ / (‖A − source‖ + ‖B − source‖), by code.

        Distances are those of `style_distance`.

        Args:
            one: whose edits.
            first: attribute A.
            second: attribute B.
            strengths: matched ones, by attribute and code's number.
            count: codes.
        """
        rows = torch.arange(min(count, len(self.codes)))
        index = self.codes.index[rows].tolist()

        def edited(attribute: str, codes: Tensor, odds: Tensor) -> Tensor:
            values, edits = None if one.labels is None else one.labels(odds), codes.clone()
            for task in self.tasks(attribute):
                if len(some := task.rows[task.rows < len(rows)]):
                    amount = torch.tensor([strengths[attribute, index[row]] for row in some.tolist()])
                    known = None if values is None else values[some]
                    edits[some] = self.moved_codes(one, task, some, amount, codes[some], known)
            return edits

        def both(a: str, b: str) -> tuple[Tensor, Tensor]:
            codes, odds = edited(a, source, self.log_odds[rows]), self.log_odds[rows]
            if one.labels is not None:
                odds = self._each(self.eyes.labeller.log_odds, self.shown(one, codes, rows))
            return self.styles_of(one, codes), self.styles_of(one, edited(b, codes, odds))

        source = _given(one.editor, self.codes[rows])
        (only_a, ab), (only_b, ba) = both(first, second), both(second, first)
        unedited = self.codes.styles[rows]
        alone = self.style_distance(only_a, unedited) + self.style_distance(only_b, unedited)
        share = self.style_distance(ab, ba) / alone.clamp_min(1e-9)
        return dict(zip(index, share.tolist(), strict=True))


def _given(editor: Editor, codes: CodeBatch) -> Tensor:
    return codes.ws if editor.space == "w" else codes.styles


def _move(
    editor: Editor, task: Task, given: Tensor, strengths: Tensor, reference: Tensor, values: Tensor | None
) -> Tensor:
    """Edit codes towards a task's target; a reference, where one is looked at, says where to."""
    if editor.needs_reference:
        return editor.edit(given, task.attribute, strengths, reference=reference, values=values)
    return editor.edit(given, task.target, task.direction * strengths, values=values)
