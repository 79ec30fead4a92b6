"""Every change from a class to another (StyleAE, arXiv 2412.20164: the animal type): success, and what is kept."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from sat3d.evaluation.contestants import Contestant
from sat3d.evaluation.rows import Row, interval_of
from sat3d.evaluation.success.grading import grade_all
from sat3d.evaluation.success.protocol import KEPT, SuccessProtocol
from sat3d.evaluation.success.table import cell
from sat3d.evaluation.tables import markdown_table
from sat3d.evaluation.tasks import Task
from sat3d.perception import Scorer

MEASURES = {"psnr": 1, "turned": 1, "others": 3, "identity": 3}
"""Measures of the table, if they were taken, and their digits."""


def transition_tasks(scorer: Scorer, log_odds: Float[Tensor, "b p"], attribute: str) -> list[Task]:
    """Ask of every code for every class that it does not show.

    Args:
        scorer: the labeller.
        log_odds: what it reads from the unedited codes.
        attribute: a categorical one of the scorer's.

    Raises:
        ValueError: for another; the message lists those there are.
    """
    columns = _columns(scorer, attribute)
    shown = log_odds[:, columns.start : columns.stop].argmax(1).cpu()
    labels = scorer.columns[columns.start : columns.stop]
    tasks = [Task(attribute, label, 1.0, label, (shown != k).nonzero()[:, 0]) for k, label in enumerate(labels)]
    return [task for task in tasks if len(task.rows)]


def grade_transitions(protocol: SuccessProtocol, contestants: Sequence[Contestant], attribute: str) -> list[Row]:
    """Return a row for every edit, as `grade_all` does, with the class that the code showed (`source`)."""
    labeller = protocol.labeller
    columns = _columns(labeller, attribute)
    shown = protocol.log_odds[:, columns.start : columns.stop].argmax(1).tolist()
    sources = {
        int(code): labeller.columns[columns.start + k] for code, k in zip(protocol.codes.index, shown, strict=True)
    }
    graded = grade_all(protocol, contestants, transition_tasks(labeller, protocol.log_odds, attribute))
    return [{"source": sources[int(float(row["code"]))], **row} for row in graded]


def transition_table(rows: Sequence[Row], kept: Sequence[str] | None = None) -> str:
    """Write a table for each method, a row for each change: success, and what the judge sees kept on all edits.

    Args:
        rows: what `grade_transitions` returned.
        kept: attributes whose classes shall stay; all that were told, if not given.
    """
    told = [name.removeprefix(KEPT) for name in rows[0] if name.startswith(KEPT)]
    names = [name for name in told if kept is None or name in kept]
    measures = [name for name in MEASURES if name in rows[0]]
    lines: list[str] = []
    for method in dict.fromkeys(str(row["method"]) for row in rows):
        mine = [row for row in rows if row["method"] == method]
        changes = sorted({(str(row["source"]), str(row["target"])) for row in mine})
        body = []
        for source, target in [*changes, ("", "")]:
            some = [row for row in mine if not source or (row["source"], row["target"]) == (source, target)]
            label = f"{_class(source)} → {_class(target)}" if source else "all"
            rates = [cell(interval_of(some, name), 2) for name in ("success", "reached")]
            stays = [f"{interval_of(some, KEPT + name).mean:.2f}" for name in names]
            means = [f"{interval_of(some, name).mean:.{MEASURES[name]}f}" for name in measures]
            body.append([label, str(len(some)), *rates, *stays, *means])
        head = ["change", "edits", "success", "reached", *(f"{name} kept" for name in names), *measures]
        lines += [f"**{method}**", "", *markdown_table(head, body), ""]
    return "\n".join(lines)


def _class(label: str) -> str:
    return label.rpartition("/")[2]


def _columns(scorer: Scorer, attribute: str) -> slice:
    groups = scorer.slices.get(attribute, ())
    if len(groups) != 1 or groups[0].stop - groups[0].start < 2:
        known = [n for n in scorer.attributes if len(scorer.slices[n]) == 1]
        several = [n for n in known if scorer.slices[n][0].stop - scorer.slices[n][0].start > 1]
        raise ValueError(f"transitions={attribute!r} must be categorical: choose from {', '.join(several)}")
    return groups[0]
