import math

import numpy as np
import pytest
import torch

from sat3d.metrics import ChangeAtDrift, change_at_drift


def read(*sweep, std=(1.0, 1.0, 1.0), **options):
    return float(change_at_drift(torch.tensor([sweep]), torch.tensor(std), 0, **options))


def test_by_hand():
    # The others' mean goes 0 → 0.1 → 0.3 while the target goes 0 → 1 → 2: at 0.2 it is halfway.
    assert read((1.0, 0.1, -0.1), (2.0, 0.6, 0.0)) == pytest.approx(1.5)
    assert read((1.0, 0.1, -0.1), (2.0, 0.6, 0.0), std=(2.0, 1.0, 1.0)) == pytest.approx(0.75)
    assert read((1.0, 0.8, 0.8)) == pytest.approx(0.25)  # on the way from the origin


def test_what_never_drifts_as_far_gives_its_best_up_to_the_most():
    assert read((1.0, 0.0, 0.0), (1.5, 0.1, 0.1), (1.2, 0.1, 0.1)) == pytest.approx(1.5)
    assert read((9.0, 0.0, 0.0)) == 2.0 and read((9.0, 0.0, 0.0), most=5.0) == 5.0


def test_no_change_change_of_everything_and_the_wrong_way():
    assert read((0.0, 0.0, 0.0), (0.0, 3.0, 3.0)) == 0
    assert read((1.0, 1.0, 1.0), (5.0, 5.0, 5.0)) == pytest.approx(0.2)
    assert read((-1.0, 0.4, 0.4)) == pytest.approx(-0.5)
    assert read((-1.0, 0.0, 0.0)) == 0  # its user may stop at once


def test_batched_is_numpys_interpolation_of_rising_drifts():
    rng = np.random.default_rng(0)
    change, std = rng.random((9, 4, 5)).cumsum(1) * 0.2, rng.random(5) + 0.5
    drift, moved = np.delete(change / std, 1, axis=2).mean(2), np.minimum(change[..., 1] / std[1], 2)
    wanted = [np.interp(0.3, [0, *d], [0, *m]) for d, m in zip(drift, moved, strict=True)]
    metric = ChangeAtDrift(at=0.3)
    for part in (slice(0, 2), slice(2, 9)):
        metric.update(torch.from_numpy(change[part]), torch.from_numpy(std), 1)
    assert (drift[:, -1] > 0.3).all() and float(metric.compute()) == pytest.approx(np.mean(wanted), rel=1e-5)


def test_nothing_given_is_not_a_number():
    assert math.isnan(ChangeAtDrift().compute())
