"""Memory that is used again and again: on a CPU, fresh pages cost more than the arithmetic done in them."""

from __future__ import annotations

import threading
from math import prod

import torch
from torch import Tensor


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.kept: dict[str, Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        """Return this thread's float32 memory of that name, contiguous; what was in it is lost."""
        size = prod(shape)
        if name not in self.kept or self.kept[name].numel() < size:
            with torch.inference_mode(False):  # or it could not be written to outside
                self.kept[name] = torch.empty(size)
        return self.kept[name][:size].view(shape)


scratch = _Scratch()
