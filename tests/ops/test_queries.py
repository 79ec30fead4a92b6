"""Queries against a solver of linear programmes, and against their definitions."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from sat3d.ops.queries import greedy_query, released_query, simple_query


def test_greedy_query_solves_the_linear_programme():
    random = np.random.default_rng(0)
    for case in range(1000):
        c = int(random.integers(1, 9))
        m, rho = random.beta(0.5, 0.5, c), float(random.choice([0.0, 0.1, 0.5, 2.0]))
        m = np.round(m, 1) if case % 5 == 0 else m  # ties, zeros and ones
        budget = float(random.uniform(0, c / 2)) * float(random.random() > 0.1)
        q = greedy_query(torch.from_numpy(m), budget, rho).numpy()
        value = m - rho * (1 - m)
        best = linprog(-value, A_ub=[1 - m], b_ub=[budget], bounds=(0, 1), method="highs")
        assert abs(q @ value + best.fun) < 1e-9
        assert q @ (1 - m) <= budget + 1e-9 and q.min() >= 0 and q.max() <= 1
        assert ((q > 0) & (q < 1)).sum() <= 1  # only the one that overflows


def test_released_query_takes_whole_channels_as_its_loop_does():
    random = np.random.default_rng(1)
    for _ in range(50):
        m, budget, rho = random.random(12), float(random.uniform(0, 4)), 0.3
        expected, spent = np.zeros(12), 0.0
        for c in np.argsort(-m):
            spent += 1 - m[c]
            expected[c] = spent < budget and m[c] > rho
        assert np.array_equal(released_query(torch.from_numpy(m), budget, rho).numpy(), expected)


def test_simple_query_and_rows():
    m = torch.tensor([[0.1, 0.3, 0.9], [0.9, 0.1, 0.3]])
    torch.testing.assert_close(simple_query(m, 2.0), torch.tensor([[0.2, 0.6, 1.0], [1.0, 0.2, 0.6]]))
    assert simple_query(m, 0.0).count_nonzero() == 0
    for solve in (greedy_query, released_query):
        rows = torch.stack([solve(row, 0.9, 0.1) for row in m])
        assert torch.equal(solve(m, 0.9, 0.1), rows) and solve(m, 0.9, 0.1).dtype == m.dtype


def test_what_greedy_and_released_query_differ_in():
    m = torch.tensor([0.9, 0.6, 0.3])
    assert greedy_query(m, 0.3, 0.5).tolist() == pytest.approx([1.0, 0.5, 0.0])  # the second in part
    assert released_query(m, 0.3, 0.5).tolist() == [1.0, 0.0, 0.0]
    assert greedy_query(m, 3.0, 0.4)[2] == 1 and released_query(m, 3.0, 0.4)[2] == 0  # ρ/(1 + ρ) = 0.29, and ρ
