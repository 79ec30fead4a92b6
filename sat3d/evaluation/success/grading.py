"""Grading the edits of several methods, and showing them side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from tqdm.auto import tqdm

from sat3d.evaluation.contestants import Contestant
from sat3d.evaluation.rows import Row
from sat3d.evaluation.success.protocol import SuccessProtocol
from sat3d.evaluation.tasks import Task
from sat3d.visualization import picture_grid


def grade_all(protocol: SuccessProtocol, contestants: Sequence[Contestant], tasks: Sequence[Task]) -> list[Row]:
    """Return a row for every edit: method, seed, attribute, target, and what `SuccessProtocol.grade` tells."""
    graded: list[Row] = []
    with tqdm(total=len(contestants) * len(tasks), desc="Editing", unit="task") as bar:
        for one in contestants:
            for task in tasks:
                bar.set_postfix_str(f"{one.name}: {task.target}")
                about = {"method": one.name, "seed": one.seed, "attribute": task.attribute, "target": task.column}
                graded += [{**about, **row} for row in protocol.grade(one.editor, task, one.values)]
                bar.update()
    return graded


@torch.no_grad()
def success_grid(
    protocol: SuccessProtocol,
    contestants: Sequence[Contestant],
    tasks: Sequence[Task],
    graded: Sequence[Row],
    examples: int = 3,
    scale: int = 1,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw the edits of some codes at the strengths that were found: a row for each method, a column an attribute.

    Args:
        protocol: shows the codes, from its first camera but one.
        contestants: of several seeds of a method the first is shown.
        tasks: as graded.
        graded: what `grade_all` returned.
        examples: codes.
        scale: enlargement.
    """
    codes, view = protocol.codes, len(protocol.views) // 2
    methods = {one.name: one for one in reversed(contestants)}
    attributes = list(dict.fromkeys(task.attribute for task in tasks))
    strengths = {
        (row["method"], row["attribute"], int(row["code"])): float(row["strength"]) for row in reversed(graded)
    }
    labels, rows = [], []
    for k in range(min(examples, len(codes))):
        source = protocol.before[view][k]
        for name in reversed(methods):
            one, line = methods[name], [source]
            for attribute in attributes:
                task = next(t for t in tasks if t.attribute == attribute and k in t.rows.tolist())
                strength = strengths[name, attribute, int(codes.index[k])]
                line.append(protocol.shown(one.editor, task, torch.tensor([k]), strength, view, one.values)[0])
            rows.append(torch.stack(line))
            labels.append(name)
    return picture_grid(torch.stack(rows), labels, ["source", *attributes], scale)
