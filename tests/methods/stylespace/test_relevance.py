import numpy as np
import pytest
import torch

from sat3d.methods.stylespace import attribute_relevance


def test_is_the_papers_formula():
    rng = np.random.default_rng(0)
    s, mean, std = rng.normal(2, 3, (12, 5)), rng.normal(size=5), rng.uniform(0.5, 2, 5)
    delta = (s - mean) / std
    found = attribute_relevance(*(torch.from_numpy(x).float() for x in (s, mean, std)))
    np.testing.assert_allclose(found.theta, np.abs(delta.mean(0)) / delta.std(0, ddof=1), rtol=1e-5)
    np.testing.assert_array_equal(found.direction, np.sign(delta.mean(0)))


def test_finds_a_planted_channel_among_many_from_ten_examples():
    rng = torch.Generator().manual_seed(0)
    population = torch.randn(5000, 200, generator=rng)
    population[:, 7] *= 0.01
    positives = population[population[:, 13] < -1.5][:10]
    found = attribute_relevance(positives, population.mean(0), population.std(0))
    assert int(found.theta.argmax()) == 13 and found.direction[13] == -1


def test_a_channel_that_never_moves_belongs_to_nothing():
    found = attribute_relevance(torch.ones(3, 1), torch.zeros(1), torch.zeros(1))
    assert found.theta.tolist() == [0.0] and found.direction.tolist() == [0.0]
    with pytest.raises(ValueError, match="two positive examples at least, not 1"):
        attribute_relevance(torch.ones(1, 2), torch.zeros(2), torch.ones(2))
