"""The editor that SAT3D leaves behind: style interpolation along masked channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.methods.base import Editor
from sat3d.methods.interpolation import transfer
from sat3d.methods.sat3d.mask import MaskKind, target_mask


class MaskEditor(Editor):
    """Interpolate styles from source to reference: s' = s_src + δ m_Ω ⊙ (s_ref − s_src) (SAT3D, §3).

    Args:
        attributes: rows of the mask matrix.
        num_channels: length of the flat style vector.
        kind: how the masks of several attributes join, see `MaskMatrix`.
        threshold: `None` keeps the soft masks; a number makes them hard, 1 where P exceeds it.
        masks: control probabilities, (A, C); zeros if not given.

    Example:
        >>> editor = MaskEditor(("hat",), 4, masks=torch.tensor([[0.0, 1.0, 0.0, 0.5]]))
        >>> editor.edit(torch.zeros(1, 4), "hat", 1.0, reference=torch.ones(1, 4))
        tensor([[0.0000, 1.0000, 0.0000, 0.5000]])
    """

    space = "s"
    needs_reference = True
    masks: Tensor

    def __init__(
        self,
        attributes: Sequence[str],
        num_channels: int,
        kind: MaskKind = "softmax",
        threshold: float | None = None,
        masks: Float[Tensor, "a c"] | None = None,
    ) -> None:
        super().__init__(attributes)
        if threshold is not None and not 0 <= threshold < 1:
            raise ValueError(f"threshold={threshold} must be in [0, 1), or null for soft masks")
        self.num_channels, self.kind, self.threshold = num_channels, kind, threshold
        shape = (len(self.attributes), num_channels)
        if masks is not None and masks.shape != shape:
            raise ValueError(
                f"masks of shape {tuple(masks.shape)} do not fit {shape[0]} attributes, {shape[1]} channels"
            )
        self.register_buffer("masks", torch.zeros(shape) if masks is None else masks.detach().clone())

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments without the masks."""
        return {
            "attributes": list(self.attributes),
            "num_channels": self.num_channels,
            "kind": self.kind,
            "threshold": self.threshold,
        }

    def hard(self, threshold: float | None = 0.5) -> MaskEditor:
        """Return an editor with the same masks, cut at a threshold; `None` makes them soft again."""
        return MaskEditor(self.attributes, self.num_channels, self.kind, threshold, self.masks)

    def mask(self, attributes: Sequence[str]) -> Float[Tensor, " c"]:
        """Return m_Ω of a set of attributes, (C,)."""
        masks = self.masks if self.threshold is None else (self.masks > self.threshold).to(self.masks.dtype)
        targets = torch.tensor([[name in attributes for name in self.attributes]], device=masks.device)
        return target_mask(masks, targets, self.kind)[0]

    def _edit(
        self, codes: Tensor, attributes: list[str], strength: Tensor, reference: Tensor | None, values: Tensor | None
    ) -> Tensor:
        assert reference is not None  # `edit` has checked it
        return transfer(codes, reference, strength * self.mask(attributes).to(codes))
