"""Callbacks: pictures, timing and summaries, for any logger and always in the run folder."""

from sat3d.callbacks.catalogue import CatalogueFigures
from sat3d.callbacks.channels import ChannelFigures
from sat3d.callbacks.checkpoints import AtomicCheckpointIO, RunCheckpoints
from sat3d.callbacks.finite import NonFiniteSteps
from sat3d.callbacks.grades import EditGrades
from sat3d.callbacks.metrics_csv import MetricsCSV
from sat3d.callbacks.pictures import EditGrid
from sat3d.callbacks.snapshots import TimedEditors
from sat3d.callbacks.strips import EditStrips
from sat3d.callbacks.summary import Summary

__all__ = [
    "AtomicCheckpointIO",
    "CatalogueFigures",
    "ChannelFigures",
    "EditGrades",
    "EditGrid",
    "EditStrips",
    "MetricsCSV",
    "NonFiniteSteps",
    "RunCheckpoints",
    "Summary",
    "TimedEditors",
]
