"""Schedules of learning rates, as shares of the largest one."""

from __future__ import annotations

import math


def known_steps(steps: float) -> int:
    """Return how many steps a training has, of what Lightning estimates.

    Raises:
        ValueError: if that is without end, so that there is no schedule.
    """
    if math.isinf(steps):
        raise ValueError(
            "trainer: a schedule needs to know how many steps there are; give trainer.max_steps or max_epochs"
        )
    return int(steps)


def one_cycle(step: int, steps: int, warmup: float = 0.1) -> float:
    """Return the share at a step: a linear rise over a share of the steps, then half a cosine to zero.

    Args:
        step: from 0 on.
        steps: of the whole run.
        warmup: share of the steps in which the rate rises; one step at least.
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))
