"""Editing as strongly as it takes: for each code the strength whose edit reads a wanted value, in few renderings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Read = Callable[[int, Int[Tensor, " n"], Float[Tensor, " n"]], Float[Tensor, " n"]]
"""(number of the trial, rows among the codes, a strength for each) → how clearly each edit shows the target."""


class Response(NamedTuple):
    """Hold how the reading of a target rises with strength, averaged over codes that are not compared.

    Args:
        strengths: rising from above 0, (D,).
        change: of the reading, (D,).
    """

    strengths: Tensor
    change: Tensor

    @property
    def peak(self) -> float:
        """The strength of the largest change."""
        return float(self.strengths[self.change.argmax()])

    @property
    def most(self) -> float:
        """The largest strength that is tried: twice that of the peak, as codes differ."""
        return 2 * self.peak

    def guess(self, change: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Return the strength that first gives each change, by linear interpolation; the most where none does."""
        origin = torch.zeros(1)
        strengths, rises = torch.cat([origin, self.strengths]), torch.cat([origin, self.change])
        past = rises[None] >= change[:, None]
        high = past.int().argmax(1).clamp_min(1)
        low = high - 1
        share = (change - rises[low]) / (rises[high] - rises[low]).clamp_min(1e-6)
        found = strengths[low] + share.clamp(0.05, 1) * (strengths[high] - strengths[low])
        return torch.where(past.any(1), found, torch.full_like(found, self.peak))


class Match(NamedTuple):
    """Hold what the search found for each of N codes.

    Args:
        strength: of the chosen trial, (N,).
        reading: how clearly that edit shows the target, (N,).
        reached: whether it shows it as clearly as wanted, up to the tolerance, (N,).
        trial: number of the chosen trial, (N,).
        strengths: of all trials, NaN where a code had no need of one, (N, T).
        readings: of all trials, (N, T).
    """

    strength: Tensor
    reading: Tensor
    reached: Tensor
    trial: Tensor
    strengths: Tensor
    readings: Tensor


@torch.no_grad()
def match_strengths(
    read: Read,
    start: Float[Tensor, " n"],
    wanted: Float[Tensor, " n"],
    response: Response,
    trials: int = 5,
    tolerance: float = 0.1,
) -> Match:
    """Find for each code the strength at which its edit reads what is wanted.

    The first trial is what an average code needs. Then strengths rise until one suffices; between the last that did not
    and the first that did, the reading is interpolated, at least a tenth of the interval from either end. A
    code is done when its reading is the wanted one up to the tolerance. Of all its trials that suffice, the one that
    reads least is taken; of a code that none suffices, the one that reads most: its failure at its strongest.

    Args:
        read: renders and reads edits.
        start: readings of the unedited codes, (N,).
        wanted: readings to reach, larger, (N,).
        response: what other codes need.
        trials: renderings of each code, at most.
        tolerance: share of the change that a reading may lack or exceed.
    """
    count = len(start)
    slack = tolerance * (wanted - start).abs()
    low, low_value = torch.zeros(count), start.clone()
    high, high_value = torch.full((count,), torch.inf), torch.full((count,), torch.nan)
    strengths, readings = (torch.full((count, trials), torch.nan) for _ in range(2))
    rows, next_strength = torch.arange(count), response.guess(wanted - start)
    for trial in range(trials):
        if not len(rows):
            break
        tried = next_strength[rows]
        found = read(trial, rows, tried).cpu()
        strengths[rows, trial], readings[rows, trial] = tried, found
        there = found >= wanted[rows] - slack[rows]
        high[rows[there]], high_value[rows[there]] = tried[there], found[there]
        low[rows[~there]], low_value[rows[~there]] = tried[~there], found[~there]
        exact = there & (found <= wanted[rows] + slack[rows])
        hopeless = ~there & high[rows].isinf() & (tried >= response.most)
        rows = rows[~exact & ~hopeless]
        below, above = ((x - start) / (wanted - start) for x in (low_value, high_value))
        next_strength[rows] = _next(low, high, below, above, response.most)[rows]
    return _chosen(strengths, readings, wanted - slack)


def _next(low: Tensor, high: Tensor, below: Tensor, above: Tensor, most: float) -> Tensor:
    """Return the next strength.

    Args:
        low: largest strength that did not suffice; 0 at first.
        high: least strength that did; infinite at first.
        below: change at `low`, as a share of what is wanted.
        above: change at `high`.
        most: largest strength.
    """
    further = low * (1 / below.clamp_min(1e-6)).clamp(1.3, 2.5)
    # Between two strengths changes go like a power of the strength; from the unedited code on, like a line.
    power = (above / below).log() / (high / low).log()
    place = high * above.pow(-1 / power)
    line = low + (1 - below) / (above - below) * (high - low)
    curved = (low > 0) & (below > 0.01) & place.isfinite()
    share = ((torch.where(curved, place, line) - low) / (high - low)).nan_to_num(0.5).clamp(0.1, 0.9)
    return torch.where(high.isinf(), further.clamp_max(most), low + share * (high - low))


def _chosen(strengths: Tensor, readings: Tensor, enough: Tensor) -> Match:
    suffices: Bool[Tensor, "n t"] = readings >= enough[:, None]  # a trial that was not needed reads NaN: False
    least = torch.where(suffices, readings, torch.inf).argmin(1)
    most = readings.nan_to_num(-torch.inf).argmax(1)
    reached = suffices.any(1)
    trial = torch.where(reached, least, most)
    strength, reading = (x.gather(1, trial[:, None])[:, 0] for x in (strengths, readings))
    return Match(strength, reading, reached, trial, strengths, readings)


CALIBRATION = (0.2, 0.6, 1.8, 5.4, 16.2)
"""Strengths of a response, each three times the last: editors differ in what strength 1 is."""


@torch.no_grad()
def response_of(
    read: Callable[[float], Float[Tensor, " n"]], start: Float[Tensor, " n"], strengths: Sequence[float] = CALIBRATION
) -> Response:
    """Return the average response of codes to an edit.

    Args:
        read: how clearly all N edits of a strength show the target.
        start: how clearly the unedited codes do.
        strengths: rising.
    """
    change = torch.stack([(read(strength).cpu() - start.cpu()).mean() for strength in strengths])
    return Response(torch.tensor(strengths), change)
