"""The editor that InterFaceGAN leaves behind: normals of hyperplanes, and where these lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.methods.directions import DirectionEditor
from sat3d.methods.layers import Layers


class BoundaryEditor(DirectionEditor):
    """Move codes along the normals of hyperplanes n·w + b = 0: w' = w + strength · σ n (Shen et al. 2020, §3.2).

    On W+ every layer moves alike, as in the released code. Strength is in σ, the standard deviation of codes along n,
    where the paper's is a length. `place` puts codes at a signed distance from the boundary, as the released code does
    with single codes.

    Args:
        attributes: see `DirectionEditor`.
        directions: σ n, (A, D).
        space: see `DirectionEditor`.
        layers: see `DirectionEditor`.
        width: see `DirectionEditor`.
        biases: b, (A,); zeros where they are not known, as of released boundaries.

    Raises:
        ValueError: for biases that do not fit the attributes; else see `DirectionEditor`.

    Example:
        >>> editor = load_editor("runs/interfacegan/0/editor", G)
        >>> editor.distance(ws, "smile"), editor.edit(ws, "smile", 2.0), editor.place(ws, "smile", 3.0)
    """

    biases: Tensor

    def __init__(
        self,
        attributes: Sequence[str],
        directions: Float[Tensor, "a d"] | None = None,
        space: Literal["w", "s"] = "w",
        layers: Layers | None = None,
        width: int = 1,
        biases: Float[Tensor, " a"] | None = None,
    ) -> None:
        super().__init__(attributes, directions, space, layers, width)
        made = torch.zeros(len(self.attributes)) if biases is None else biases
        if made.shape != (len(self.attributes),):
            raise ValueError(f"biases: {tuple(made.shape)} do not fit {len(self.attributes)} attributes")
        self.register_buffer("biases", made.detach().clone())

    def distance(self, codes: Float[Tensor, "b ..."], attribute: str) -> Float[Tensor, "b ..."]:
        """Return signed distances n·w + b from a boundary, positive where the attribute shows: (B,), or (B, num_ws)."""
        normal, bias = self._plane(attribute, codes)
        return codes @ normal + bias

    def place(self, codes: Float[Tensor, "b ..."], attribute: str, distance: float | Tensor) -> Float[Tensor, "b ..."]:
        """Return codes moved along the normal to a signed distance from the boundary, all ws of them.

        Args:
            codes: (B, D), or (B, num_ws, D).
            attribute: whose boundary.
            distance: in the codes' own unit; one, or one for each code.
        """
        normal, _ = self._plane(attribute, codes)
        now = self.distance(codes, attribute)
        wanted = torch.as_tensor(distance, dtype=codes.dtype, device=codes.device)
        wanted = wanted.reshape(-1, *[1] * (now.ndim - 1)) if wanted.ndim else wanted
        return codes + (wanted - now)[..., None] * normal

    def _plane(self, attribute: str, codes: Tensor) -> tuple[Tensor, Tensor]:
        if not self.knows(attribute):
            raise ValueError(f"attribute: unknown {attribute}; this editor knows {self.known_names()}")
        direction = self.direction(attribute).to(codes)
        return direction / direction.norm(), self.biases[self.attributes.index(attribute)].to(codes)
