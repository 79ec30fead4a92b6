"""Contribution: how much of a channel's activation each region has (Collins et al. 2020, arXiv 2004.14367, §3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torchmetrics import Metric

DEAD = 1e-12  # of the mean square: a channel of less variance is constant


def membership_sums(
    activations: Float[Tensor, "b c h w"], members: Float[Tensor, "b k h w"]
) -> tuple[Float64[Tensor, "2 k c"], Float64[Tensor, " k"]]:
    """Return Σ A U and Σ A² U over pictures and positions, (2, K, C), and Σ U, (K,); picture by picture.

    Args:
        activations: A.
        members: U, the share that each region has in a position, ≥ 0.
    """
    k, c = members.shape[1], activations.shape[1]
    sums = activations.new_zeros(2, k, c, dtype=torch.float64)
    for a, u in zip(activations.flatten(2), members.flatten(2), strict=True):
        a, u = a.double().T, u.double()
        sums += torch.stack([u @ a, u @ a.square()])
    return sums, members.double().sum((0, 2, 3))


def contribution(
    sums: Float64[Tensor, "2 k c"], weight: Float64[Tensor, "k c"] | Float64[Tensor, "k 1"]
) -> Float64[Tensor, "k c"]:
    """Return M_{k,c} = Σ A² U / Σ U, A standardised over all positions that belong to a region; Σ_k M = 1.

    Args:
        sums: Σ A U and Σ A² U.
        weight: Σ U of each region.

    Returns:
        Shares in [0, 1]; 0 for constant channels.
    """
    first, second = sums
    total = weight.sum(0)
    mean, square = first.sum(0) / total, second.sum(0) / total
    variance = square - mean.square()
    live = variance > DEAD * square
    around = second - 2 * mean * first + mean.square() * weight
    return torch.where(live, around / (variance * total), 0.0).clamp_min(0)


class ChannelContribution(Metric):
    """Collect what share of every style channel's activation lies in each region, in one pass.

    StyleGAN2 has no InstanceNorm, so that activations are standardised here, by channel over the whole sample: mean and
    variance come from the same sums, which add up over batches and devices.

    Args:
        layers: channels of each layer; the result has them one after the other.
        regions: K.
        kwargs: torchmetrics' own.

    Example:
        >>> contribution, a = ChannelContribution([1], regions=2), torch.tensor([[0.0, 0.0, 0.0, 1.0]])
        >>> left = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
        >>> contribution.update([a.view(1, 1, 1, 4)], [torch.stack([left, 1 - left], 1).view(1, 2, 1, 4)])
        >>> contribution.compute().T
        tensor([[0.1667, 0.8333]], dtype=torch.float64)
    """

    is_differentiable = False
    full_state_update = False

    sums: Tensor
    weight: Tensor

    def __init__(self, layers: Sequence[int], regions: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layers = tuple(layers)
        self.add_state("sums", torch.zeros(2, regions, sum(layers), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros(regions, len(layers), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, activations: Sequence[Tensor], members: Sequence[Tensor]) -> None:
        """Add B pictures.

        Args:
            activations: of each layer, (B, C, h, w), each of its own size.
            members: the regions' shares at each layer's resolution, (B, K, h, w).
        """
        start = 0
        for layer, (a, u) in enumerate(zip(activations, members, strict=True)):
            sums, weight = membership_sums(a, u)
            self.sums[:, :, start : start + self.layers[layer]] += sums
            self.weight[:, layer] += weight
            start += self.layers[layer]

    def compute(self) -> Float64[Tensor, "k c"]:
        """Return M."""
        widths = torch.tensor(self.layers, device=self.weight.device)
        return contribution(self.sums, self.weight.repeat_interleave(widths, dim=1))


class RegionResponse(Metric):
    """Share out each style channel's effect on the picture: M_{k,c} = E_k / Σ_j E_j, E_k = Σ_{p in k} (∂I_p/∂s_c)².

    In the place of the paper's contribution where layers do not see the picture's pixels. Callers estimate E by random
    signs v on the pixels of a region: the mean square of ∂⟨v, I⟩/∂s_c is E_k.

    Args:
        channels: C.
        regions: K.
        kwargs: torchmetrics' own.
    """

    is_differentiable = False
    full_state_update = False

    energy: Tensor

    def __init__(self, channels: int, regions: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("energy", torch.zeros(regions, channels, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, gradients: Float[Tensor, "b k c"]) -> None:
        """Add the gradients of B pictures' signed regions."""
        self.energy += gradients.double().square().sum(0)

    def compute(self) -> Float64[Tensor, "k c"]:
        """Return M; 0 for channels without effect."""
        total = self.energy.sum(0)
        return torch.where(total > 0, self.energy / total, 0.0)
