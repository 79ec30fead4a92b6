"""Callbacks: pictures, timing and summaries, for any logger and always in the run folder."""

from sat3d.callbacks.pictures import EditGrid
from sat3d.callbacks.summary import Summary

__all__ = ["EditGrid", "Summary"]
