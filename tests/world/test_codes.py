import math

import numpy as np
import pytest

from sat3d.world.codes import CodeMap, counted_uniform, normal_from_uniform, uniform_from_normal

N = 20_000


@pytest.fixture(scope="session")
def code_map(world):
    return CodeMap(world.correlations)


@pytest.fixture(scope="session")
def pairs(code_map):
    z = np.random.default_rng(0).standard_normal((N, code_map.size))
    return z, code_map.normal(z)


def test_inverse_is_exact(code_map, pairs):
    z, x = pairs
    assert np.abs(code_map.code(x) - z).max() < 1e-9
    u = uniform_from_normal(x)
    assert np.abs(code_map.code(normal_from_uniform(u)) - z).max() < 1e-4


def test_normal_distribution_is_kept(code_map, pairs):
    _, x = pairs
    assert np.abs(x.mean(0)).max() < 4 / math.sqrt(N)
    assert np.abs(np.cov(x.T) - code_map.correlations).max() < 5 * math.sqrt(2 / N)
    # Kolmogorov-Smirnov distance of each marginal to the uniform distribution, against its 0.01 % point
    u = np.sort(uniform_from_normal(x), axis=0)
    steps = np.arange(1, N + 1)[:, None] / N
    assert np.abs(u - steps).max() < 2.23 / math.sqrt(N) + 1 / N
    # beyond pairs: whitened squares stay uncorrelated, as they would not after rotations that read what they turn
    g2 = np.linalg.solve(np.linalg.cholesky(code_map.correlations), x.T).T ** 2
    off = np.corrcoef(g2.T) - np.eye(code_map.size)
    assert np.abs(off).max() < 6 / math.sqrt(N)


def test_a_linear_probe_reads_about_half(pairs):
    z, x = pairs
    half = N // 2
    weights = np.linalg.lstsq(z[:half], x[:half], rcond=None)[0]
    r2 = 1 - ((x[half:] - z[half:] @ weights) ** 2).mean(0) / x[half:].var(0)
    assert 0.4 < r2.mean() <= 0.6
    assert r2.max() < 0.75


def test_the_map_is_smooth(code_map, pairs):
    z, x = pairs
    step = 1e-4 * np.random.default_rng(1).standard_normal(z.shape)
    gain = np.linalg.norm(code_map.normal(z + step) - x, axis=1) / np.linalg.norm(step, axis=1)
    assert np.quantile(gain, 0.999) < 6


def test_stages_turn_one_half_after_the_other_and_end_in_the_scores(code_map, pairs):
    z, x = pairs
    stages = code_map.stages(z)
    turned = [np.abs(after - before).max(axis=0) > 0 for before, after in zip([z, *stages], stages[:1], strict=False)]
    assert len(stages) == 2 and np.array_equal(stages[-1], x)
    # an odd one out turns with one of the others
    assert code_map.size // 2 <= turned[0].sum() <= code_map.size // 2 + 2


def test_zero_bend_leaves_only_the_correlations():
    correlations = np.eye(4)
    correlations[0, 1] = correlations[1, 0] = 0.5
    z = np.random.default_rng(0).standard_normal((10, 4))
    expected = np.concatenate([z[:, :1], 0.5 * z[:, :1] + math.sqrt(0.75) * z[:, 1:2], z[:, 2:]], axis=1)
    assert np.allclose(CodeMap(correlations, bend=0).normal(z), expected)


def test_improper_correlations_are_refused():
    with pytest.raises(ValueError, match="positive definite"):
        CodeMap(np.full((4, 4), 1.0))
    with pytest.raises(ValueError, match="2 by 2"):
        CodeMap(np.eye(2))


def test_counted_numbers_depend_on_their_index_alone():
    rows = counted_uniform(7, np.arange(100), 5)
    assert np.array_equal(counted_uniform(7, np.array([42, 3]), 5), rows[[42, 3]])
    assert np.array_equal(counted_uniform(7, np.arange(100), 3), rows[:, :3])
    for other in (counted_uniform(8, np.arange(100), 5), counted_uniform(7, np.arange(100), 5, stream=1)):
        assert not np.isin(other, rows).any()


def test_counted_numbers_are_uniform_and_independent():
    u = counted_uniform(0, np.arange(50_000), 4)
    assert 0 < u.min() < u.max() < 1
    assert np.abs(np.sort(u, axis=0) - np.arange(1, 50_001)[:, None] / 50_000).max() < 2.23 / math.sqrt(50_000)
    both = np.concatenate([u[:-1], u[1:]], axis=1)  # neighbours along the row and along the index
    assert np.abs(np.corrcoef(both.T) - np.eye(8)).max() < 5 / math.sqrt(50_000)
