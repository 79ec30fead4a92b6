"""What is known about a code seen from a camera bin: computed once, remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sat3d.generators.batches import PairBatch
from sat3d.methods.precision import float32
from sat3d.ops.camera import Camera


@dataclass(frozen=True)
class Sight:
    """Hold what was seen of codes: pictures (B, 3, H, W), scores (B, P), part labels (B, H, W) or `None`."""

    image: Tensor
    scores: Tensor
    labels: Tensor | None = None


Look = Callable[[Tensor, Camera | None], Sight]


class PictureBank:
    """Remember pictures, scores and labels by (code, camera bin).

    Blocks of a batch are looked at whole and in order of their codes, so what is remembered does not depend on when it
    was first needed, and a resumed run remembers the same numbers. Scores are always kept; pictures (float16) and
    labels up to a memory limit, beyond which they are made anew.

    Args:
        look: renders and scores styles from cameras, without gradients.
        max_bytes: memory for pictures and labels.
    """

    def __init__(self, look: Look, max_bytes: int = 2 * 1024**3) -> None:
        self.look, self.max_bytes = look, max_bytes
        self.bytes = self.looks = 0
        self._scores: dict[tuple[int, int], Tensor] = {}
        self._pictures: dict[tuple[int, int], tuple[Tensor, Tensor | None]] = {}

    def __len__(self) -> int:
        return len(self._scores)

    @torch.no_grad()
    def lookup(self, batch: PairBatch) -> tuple[Sight, Sight]:
        """Return what is known of the sources and of the references of a batch."""
        styles = torch.cat([batch.source, batch.reference])
        camera = None if batch.camera is None else Camera.cat([batch.camera, batch.camera])
        bins = batch.camera_index.tolist()
        codes = torch.cat([batch.source_index, batch.reference_index]).tolist()
        keys = list(zip(codes, bins + bins, strict=True))
        if min(bins) < 0:
            sight = self._look(styles, camera, list(range(len(keys))))
        else:
            fresh = self._fill(keys, batch.block.tolist() * 2, styles, camera)
            sight = self._gather(keys, fresh)
        half = len(batch)
        return _cut(sight, slice(0, half)), _cut(sight, slice(half, None))

    def _fill(
        self, keys: list[tuple[int, int]], blocks: list[int], styles: Tensor, camera: Camera | None
    ) -> dict[tuple[int, int], tuple[Tensor, Tensor | None]]:
        """Look at the blocks that have missing cells; return the pictures that were made."""
        fresh: dict[tuple[int, int], tuple[Tensor, Tensor | None]] = {}
        missing = {block for key, block in zip(keys, blocks, strict=True) if key not in self._pictures}
        for block in sorted(missing):
            rows = {key: row for row, (key, of) in enumerate(zip(keys, blocks, strict=True)) if of == block}
            ordered = sorted(rows)
            sight = self._look(styles, camera, [rows[key] for key in ordered])
            for k, key in enumerate(ordered):
                picture = sight.image[k].half(), None if sight.labels is None else sight.labels[k]
                fresh[key] = picture
                self._scores[key] = sight.scores[k]
                size = sum(part.nbytes for part in picture if part is not None)
                if key not in self._pictures and self.bytes + size <= self.max_bytes:
                    self._pictures[key], self.bytes = picture, self.bytes + size
        return fresh

    def _gather(self, keys: list[tuple[int, int]], fresh: dict[tuple[int, int], tuple[Tensor, Tensor | None]]) -> Sight:
        pictures = [fresh[key] if key in fresh else self._pictures[key] for key in keys]
        labels = [label for _, label in pictures if label is not None]
        with float32(pictures[0][0].device):  # autocast knows no float16 beside bfloat16
            return Sight(
                torch.stack([image for image, _ in pictures]).float(),
                torch.stack([self._scores[key] for key in keys]),
                torch.stack(labels) if labels else None,
            )

    def _look(self, styles: Tensor, camera: Camera | None, rows: list[int]) -> Sight:
        self.looks += len(rows)
        index = torch.tensor(rows, device=styles.device)
        return self.look(styles[index], None if camera is None else camera[index])


def _cut(sight: Sight, rows: slice) -> Sight:
    return Sight(sight.image[rows], sight.scores[rows], None if sight.labels is None else sight.labels[rows])
