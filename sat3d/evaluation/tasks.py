"""What is asked of codes: for each attribute the other side, or another class, and a reference that shows it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sat3d.methods.sweeps import tail_of
from sat3d.perception import Scorer


@dataclass(frozen=True)
class Task:
    """Name one edit of some codes.

    Args:
        attribute: the scorers'.
        target: what the editor calls it: the attribute's name, or `attribute/class`.
        direction: 1 or −1, the sign of the strengths.
        column: of labeller and judge, by name; with a minus before it the low end is the target.
        rows: which of the codes, (N,).
    """

    attribute: str
    target: str
    direction: float
    column: str
    rows: Int[Tensor, " n"]


def opposite_tasks(
    scorer: Scorer, log_odds: Float[Tensor, "b p"], attributes: Sequence[str], seed: int = 0
) -> list[Task]:
    """Ask of every code for what it does not show: the other side of one half, or another class.

    Args:
        scorer: the labeller.
        log_odds: what it reads from the unedited codes.
        attributes: which, of the scorer's.
        seed: of the draw among the other classes; a code's draw depends on nothing but this and its row.

    Raises:
        ValueError: for attributes that are not scored, or by several groups of descriptors.
    """
    tasks: list[Task] = []
    for name in attributes:
        groups = scorer.slices.get(name, ())
        if len(groups) != 1:
            raise ValueError(
                f"attributes: {name!r} must be one group of columns; scored are {', '.join(scorer.attributes)}"
            )
        columns = range(groups[0].start, groups[0].stop)
        if len(columns) == 1:
            high = log_odds[:, columns[0]] > 0
            tasks += [Task(name, name, 1.0, name, _rows(~high)), Task(name, name, -1.0, f"-{name}", _rows(high))]
            continue
        shown = log_odds[:, columns.start : columns.stop].argmax(1).cpu()
        draw = np.random.default_rng([seed, scorer.attributes.index(name)])
        other = torch.from_numpy(draw.integers(len(columns) - 1, size=len(shown)))
        wanted = other + (other >= shown)
        for k, column in enumerate(columns):
            label = scorer.columns[column]
            tasks.append(Task(name, label, 1.0, label, _rows(wanted == k)))
    return [task for task in tasks if len(task.rows)]


def _rows(chosen: Bool[Tensor, " b"]) -> Int[Tensor, " n"]:
    return chosen.nonzero()[:, 0].cpu()


def log_odds_towards(scorer: Scorer, task: Task, log_odds: Float[Tensor, "n p"]) -> Float[Tensor, " n"]:
    """Return how clearly pictures show a task's target, the larger the more: log-odds, (N,)."""
    tail = tail_of(scorer, task.column)
    return tail.sign * log_odds[:, tail.column]


def drawn_references(
    odds: Float[Tensor, " n"], task: Task, index: Int[Tensor, " b"], wanted: float
) -> Int[Tensor, " b"]:
    """Return for each code which of N references shows a task's target, drawn once among those that do.

    Args:
        odds: how clearly the references show the target, see `log_odds_towards`.
        task: names the target; other targets are drawn anew.
        index: numbers of the codes in their stream; a code's draw depends on nothing else.
        wanted: probability from which on a target is shown; where none reaches it, the clearest is taken.
    """
    showing = (odds.sigmoid() >= wanted).nonzero()[:, 0].cpu()
    showing = showing if len(showing) else odds.argmax().cpu()[None]
    seed = zlib.crc32(task.column.encode())
    draws = [int(np.random.default_rng([seed, int(i)]).integers(len(showing))) for i in index]
    return showing[torch.tensor(draws, dtype=torch.long)]
