"""Pictures of unedited codes, made once for each code and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.generators.batches import LatentBatch

Show = Callable[[LatentBatch, Tensor], Tensor]
"""A batch, for its cameras, and codes in its place → pictures (B, 3, H, W)."""


class Targets:
    """Remember the pictures G(w) of training codes by number, in half precision.

    Each is made alone, so that what is remembered does not depend on the batch in which it was first needed, and a
    resumed run compares with the same pictures.

    Args:
        show: makes pictures.
        max_bytes: memory; beyond it pictures are made anew each time.
    """

    def __init__(self, show: Show, max_bytes: int = 2 * 1024**3) -> None:
        self.show, self.max_bytes = show, max_bytes
        self.made = self.bytes = 0
        self._kept: dict[int, Tensor] = {}

    @torch.no_grad()
    def __call__(self, batch: LatentBatch) -> Float[Tensor, "b 3 h w"]:
        """Return the pictures of a batch's own codes."""
        rows: list[Any] = []
        for i, number in enumerate(batch.index.tolist()):
            picture = self._kept.get(number)
            if picture is None:
                one = batch[i : i + 1]
                picture = self.show(one, one.codes)[0].half()
                self.made += 1
                if self.bytes + picture.nbytes <= self.max_bytes:
                    self._kept[number] = picture
                    self.bytes += picture.nbytes
            rows.append(picture)
        return torch.stack(rows).float()
