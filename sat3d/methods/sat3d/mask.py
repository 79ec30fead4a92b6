"""The Meta Attribute Mask Matrix: which attribute controls which style channel."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

MaskKind = Literal["softmax", "sigmoid"]


class MaskMatrix(nn.Module):
    """Hold one logit per attribute and channel, and turn it into control probabilities (SAT3D, §3).

    `softmax`: P = softmax over the rows of M, so that Σ_a P[a,c] ≤ 1, the rest row taking what no attribute claims.
    `sigmoid`: P = σ(M − 2), entry by entry, so that attributes may share channels; the shift starts masks near 0.12,
    where softmax over a few rows starts too. A target set Ω owns m_Ω = Σ_{a∈Ω} P[a] (softmax), or
    1 − Π_{a∈Ω} (1 − P[a]) (sigmoid). The variant and both formulas for m_Ω are choices.

    Args:
        num_attributes: rows.
        participates: channels that may be edited, (C,) bool; the others have mask 0.
        kind: `softmax` or `sigmoid`.
        rest: add a row without descriptors (softmax only). A choice: without it the masks sum to one.
        init_std: standard deviation of the initial logits; 0.01 is a choice.
        seed: of the initial logits.
    """

    participates: Tensor
    places: Tensor
    allowed: Tensor

    def __init__(
        self,
        num_attributes: int,
        participates: Bool[Tensor, " c"],
        *,
        kind: MaskKind = "softmax",
        rest: bool = True,
        init_std: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not bool(participates.any()):
            raise ValueError("kinds, parts: no style channel is left to edit; the generator has none of these")
        self.num_attributes, self.kind, self.rest = num_attributes, kind, rest and kind == "softmax"
        columns = int(participates.sum())
        start = torch.randn(self.num_rows, columns, generator=torch.Generator().manual_seed(seed))
        self.logits = nn.Parameter(start * init_std)
        self.register_buffer("participates", participates.clone())
        # As numbers: a GPU would have to tell the host in every step how many places a boolean mask has.
        self.register_buffer("places", participates.nonzero()[:, 0], persistent=False)
        self.register_buffer("allowed", torch.ones(num_attributes, columns, dtype=torch.bool))

    @property
    def num_rows(self) -> int:
        """R: attributes, and the rest row."""
        return self.num_attributes + int(self.rest)

    def restrict(self, allowed: Bool[Tensor, "a c"]) -> None:
        """Let every attribute claim only its pre-selected channels, given over all channels, (A, C)."""
        chosen = allowed[:, self.participates]
        if not self.rest and self.kind == "softmax":
            chosen = chosen | ~chosen.any(0)  # without a rest row a channel nobody selected stays open to all
        self.allowed.copy_(chosen)

    def _rows(self) -> Float[Tensor, "r p"]:
        """Control probabilities of all rows on the participating channels."""
        if self.kind == "sigmoid":
            return (self.logits - 2).sigmoid() * self.allowed
        closed = ~self.allowed
        if self.rest:
            closed = torch.cat([closed, torch.zeros_like(closed[:1])])
        return self.logits.masked_fill(closed, -math.inf).softmax(0)

    def forward(self) -> Float[Tensor, "a c"]:
        """Return the control probability of each attribute and channel, (A, C)."""
        rows = self._rows()[: self.num_attributes]
        return rows.new_zeros(self.num_attributes, len(self.participates)).index_copy(1, self.places, rows)

    def entropy(self) -> Float[Tensor, ""]:
        """L_prob: mean over channels of H(P[:, c]) / log R, in [0, 1]; for sigmoid masks of H(P[a, c]) / log 2."""
        rows = self._rows()
        if self.kind == "sigmoid":
            rows = torch.stack([rows, 1 - rows])
            return -torch.special.xlogy(rows, rows.clamp_min(1e-12)).sum(0).mean() / math.log(2)
        if self.num_rows == 1:
            return rows.sum() * 0
        return -torch.special.xlogy(rows, rows.clamp_min(1e-12)).sum(0).mean() / math.log(self.num_rows)


def target_mask(
    masks: Float[Tensor, "a c"], targets: Bool[Tensor, "b a"], kind: MaskKind = "softmax"
) -> Float[Tensor, "b c"]:
    """Return the mask m_Ω of target sets given as rows of booleans, (B, C)."""
    if kind == "softmax":
        # The sum can pass 1 by rounding, and an edit must not overshoot its reference for that.
        return (targets.to(masks.dtype) @ masks).clamp(max=1)
    return 1 - torch.where(targets[:, :, None], 1 - masks, 1.0).prod(1)
