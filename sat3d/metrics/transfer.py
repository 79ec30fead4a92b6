"""Attribute transfer: how much of the reference's attribute arrives, and what else moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric

MINIMUM_DISTANCE = 0.2


def column_drift(
    edited: Float[Tensor, "b p"],
    source: Float[Tensor, "b p"],
    std: Float[Tensor, " p"],
    slices: Mapping[str, Sequence[slice]],
) -> Float[Tensor, "b a"]:
    """Measure how far every attribute moved, in standard deviations of its scores.

    Args:
        edited: scores of the edited pictures, (B, P).
        source: scores of the sources, (B, P).
        std: population standard deviation of each column, (P,).
        slices: columns of each attribute.

    Returns:
        mean over an attribute's columns of |Δ|/σ, (B, A).
    """
    moved = (edited - source).abs() / std.clamp_min(1e-6)
    return torch.stack([torch.cat([moved[:, s] for s in slices[name]], dim=1).mean(1) for name in slices], dim=1)


def mean_of_others(drift: Float[Tensor, "b a"], target: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Average each row over all attributes but the target."""
    others = torch.ones_like(drift).scatter_(1, target[:, None], 0.0)
    return (drift * others).sum(1) / others.sum(1).clamp_min(1)


def transfer_gain(edited: Float[Tensor, " n"], source: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Return 1 − Σ d(A_edit, A_ref) / Σ d(A_src, A_ref): 0 is no transfer, 1 a full one, negative a step away."""
    return 1 - edited.sum() / source.sum()


@dataclass(frozen=True)
class TransferCurves:
    """Hold gain and drift by attribute and strength.

    Args:
        attributes: rows.
        strengths: columns.
        gain: (A, D); NaN where no pair differs in the attribute.
        drift: (A, D), standard deviations; NaN likewise.
        pairs: pairs behind each row, (A,).
    """

    attributes: tuple[str, ...]
    strengths: tuple[float, ...]
    gain: Tensor
    drift: Tensor
    pairs: Tensor

    def at(self, strength: float) -> tuple[Tensor, Tensor]:
        """Return gain and drift of every attribute at one of the strengths, each (A,)."""
        if strength not in self.strengths:
            raise ValueError(f"strength {strength} was not measured; there are {list(self.strengths)}")
        column = self.strengths.index(strength)
        return self.gain[:, column], self.drift[:, column]

    def gain_at_drift(self, drift: Float[Tensor, " a"] | float) -> Float[Tensor, " a"]:
        """Read every attribute's gain where its drift first reaches a value; see `gain_at_drift`."""
        wanted = torch.as_tensor(drift, dtype=self.drift.dtype).expand(len(self.attributes))
        rows = zip(self.gain, self.drift, wanted, strict=True)
        return torch.stack([gain_at_drift(gain, moved, float(at)) for gain, moved, at in rows])


def gain_at_drift(gain: Float[Tensor, " d"], drift: Float[Tensor, " d"], at: float) -> Float[Tensor, ""]:
    """Read a curve's gain where its drift first reaches `at`, by linear interpolation.

    Curves start at strength 0 (gain 0, drift 0), which is added if it was not measured. A curve that never drifts as
    far as `at` gives the best gain that it reached: its user may stop anywhere below the allowance.

    Args:
        gain: by rising strength, (D,).
        drift: by rising strength, (D,).
        at: the drift at which methods are compared.
    """
    if bool(gain.isnan().any()) or at != at:
        return torch.full((), float("nan"), dtype=gain.dtype)
    zero = torch.zeros(1, dtype=gain.dtype)
    gain, drift = torch.cat([zero, gain.cpu()]), torch.cat([zero, drift.cpu()])
    over = (drift > at).nonzero()
    if len(over) == 0:
        return gain.max()
    k = int(over[0])
    share = (at - drift[k - 1]) / (drift[k] - drift[k - 1])
    return gain[k - 1] + share * (gain[k] - gain[k - 1])


class TransferScore(Metric):
    """Collect gain and drift of edits, by attribute and strength.

    Gain = 1 − Σ d(A_edit, A_ref) / Σ d(A_src, A_ref) over pairs with d(A_src, A_ref) ≥ `minimum`, A being the target
    attribute's scores; drift = mean over the other attributes of |A_edit − A_src|/σ, over the same pairs.

    Args:
        attributes: target attributes.
        strengths: editing intensities.
        minimum: pairs that differ less in the target attribute are left out.

    Example:
        >>> score = TransferScore(("hat",), (1.0,))
        >>> score.update(0, 0, edited=torch.tensor([0.1]), source=torch.tensor([0.5]), drift=torch.tensor([0.2]))
        >>> score.curves().gain
        tensor([[0.8000]])
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    to_reference: Tensor
    before: Tensor
    drift: Tensor
    count: Tensor

    def __init__(
        self, attributes: Sequence[str], strengths: Sequence[float] = (1.0,), minimum: float = MINIMUM_DISTANCE
    ) -> None:
        super().__init__()
        self.attributes, self.strengths, self.minimum = tuple(attributes), tuple(strengths), minimum
        shape = (len(self.attributes), len(self.strengths))
        for name in ("to_reference", "before", "drift", "count"):
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(
        self,
        attribute: int,
        strength: int,
        edited: Float[Tensor, " n"],
        source: Float[Tensor, " n"],
        drift: Float[Tensor, " n"],
    ) -> None:
        """Add pairs.

        Args:
            attribute: number of the target attribute.
            strength: number of the strength.
            edited: d(A_edit, A_ref), (N,).
            source: d(A_src, A_ref), (N,).
            drift: drift of the other attributes, (N,).
        """
        keep: Bool[Tensor, " n"] = source >= self.minimum
        place = (attribute, strength)
        self.to_reference[place] += edited[keep].double().sum()
        self.before[place] += source[keep].double().sum()
        self.drift[place] += drift[keep].double().sum()
        self.count[place] += keep.sum()

    def compute(self) -> Float[Tensor, "3 a d"]:
        """Return gain, drift and the number of pairs, each by attribute and strength."""
        # 0/0 is NaN: there was nothing to transfer.
        return torch.stack([1 - self.to_reference / self.before, self.drift / self.count, self.count]).float()

    def curves(self) -> TransferCurves:
        """Return `compute`'s numbers with their names, on the CPU."""
        gain, drift, pairs = self.compute().cpu()
        return TransferCurves(self.attributes, self.strengths, gain, drift, pairs[:, 0].long())
