"""Evaluation: methods held against baselines and the world's ideal edit, by a judge that trained none of them."""

from sat3d.evaluation.baselines import IdealEdit, copy_editor, participating, random_editor
from sat3d.evaluation.contestants import Contestant, shared_attributes
from sat3d.evaluation.success.grading import grade_all, success_grid
from sat3d.evaluation.success.protocol import SuccessProtocol
from sat3d.evaluation.success.table import write_successes
from sat3d.evaluation.tasks import opposite_tasks
from sat3d.evaluation.transfer import (
    TransferResult,
    compare_transfer,
    curves_csv,
    markdown,
    readings,
    write_results,
)

__all__ = [
    "Contestant",
    "IdealEdit",
    "SuccessProtocol",
    "TransferResult",
    "compare_transfer",
    "copy_editor",
    "curves_csv",
    "grade_all",
    "markdown",
    "opposite_tasks",
    "participating",
    "random_editor",
    "readings",
    "shared_attributes",
    "success_grid",
    "write_results",
    "write_successes",
]
