"""Success of edits (StyleAE, arXiv 2412.20164, §4): the labeller sets the strength, the judge decides in other views.

Each code is edited as strongly as it needs: the least strength at which the labeller sees the target with a wanted
probability, from a camera of its own. The judge, which trained and tuned nothing, looks from other cameras.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sat3d.generators import Generator
from sat3d.generators.batches import CodeBatch
from sat3d.methods.base import Editor
from sat3d.methods.sweeps import Tail, dependency_columns
from sat3d.metrics import picture_errors
from sat3d.ops.camera import Camera
from sat3d.perception import Scorer
from sat3d.perception.identity import IdentityEmbedder

MEASURES = ("psnr", "ssim", "rmse", "mse", "identity", "others")


@dataclass(frozen=True)
class Task:
    """Name one edit: what the editor calls the attribute, which way it goes, and where scorers read it.

    Args:
        name: of the task, such as `glasses off`.
        attribute: the editor's.
        direction: 1 or −1, the sign of the strengths.
        column: of labeller and judge, by name; with a minus before it the low end is the target.
    """

    name: str
    attribute: str
    direction: float
    column: str


@dataclass(frozen=True)
class Successes:
    """Hold what became of B codes.

    Args:
        strength: at which they were judged, (B,).
        reached: whether the labeller saw the wanted probability there, (B,).
        success: whether the judge sees the target in the mean over the other cameras, (B,).
        measures: by name (`MEASURES`), mean over the other cameras, (B,): PSNR, SSIM, RMSE and MSE to the unedited
            pictures; distance 1 − cosine of identities; mean change of the judge's other columns, in their σ.
    """

    strength: Tensor
    reached: Tensor
    success: Tensor
    measures: dict[str, Tensor]


Edit = Callable[[float | Tensor], Tensor]
"""Strength, one or one for each code, → edited styles (B, C)."""


def edits_of(editor: Editor, codes: CodeBatch, attribute: str, generator: Generator) -> Edit:
    """Return how an editor of w or of s changes codes, as styles."""

    def edit(strength: float | Tensor) -> Tensor:
        if editor.space == "s":
            return editor.edit(codes.styles, attribute, strength)
        return generator.styles(editor.edit(codes.ws, attribute, strength))

    return edit


@torch.no_grad()
def search_strength(
    edit: Edit,
    probability: Callable[[Tensor], Float[Tensor, " b"]],
    grid: Sequence[float],
    wanted: float = 0.8,
    halvings: int = 4,
) -> tuple[Float[Tensor, " b"], Bool[Tensor, " b"]]:
    """Return the least strength at which each code's probability reaches what is wanted.

    The grid is passed upwards; between the first strength that suffices and the one before, the interval is halved a
    few times. Codes that never get there are given the strength of the grid at which they came nearest.

    Args:
        edit: strength → styles.
        probability: of the target in the pictures of some styles, (B,).
        grid: strengths, rising in size from above 0; all of one sign.
        wanted: probability.
        halvings: steps of refinement.

    Returns:
        strengths, and whether the wanted probability was reached, each (B,).
    """
    found = torch.stack([probability(edit(strength)) for strength in grid])  # (D, B)
    strengths = torch.tensor([0.0, *grid], device=found.device)
    enough = found >= wanted
    reached, first = enough.any(0), enough.float().argmax(0)
    best = strengths[1:][found.argmax(0)]
    low, high = strengths[first], strengths[first + 1]
    for _ in range(halvings):
        middle = (low + high) / 2
        there = probability(edit(torch.where(reached, middle, best))) >= wanted
        low, high = torch.where(there, low, middle), torch.where(there, middle, high)
    return torch.where(reached, high, best), reached


@torch.no_grad()
def grade_successes(
    edit: Edit,
    codes: CodeBatch,
    generator: Generator,
    labeller: tuple[Scorer, Tail],
    judge: tuple[Scorer, Tail],
    std: Float[Tensor, " p"],
    cameras: Camera | None,
    grid: Sequence[float],
    wanted: float = 0.8,
    identity: IdentityEmbedder | None = None,
) -> Successes:
    """Edit codes as strongly as they need, and let the judge decide.

    Args:
        edit: strength → styles.
        codes: which; their own cameras are the labeller's.
        generator: shows them.
        labeller: chooses strengths, and where it reads the target.
        judge: decides, and where it reads the target.
        std: population σ of the judge's log-odds, (P,).
        cameras: the judge's, V of them; `None` for a 2-D generator, whose only view serves both.
        grid: see `search_strength`.
        wanted: see `search_strength`.
        identity: tells how far identities moved; left out if not given.
    """
    reader, tail = labeller

    def probability(styles: Tensor) -> Tensor:
        odds = reader.log_odds(generator.synthesize(styles, camera=codes.camera).image)[:, tail.column]
        return (tail.sign * odds).sigmoid()

    strength, reached = search_strength(edit, probability, grid, wanted)
    return judged(edit(strength), codes, generator, judge, std, cameras, strength, reached, identity)


@torch.no_grad()
def judged(
    styles: Float[Tensor, "b c"],
    codes: CodeBatch,
    generator: Generator,
    judge: tuple[Scorer, Tail],
    std: Float[Tensor, " p"],
    cameras: Camera | None,
    strength: Tensor,
    reached: Tensor,
    identity: IdentityEmbedder | None = None,
) -> Successes:
    """Compare edited with unedited codes from the judge's cameras; see `grade_successes`."""
    grader, tail = judge
    columns = dependency_columns(grader, tail.column)
    seen: dict[str, list[Tensor]] = {name: [] for name in ("success", *MEASURES)}
    for v in range(1 if cameras is None else len(cameras)):
        camera = None if cameras is None else cameras[v].expand(len(codes))
        before, after = (generator.synthesize(s, camera=camera).image for s in (codes.styles, styles))
        old, new = grader.log_odds(before), grader.log_odds(after)
        seen["success"].append((tail.sign * new[:, tail.column]).sigmoid())
        for name, value in picture_errors(after, before)._asdict().items():
            seen[name].append(value)
        moved = ((new - old).abs() / std.clamp_min(1e-6))[:, columns[1:]]
        seen["others"].append(moved.mean(1))
        if identity is not None:
            seen["identity"].append(1 - identity.similarity(before, after))
    means = {name: torch.stack(values).mean(0) for name, values in seen.items() if values}
    return Successes(strength, reached, means.pop("success") > 0.5, means)
