"""Evaluation: methods held against baselines and the world's ideal edit, by a judge that trained none of them."""

from sat3d.evaluation.baselines import IdealEdit, copy_editor, participating, random_editor
from sat3d.evaluation.transfer import (
    TransferResult,
    compare_transfer,
    curves_csv,
    markdown,
    readings,
    write_results,
)

__all__ = [
    "IdealEdit",
    "TransferResult",
    "compare_transfer",
    "copy_editor",
    "curves_csv",
    "markdown",
    "participating",
    "random_editor",
    "readings",
    "write_results",
]
