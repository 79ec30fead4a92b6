"""The editor that StyleAE leaves behind: set or shift a coordinate of the autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from sat3d.methods.coordinates import Columns, Form, LeadingCoordinateEditor
from sat3d.methods.layers import Layers
from sat3d.methods.styleae.network import LatentAutoencoder


class AutoencoderEditor(LeadingCoordinateEditor):
    """Move an attribute's coordinate c in z = (c, s) (Bedychaj et al. 2024, arXiv 2412.20164, §3).

    w' = w + D(c', s) − D(c, s), which is w where c' = c; the paper's w' = D(c', s) also changes what the autoencoder
    does not reconstruct.

    Args:
        columns: of the labels, see `CoordinateEditor`.
        code_width: D.
        hidden: see `LatentAutoencoder`.
        layers: ws that an attribute's edits change; the paper changes all.
        form: `residual` or `paper`, as above.

    Raises:
        ValueError: if there are more labels than coordinates.

    Example:
        >>> editor = load_editor("runs/styleae/0/editor", G)
        >>> edited = editor.set_value(ws, "smile", 1.0)
    """

    def __init__(
        self,
        columns: Columns,
        code_width: int,
        hidden: Sequence[int] | None = None,
        layers: Layers | None = None,
        form: Form = "residual",
    ) -> None:
        super().__init__(columns, code_width, layers, form)
        self.hidden = None if hidden is None else list(hidden)
        self.network = LatentAutoencoder(code_width, hidden)
        self.requires_grad_(False)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().config(), "hidden": self.hidden}

    def encode(self, w: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return z."""
        return self.network.encode(w)

    def decode(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return codes."""
        return self.network.decode(z)
