"""Bootstrap intervals: over codes, and over seeds where there are several."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """Hold a mean and its interval; NaN without values."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: npt.ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0, groups: npt.ArrayLike | None = None
) -> Interval:
    """Return the mean of some values and its percentile bootstrap interval (Efron & Tibshirani 1993, §13.3).

    Args:
        values: (N,); NaN are left out, with their groups' numbers.
        level: probability of the interval.
        draws: resamples.
        seed: of the resampling.
        groups: values of one group are drawn together, groups with replacement and values within them too: seeds of a
            training, for instance, (N,). A difference of two methods is paired by giving its values.

    Raises:
        ValueError: if groups and values differ in length.
    """
    x = np.asarray(values, dtype=np.float64)
    group = np.zeros(len(x), dtype=int) if groups is None else np.asarray(groups)
    if len(group) != len(x):
        raise ValueError(f"{len(x)} values and {len(group)} groups do not fit each other")
    kept = ~np.isnan(x)
    parts = [x[kept & (group == g)] for g in np.unique(group[kept])]
    if not parts:
        return Interval(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for i in range(draws):
        drawn = [parts[k] for k in rng.integers(len(parts), size=len(parts))]
        means[i] = np.concatenate([part[rng.integers(len(part), size=len(part))] for part in drawn]).mean()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.concatenate(parts).mean()), float(low), float(high))
