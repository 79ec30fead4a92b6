"""What a stream of codes hands to a method: typed batches of codes and of source/reference pairs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from sat3d.ops.camera import Camera


class _Batch:
    """Move what is computed with to a device, and cut all of a batch at once.

    Attributes:
        numbers_stay: whether numbers of codes remain on the CPU. Who remembers things by them reads them in every
            step, for which a GPU would have to finish all its work first.
    """

    numbers_stay: ClassVar[bool] = False

    def _map(self, function: Any) -> Self:
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return type(self)(**{k: function(v) if isinstance(v, Tensor | Camera) else v for k, v in values.items()})

    def to(self, device: torch.device | str) -> Self:
        """Return the batch on `device`."""
        return self._map(lambda value: value if self._stays(value) else value.to(device))

    def _stays(self, value: Tensor | Camera) -> bool:
        return self.numbers_stay and isinstance(value, Tensor) and value.dtype == torch.long

    def __getitem__(self, index: slice | Tensor) -> Self:
        def cut(value: Any) -> Any:
            here = index.to(value.device) if isinstance(index, Tensor) and isinstance(value, Tensor) else index
            return value[here]

        return self._map(cut)


@dataclass(frozen=True)
class CodeBatch(_Batch):
    """Hold codes of one stream.

    Args:
        index: position of each code in its stream, (B,).
        z: latent codes, (B, z_dim).
        ws: mapped and truncated codes, (B, num_ws, w_dim).
        styles: flat style vectors, (B, C).
        camera: one camera per code; `None` where the generator is 2-D.
    """

    index: Tensor
    z: Tensor
    ws: Tensor
    styles: Tensor
    camera: Camera | None

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True)
class LatentBatch(_Batch):
    """Hold labelled codes.

    Args:
        index: number of each code in its file or stream, (B,).
        codes: (B, D): w, or whatever the data's codes are.
        labels: scaled to [-1, 1], one-hot for categories, (B, K).
        camera: one camera per code; `None` where the generator is 2-D, or there is none.
    """

    numbers_stay = True

    index: Tensor
    codes: Tensor
    labels: Tensor
    camera: Camera | None

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True)
class PairBatch(_Batch):
    """Hold pairs of a source and a reference, seen from one camera each.

    Args:
        source_index: position of the source's code in its stream, (B,).
        reference_index: the same of the reference.
        camera_index: camera bin, (B,); -1 where the camera is no bin, so that nothing may be cached under it.
        block: number of the code block and camera bin that a training pair was drawn from, (B,); -1 elsewhere.
            All codes of a block appear together, so whoever caches by code renders whole blocks, always alike.
        source_z: latent code of the source, (B, z_dim).
        reference_z: the same of the reference.
        source: styles of the source, (B, C).
        reference: styles of the reference, (B, C).
        camera: one camera per pair, shared by source, reference and edit; `None` where the generator is 2-D.
        u: one number in [0, 1) per pair, (B,) float64, which a method turns into its target set.
    """

    numbers_stay = True

    source_index: Tensor
    reference_index: Tensor
    camera_index: Tensor
    block: Tensor
    source_z: Tensor
    reference_z: Tensor
    source: Tensor
    reference: Tensor
    camera: Camera | None
    u: Tensor

    def __len__(self) -> int:
        return len(self.source_index)
