"""Checkpoint files read as data: nothing that a file names is imported, called or evaluated."""

from sat3d.generators.pickles.files import read_file, read_span
from sat3d.generators.pickles.sources import Span
from sat3d.generators.pickles.tensors import ArrayRecord, Storage, TensorRecord, read_tensors
from sat3d.generators.pickles.values import Budget, CheckpointError, Persistent, Record, Reference

__all__ = [
    "ArrayRecord",
    "Budget",
    "CheckpointError",
    "Persistent",
    "Record",
    "Reference",
    "Span",
    "Storage",
    "TensorRecord",
    "read_file",
    "read_span",
    "read_tensors",
]
