from itertools import pairwise

import pytest

from sat3d.ops.schedules import known_steps, one_cycle


def test_a_cycle_rises_to_1_and_falls_to_0():
    shares = [one_cycle(k, 100) for k in range(101)]
    assert shares[0] == pytest.approx(0.1) and shares[9] == shares[10] == 1 and shares[100] == 0
    assert shares[55] == pytest.approx(0.5)
    assert all(a <= b for a, b in pairwise(shares[:10]))
    assert all(a > b for a, b in pairwise(shares[10:]))


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_short_runs_have_a_rate_above_0_in_every_step(steps):
    assert all(0 < one_cycle(k, steps) <= 1 for k in range(steps))


def test_a_training_without_end_has_no_schedule():
    assert known_steps(12.0) == 12
    with pytest.raises(ValueError, match=r"give trainer\.max_steps or max_epochs"):
        known_steps(float("inf"))
