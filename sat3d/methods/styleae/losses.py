"""StyleAE's losses (arXiv 2412.20164, §3): each a mean of per-sample values, so that equal devices add up."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

LabelLoss = Literal["square", "hinge"]
MARGIN = 0.04


def label_loss(c: Float[Tensor, "b k"], labels: Float[Tensor, "b k"], kind: LabelLoss = "square") -> Float[Tensor, ""]:
    """Compare coordinates with labels in [-1, 1].

    Args:
        c: the first coordinates of z.
        labels: what they shall be.
        kind: `square`: the mean squared error. `hinge`: for categories, Σ relu(t − c)² with t = 1 for the class and 0
            for the others, so that what is beyond its target is free (the released code for AFHQ).

    Raises:
        ValueError: for another kind.
    """
    if kind == "square":
        return (c - labels).square().mean(1).mean()
    if kind == "hinge":
        return ((labels + 1) / 2 - c).relu().square().sum(1).mean()
    raise ValueError(f"label_loss={kind!r} is unknown; choose square or hinge")


def picture_loss(
    made: Float[Tensor, "b 3 h w"], wanted: Float[Tensor, "b 3 h w"], margin: float = MARGIN
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the mean squared error of pictures in [-1, 1], and the mean of what differs by more than a margin.

    L_pix = mean relu(|G(w) − G(ŵ)| − 0.04).
    """
    delta = made - wanted
    return delta.square().flatten(1).mean(1).mean(), (delta.abs() - margin).relu().flatten(1).mean(1).mean()


def label_weight(epoch: int, most: float = 0.3, ramp: int = 0) -> float:
    """Return λ, the weight of the label loss; 1 − λ is that of the reconstruction.

    Args:
        epoch: counted from 0.
        most: λ after the ramp.
        ramp: epochs in which λ rises, in equal steps; 0 for none, as in the released code's last version, 30 of 100 in
            the version before.
    """
    return most * min(1.0, (epoch + 1) / max(1, ramp))


def one_per_code(w: Float[Tensor, "b d"], num_ws: int) -> Float[Tensor, "b n d"]:
    """Repeat one w for every layer."""
    return w[:, None].expand(-1, num_ws, -1) if w.ndim == 2 else w


def code_loss(made: Float[Tensor, "b d"], wanted: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """Return the mean squared error of codes: the variant without a generator."""
    return torch.nn.functional.mse_loss(made, wanted)
