"""Mixed precision where it pays, in frozen networks, and float32 where digits count: masks, flows, losses."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch


def float32(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which nothing is rounded to half precision, whatever the Trainer's precision is."""
    return torch.autocast(device.type, enabled=False)


def as_it_is(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context with the precision of here and now, to be entered from within `float32`."""
    enabled, dtype = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)
    return torch.autocast(device.type, dtype, enabled)
