"""The losses of SAT3D, as functions of distances and pictures."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class LossWeights:
    """Weigh L = ref·L_ref + src·L_src + bg·L_bg + prob(t)·L_prob; the values are choices, the paper's are unknown.

    Args:
        ref: edited against reference on the target attributes.
        src: edited against source on all other attributes.
        bg: change in the uninterested region.
        prob: entropy of the channels' control probabilities, at the end of its ramp.
        prob_start: the same at step 0.
        ramp_steps: length of the linear ramp; `null` takes the length of the training.
    """

    ref: float = 1.0
    src: float = 1.0
    bg: float = 1.0
    prob: float = 0.1
    prob_start: float = 0.01
    ramp_steps: int | None = None

    def __post_init__(self) -> None:
        for name in ("ref", "src", "bg", "prob", "prob_start"):
            if getattr(self, name) < 0:
                raise ValueError(f"loss_weights.{name}={getattr(self, name)} must not be negative")

    def prob_at(self, step: int, total: int) -> float:
        """Return the weight of L_prob at a step of a training of `total` steps."""
        share = min(1.0, step / max(1, self.ramp_steps or total))
        return self.prob_start + share * (self.prob - self.prob_start)


def target_loss(
    distances: Float[Tensor, "b a"], targets: Bool[Tensor, "b a"], weight: Float[Tensor, " b"] | None = None
) -> Float[Tensor, ""]:
    """L_ref: mean over a ∈ Ω of d(D_a(I_edit), D_a(I_ref)), averaged over samples; `weight` 0 leaves a sample out."""
    chosen = targets.to(distances.dtype)
    per_sample = (distances * chosen).sum(1) / chosen.sum(1).clamp_min(1)
    if weight is None:
        return per_sample.mean()
    return (per_sample * weight).sum() / weight.sum().clamp_min(1)


def remaining_loss(distances: Float[Tensor, "b a"], targets: Bool[Tensor, "b a"]) -> Float[Tensor, ""]:
    """L_src: mean over a ∉ Ω of d(D_a(I_edit), D_a(I_src)), averaged over samples."""
    return target_loss(distances, ~targets)


def background_loss(
    edited: Float[Tensor, "b c h w"], source: Float[Tensor, "b c h w"], region: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """L_bg: ‖B ⊙ (I_edit − I_src)‖₁ per pixel of B and channel, averaged over samples; an empty B gives 0."""
    weight = region.to(edited.dtype)[:, None]
    changed = ((edited - source).abs().mean(1, keepdim=True) * weight).sum((1, 2, 3))
    return (changed / weight.sum((1, 2, 3)).clamp_min(1)).mean()
