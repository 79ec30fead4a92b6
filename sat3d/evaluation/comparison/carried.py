"""What edits carry along of a world's correlations.

The world's attributes are correlated on purpose. An edit that follows the population moves what is correlated with its
target as well; the ideal edit does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from sat3d.evaluation.bootstrap import Interval
from sat3d.evaluation.comparison.protocol import MatchedProtocol, Outcome
from sat3d.methods.sweeps import tail_of
from sat3d.world import World

CORRELATED = 0.2
"""From which correlation on two attributes of the world count as correlated."""


def carried_along(
    world: World, protocol: MatchedProtocol, outcomes: Sequence[Outcome], draws: int = 500
) -> tuple[Interval, Interval]:
    """Tell how much of the population's correlations an edit carries along, and what else moves.

    On average a code whose target is 1 σ higher has a correlated column r σ higher, r their correlation over unedited
    pictures as the judge sees them. The slope of an edit's change of such columns on r times its change of the target
    is 1 for edits that follow the population, and 0 for those that move nothing else.

    Args:
        world: tells which attributes are correlated.
        protocol: has the unedited pictures.
        outcomes: edits of a method, by seed.
        draws: of the bootstrap, over codes.

    Returns:
        the slope; and the mean size of the change of uncorrelated attributes' columns for each σ of the target.
    """
    judge = protocol.eyes.judge
    correlation = torch.corrcoef(torch.cat(protocol.judged).T).nan_to_num().cpu()
    sums: dict[tuple[int, float], Tensor] = defaultdict(lambda: torch.zeros(4, dtype=torch.float64))
    for seed, outcome in enumerate(outcomes):
        for row, change in zip(outcome.rows, outcome.change.double(), strict=True):
            target = tail_of(judge, str(row["target"])).column
            along, others = _neighbours(world, protocol, str(row["attribute"]))
            expected = correlation[target, along].double() * change[target]
            place = sums[seed, float(row["code"])]
            place[0] += (expected * change[along]).sum()
            place[1] += expected.square().sum()
            place[2] += change[others].abs().mean()
            place[3] += change[target].abs()
    return _ratio(sums, 0, 1, draws), _ratio(sums, 2, 3, draws)


def _neighbours(world: World, protocol: MatchedProtocol, attribute: str) -> tuple[list[int], list[int]]:
    """Return the judge's columns of attributes that are correlated with one in the world, and of those that are not."""
    along: list[int] = []
    others: list[int] = []
    for name, slices in protocol.eyes.judge.slices.items():
        columns = [c for s in slices for c in range(s.start, s.stop)]
        if name == attribute or name not in world.names:
            continue
        related = abs(world.correlations[world.index(name), world.index(attribute)]) >= CORRELATED
        (along if related else others).extend(columns)
    return along, others


def _ratio(sums: Mapping[tuple[int, float], Tensor], top: int, bottom: int, draws: int) -> Interval:
    values = torch.stack(list(sums.values())).numpy()
    if not values[:, bottom].sum():
        return Interval(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(values), size=(draws, len(values)))
    drawn = values[chosen].sum(1)
    low, high = np.quantile(drawn[:, top] / drawn[:, bottom], [0.025, 0.975])
    return Interval(float(values[:, top].sum() / values[:, bottom].sum()), float(low), float(high))


def ideal_outcome(protocol: MatchedProtocol, attributes: Sequence[str]) -> Outcome:
    """Return what the judge makes of the ideal edits, in the form of a method's outcome."""
    parts = []
    for attribute in attributes:
        for task in protocol.tasks(attribute):
            images = protocol.ideal(task)
            odds = torch.cat([protocol.eyes.judge.log_odds(x) for x in images.split(protocol.rules.chunk)])
            change = (odds - protocol.judged[0][task.rows]) / protocol.std
            rows: list[dict[str, float | str]] = [
                {"attribute": attribute, "target": task.column, "code": float(code)}
                for code in protocol.codes.index[task.rows]
            ]
            nothing = torch.zeros(len(rows), 0)
            parts.append(Outcome(rows, change.cpu(), nothing, nothing, nothing))
    return Outcome.together(parts)
