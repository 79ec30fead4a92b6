"""Locality: which region a channel acts on, and how much of an edit stays in its region."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric


def region_grid(labels: Int[Tensor, "b h w"], regions: int, grid: int) -> Bool[Tensor, "b k g g"]:
    """Reduce label maps to a grid by majority vote; the lower label wins a tie.

    Args:
        labels: a number below `regions` for each pixel, (B, H, W).
        regions: K.
        grid: G.
    """
    votes = torch.stack([F.adaptive_avg_pool2d((labels == k).float(), grid) for k in range(regions)], dim=1)
    numbers = torch.arange(regions, device=labels.device)[None, :, None, None]
    return votes.argmax(1, keepdim=True) == numbers


def region_hits(maps: Float[Tensor, "u g h"], regions: Bool[Tensor, "k g h"]) -> Int[Tensor, "u k"]:
    """Count the cells of each region among as many of the channel's strongest cells (StyleSpace, §4; `GetMask`).

    Divided by the region's area o it is the overlap coefficient: both masks have o cells. A cell without gradient is
    in no mask, so that a dead channel meets no region; of equal cells the first in reading order count.

    Args:
        maps: gradient map of each channel, ≥ 0, (U, G, G).
        regions: cells of each region, (K, G, G).
    """
    strength, order = maps.flatten(1).sort(dim=1, descending=True, stable=True)
    hits = []
    for region in regions.flatten(1):
        area = int(region.sum())
        hits.append((region[order[:, :area]] & (strength[:, :area] > 0)).sum(1))
    return torch.stack(hits, dim=1)


def winning_region(hits: Int[Tensor, "u k"], area: Int[Tensor, " k"]) -> Int[Tensor, " u"]:
    """Return argmax_k n/o² of each channel, −1 where it meets no region.

    The overlap coefficient is n/o; the second 1/o favours small regions (`discount_factor` 2 of the released code).
    """
    score = hits.double() / area.double().clamp_min(1).square()
    return torch.where(score.amax(1) > 0, score.argmax(1), -1)


def locally_active(rate: Float[Tensor, "u k"], minimum: float = 0.5, gap: float = 0.25) -> Int[Tensor, " u"]:
    """Return the region of each locally active channel, −1 for the others.

    Local: the largest rate is above `minimum`, and above the second by more than `gap` (StyleSpace, `MAdvance`).

    Args:
        rate: share of the region's pictures that it wins, NaN where it never appears, (U, K).
        minimum: first threshold.
        gap: second threshold.
    """
    rate = rate.nan_to_num(0.0)
    first, second = F.pad(rate, (0, 1)).topk(2, dim=1).values.T
    return torch.where((first > minimum) & (first - second > gap), rate.argmax(1), -1)


class ChannelRegions(NamedTuple):
    """Hold how channels meet regions.

    Args:
        rate: pictures where the region wins the channel, of those where it is present, (U, K); NaN if there are none.
        overlap: overlap coefficient n/o, n and o summed over pictures, (U, K); NaN likewise.
        present: pictures that show each region, (K,).
    """

    rate: Tensor
    overlap: Tensor
    present: Tensor

    def local(self, minimum: float = 0.5, gap: float = 0.25) -> Tensor:
        """Return each channel's region, −1 if it is not locally active, (U,); see `locally_active`."""
        return locally_active(self.rate, minimum, gap)


class RegionOverlap(Metric):
    """Count which region each channel's gradient map meets most, picture by picture (StyleSpace, §4).

    The states are whole numbers: any split over devices adds up to the same.

    Args:
        channels: U.
        regions: K.
        kwargs: torchmetrics' own.

    Example:
        >>> overlap = RegionOverlap(channels=1, regions=2)
        >>> top = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
        >>> overlap.update(top[None, None], torch.stack([top > 0, top == 0])[None])
        >>> overlap.compute().rate
        tensor([[1., 0.]], dtype=torch.float64)
    """

    is_differentiable = False
    full_state_update = False

    wins: Tensor
    present: Tensor
    hits: Tensor
    area: Tensor

    def __init__(self, channels: int, regions: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, shape in (("wins", (channels, regions)), ("hits", (channels, regions))):
            self.add_state(name, torch.zeros(shape, dtype=torch.long), dist_reduce_fx="sum")
        for name in ("present", "area"):
            self.add_state(name, torch.zeros(regions, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, maps: Float[Tensor, "b u g h"], regions: Bool[Tensor, "b k g h"]) -> None:
        """Add the gradient maps (≥ 0) of B pictures and the cells of their regions."""
        numbers = torch.arange(len(self.present), device=self.present.device)
        for picture, cells in zip(maps, regions, strict=True):
            hits, area = region_hits(picture, cells), cells.sum((1, 2))
            self.hits += hits
            self.wins += winning_region(hits, area)[:, None] == numbers
            self.area += area
            self.present += area > 0

    def compute(self) -> ChannelRegions:
        """Return rates and overlap coefficients."""
        return ChannelRegions(self.wins.double() / self.present, self.hits.double() / self.area, self.present)


def change_inside(
    before: Float[Tensor, "b c h w"], after: Float[Tensor, "b c h w"], region: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, " b"]:
    """Return the share of the squared change of a picture that lies inside a region; NaN if nothing changed."""
    squared = (after - before).square().sum(1, keepdim=True)
    return (squared * region).sum((1, 2, 3)) / squared.sum((1, 2, 3))


def lab_errors(
    before: Float[Tensor, "b 3 h w"], after: Float[Tensor, "b 3 h w"], region: Float[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Return in-MSE and out-MSE in CIELAB (Editing in Style, Collins et al. 2020, arXiv 2004.14367).

    L·2.55, a and b are divided by 255 and averaged, as in the released `cielab.py`; its product with the transposed
    matrix of RGB → XYZ is not repeated.

    Args:
        before: pictures in [-1, 1].
        after: pictures in [-1, 1].
        region: weights of the pixels inside.

    Returns:
        mean squared error inside and outside, each (B,); NaN where there are no such pixels.
    """
    from kornia.color import rgb_to_lab  # late: kornia takes seconds

    delta = rgb_to_lab(((after + 1) / 2).clamp(0, 1)) - rgb_to_lab(((before + 1) / 2).clamp(0, 1))
    scale = delta.new_tensor([2.55, 1.0, 1.0])[:, None, None] / 255
    squared = (delta * scale).square().mean(1, keepdim=True)
    inside, outside = ((squared * m).sum((1, 2, 3)) / m.sum((1, 2, 3)) for m in (region, 1 - region))
    return inside, outside


class LocalityScores(NamedTuple):
    """Hold averages over pictures; NaN without any.

    Args:
        share: of the squared change inside the region.
        inside: in-MSE, CIELAB.
        outside: out-MSE, CIELAB.
        ratio: inside / outside.
    """

    share: float
    inside: float
    outside: float
    ratio: float


class EditLocality(Metric):
    """Average how local edits are: `change_inside` and `lab_errors`, each over the pictures where it is defined.

    Example:
        >>> locality, region = EditLocality(), torch.ones(1, 1, 2, 2)
        >>> region[..., 1] = 0
        >>> locality.update(torch.zeros(1, 3, 2, 2), 0.5 * region.expand(1, 3, 2, 2), region)
        >>> locality.compute().share
        1.0
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(3, dtype=torch.long), dist_reduce_fx="sum")

    def update(
        self, before: Float[Tensor, "b 3 h w"], after: Float[Tensor, "b 3 h w"], region: Float[Tensor, "b 1 h w"]
    ) -> None:
        """Add pictures in [-1, 1] and the weights of the pixels that were to change."""
        values = torch.stack([change_inside(before, after, region), *lab_errors(before, after, region)]).double()
        self.total += values.nansum(1)
        self.count += (~values.isnan()).sum(1)

    def compute(self) -> LocalityScores:
        """Return the averages."""
        share, inside, outside = self.total / self.count
        return LocalityScores(float(share), float(inside), float(outside), float(inside / outside))
