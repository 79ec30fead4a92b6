import numpy as np
import pytest

from sat3d.evaluation.bootstrap import bootstrap_mean


def test_interval_of_a_large_sample_is_the_normal_one():
    x = np.random.default_rng(1).normal(3, 2, 400)
    found = bootstrap_mean(x)
    half = 1.96 * x.std() / 20
    assert found.mean == pytest.approx(x.mean())
    assert found.low == pytest.approx(x.mean() - half, abs=0.04) and found.high == pytest.approx(
        x.mean() + half, abs=0.04
    )


def test_covers_the_truth_as_often_as_it_says():
    rng, hits = np.random.default_rng(2), 0
    for trial in range(200):
        found = bootstrap_mean(rng.exponential(1.0, 60), level=0.9, draws=300, seed=trial)
        hits += found.low <= 1.0 <= found.high
    assert 0.80 <= hits / 200 <= 0.96


def test_groups_widen_it_and_nan_is_left_out():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(3), 100)
    x = rng.normal(0, 1, 300) + np.array([-1.0, 0.0, 1.0])[groups]
    apart, together = bootstrap_mean(x, groups=groups), bootstrap_mean(x)
    assert apart.high - apart.low > 2 * (together.high - together.low)
    assert bootstrap_mean([1.0, np.nan, 3.0]).mean == 2.0
    assert np.isnan(bootstrap_mean([np.nan]).mean)
    with pytest.raises(ValueError, match="3 values and 2 groups"):
        bootstrap_mean([1, 2, 3], groups=[0, 0])
