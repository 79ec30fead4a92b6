"""Success of edits (StyleAE, arXiv 2412.20164, §4): the labeller sets the strength, the judge decides in other views.

Each code is edited as strongly as it needs: the least strength at which the labeller sees the target with a wanted
probability, from a camera of its own. The judge, which trained and tuned nothing, looks from other cameras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sat3d.evaluation.success.pose import PoseReader
from sat3d.evaluation.tasks import Task, drawn_references, log_odds_towards
from sat3d.generators import Generator
from sat3d.generators.batches import CodeBatch
from sat3d.methods.base import Editor, edited_styles
from sat3d.methods.sweeps import Tail, dependency_columns, tail_of
from sat3d.metrics import picture_errors
from sat3d.ops.camera import Camera
from sat3d.perception import Scorer
from sat3d.perception.identity import IdentityEmbedder

MEASURES = ("psnr", "ssim", "rmse", "mse", "identity", "others")
KEPT = "kept/"
"""What the columns of `classes_kept` start with."""
GRID = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)

Probability = Callable[[Int[Tensor, " n"], Float[Tensor, " n"]], Float[Tensor, " n"]]
"""Rows among the codes, and a strength for each → probability of the target."""


@torch.no_grad()
def search_strength(
    probability: Probability, count: int, grid: Sequence[float], wanted: float = 0.8, halvings: int = 4
) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
    """Return the least strength at which each code's probability reaches what is wanted.

    The grid is passed upwards, by codes that are not there yet; between the first strength that suffices and the one
    before, the interval is halved a few times. Codes that never get there are given the strength of the grid at which
    they came nearest.

    Args:
        probability: of the target, for some rows and strengths.
        count: rows.
        grid: strengths, rising in size from above 0; all of one sign.
        wanted: probability.
        halvings: steps of refinement.

    Returns:
        strengths, and whether the wanted probability was reached, each (N,), on the CPU.
    """
    low, high, best = torch.zeros(count), torch.zeros(count), torch.full((count,), -1.0)
    reached, rows, last = torch.zeros(count, dtype=torch.bool), torch.arange(count), 0.0
    for strength in grid:
        if not len(rows):
            break
        found = probability(rows, torch.full((len(rows),), strength)).cpu()
        there, nearer = found >= wanted, found > best[rows]
        low[rows[there]], high[rows[there]], reached[rows[there]] = last, strength, True
        high[rows[~there & nearer]] = strength
        best[rows] = best[rows].maximum(found)
        rows, last = rows[~there], strength
    rows = reached.nonzero()[:, 0]
    for _ in range(halvings if len(rows) else 0):
        middle = (low[rows] + high[rows]) / 2
        there = probability(rows, middle).cpu() >= wanted
        low[rows], high[rows] = torch.where(there, low[rows], middle), torch.where(there, middle, high[rows])
    return high, reached


class SuccessProtocol:
    """Edit codes as strongly as they need, and let the judge decide.

    Args:
        generator: shows the codes.
        codes: B of them; their own cameras are the labeller's.
        labeller: chooses strengths.
        judge: decides, and has not been used for anything else.
        cameras: the judge's, V of them; `None` for a 2-D generator, whose only view serves both.
        identity: tells how far identities moved; left out if not given.
        grid: see `search_strength`.
        wanted: see `search_strength`.
        halvings: see `search_strength`.
        chunk: pictures made at a time.
        references: codes, others than those that are edited, from which editors that transfer attributes take their
            targets: for each edit one in which the labeller sees the target with the wanted probability, drawn once;
            the one that shows most of it, where none does.
        pose: tells by how many degrees edits turn what is seen; left out if not given.

    Attributes:
        log_odds: what the labeller reads from the unedited codes, (B, P).
        std: σ of the judge's log-odds over the unedited codes and all cameras, (P,).
    """

    @torch.no_grad()
    def __init__(
        self,
        generator: Generator,
        codes: CodeBatch,
        labeller: Scorer,
        judge: Scorer,
        cameras: Camera | None,
        identity: IdentityEmbedder | None = None,
        grid: Sequence[float] = GRID,
        wanted: float = 0.8,
        halvings: int = 4,
        chunk: int = 25,
        references: CodeBatch | None = None,
        pose: PoseReader | None = None,
    ) -> None:
        self.generator, self.codes, self.labeller, self.judge = generator, codes, labeller, judge
        self.references = references
        self._drawn: dict[str, Tensor] = {}
        self.pose = pose
        self.identity, self.grid, self.wanted, self.halvings = identity, tuple(grid), wanted, halvings
        self.chunk = chunk
        everything = torch.arange(len(codes))
        self.views = [None] if cameras is None else [cameras[v] for v in range(len(cameras))]
        self.log_odds = torch.cat([labeller.log_odds(x) for _, x in self._pictures(codes.styles, everything)])
        self.before = [
            torch.cat([image for _, image in self._pictures(codes.styles, everything, v)])
            for v in range(len(self.views))
        ]
        self.read = [torch.cat([judge.log_odds(x) for x in images.split(chunk)]) for images in self.before]
        self.std = torch.cat(self.read).std(0, correction=0).clamp_min(1e-6)

    @torch.no_grad()
    def grade(self, editor: Editor, task: Task, values: Float[Tensor, "b k"] | None = None) -> list[dict[str, float]]:
        """Return what became of the codes of a task.

        Args:
            editor: of w or of s.
            task: what is asked for.
            values: labels of all B codes, for editors that condition on them.

        Returns:
            for each row: `code`, its number in the stream; `strength`; `reached`, whether the labeller saw the wanted
            probability; `success`, whether the judge sees the target in the mean over its cameras; and means over
            these cameras of PSNR, SSIM, RMSE and MSE to the unedited pictures, of 1 − cosine of identities, and of the
            change of the judge's other columns, in their σ (`MEASURES`); of each other categorical attribute, the share
            of cameras in which the judge sees the class that it saw (`kept/...`); and degrees (`turned`).
        """
        tail = tail_of(self.labeller, task.column)

        def probability(rows: Tensor, strengths: Tensor) -> Tensor:
            mine = task.rows[rows]
            styles = self._edited(editor, task, mine, strengths, values)
            odds = torch.cat([self.labeller.log_odds(x)[:, tail.column] for _, x in self._pictures(styles, mine)])
            return (tail.sign * odds).sigmoid()

        strength, reached = search_strength(probability, len(task.rows), self.grid, self.wanted, self.halvings)
        styles = self._edited(editor, task, task.rows, strength, values)
        found = self._judged(styles, task.rows, tail_of(self.judge, task.column))
        found |= {"strength": strength, "reached": reached, "code": self.codes.index[task.rows]}
        return [{name: float(column[i]) for name, column in found.items()} for i in range(len(task.rows))]

    def shown(
        self, editor: Editor, task: Task, rows: Int[Tensor, " n"], strength: float, view: int, values: Tensor | None
    ) -> Float[Tensor, "n 3 h w"]:
        """Return pictures of some of the codes, edited with one strength, from one of the judge's cameras."""
        styles = self._edited(editor, task, rows, torch.full((len(rows),), strength), values)
        return torch.cat([image for _, image in self._pictures(styles, rows, view)])

    def _edited(self, editor: Editor, task: Task, rows: Tensor, strengths: Tensor, values: Tensor | None) -> Tensor:
        known = None if values is None else values[rows]
        if not editor.needs_reference:
            signed = task.direction * strengths
            return edited_styles(self.generator, editor, self.codes[rows], task.target, signed, values=known)
        # The reference, and not the sign, says where to.
        shown = self.pool[self._shown_by(task)[rows]]
        return edited_styles(
            self.generator, editor, self.codes[rows], task.attribute, strengths, reference=shown, values=known
        )

    def _shown_by(self, task: Task) -> Int[Tensor, " b"]:
        """Return for every code which of the references shows a task's target, drawn once among those that do."""
        if task.column not in self._drawn:
            odds = log_odds_towards(self.labeller, task, self.pool_odds)
            self._drawn[task.column] = drawn_references(odds, task, self.codes.index, self.wanted)
        return self._drawn[task.column]

    @property
    def pool(self) -> CodeBatch:
        """The references.

        Raises:
            ValueError: if there are none.
        """
        if self.references is None:
            raise ValueError("references: an editor that transfers attributes needs codes that show them")
        return self.references

    @cached_property
    @torch.no_grad()
    def pool_odds(self) -> Float[Tensor, "n p"]:
        """What the labeller reads from the references, from their own cameras."""
        pool, step = self.pool, self.chunk
        parts = [pool[i : i + step] for i in range(0, len(pool), step)]
        images = (self.generator.synthesize(part.styles, camera=part.camera).image for part in parts)
        return torch.cat([self.labeller.log_odds(image) for image in images])

    def _pictures(self, styles: Tensor, rows: Tensor, view: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield rows and their pictures, from their own cameras or one of the judge's."""
        own = self.codes.camera
        for part, some in zip(styles.split(self.chunk), rows.split(self.chunk), strict=True):
            camera = own[some] if own is not None and view is None else None
            if view is not None and (judged := self.views[view]) is not None:
                camera = judged.expand(len(some))
            yield some, self.generator.synthesize(part, camera=camera).image

    def _judged(self, styles: Tensor, rows: Tensor, tail: Tail) -> dict[str, Tensor]:
        columns = dependency_columns(self.judge, tail.column)[1:]
        seen: dict[str, list[Tensor]] = {}
        for v in range(len(self.views)):
            parts: dict[str, list[Tensor]] = {}
            for some, after in self._pictures(styles, rows, v):
                before, new = self.before[v][some], self.judge.log_odds(after)
                moved = ((new - self.read[v][some]).abs() / self.std)[:, columns].mean(1)
                told = picture_errors(after, before)._asdict()
                told |= {"success": (tail.sign * new[:, tail.column]).sigmoid(), "others": moved}
                told |= classes_kept(self.judge, self.read[v][some], new, tail.column)
                if self.pose is not None:
                    told["turned"] = self.pose.turned(before, after)
                if self.identity is not None:
                    told["identity"] = 1 - self.identity.similarity(before, after)
                for name, value in told.items():
                    parts.setdefault(name, []).append(value)
            for name, values in parts.items():
                seen.setdefault(name, []).append(torch.cat(values))
        means: dict[str, Tensor] = {name: torch.stack(values).mean(0) for name, values in seen.items()}
        return means | {"success": (means["success"] > 0.5).float()}


def classes_kept(
    judge: Scorer, before: Float[Tensor, "b p"], after: Float[Tensor, "b p"], target: int
) -> dict[str, Float[Tensor, " b"]]:
    """Tell of every categorical attribute but the target's whether the judge sees the class that it saw.

    Args:
        judge: whose log-odds they are.
        before: of the unedited pictures.
        after: of the edited ones.
        target: the target's column.
    """
    found = {}
    for name in judge.attributes:
        for group in judge.slices[name]:
            if group.stop - group.start > 1 and not group.start <= target < group.stop:
                same = before[:, group].argmax(1) == after[:, group].argmax(1)
                found[f"{KEPT}{name}"] = torch.as_tensor(same).float()
    return found
