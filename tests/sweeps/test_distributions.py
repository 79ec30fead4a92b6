"""Draws of every distribution against scipy's, as W&B's documentation defines them."""

import math

import numpy as np
import optuna
import pytest
from scipy import stats

from sat3d.sweeps.distributions import _READERS
from sat3d.sweeps.space import space_of

DRAWS = 2000


@pytest.fixture(scope="module", autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def draws(**told):
    """Draw at random through Optuna, as a sweep does."""
    space = space_of({"a": told})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask(space.distributions) for _ in range(DRAWS)]
    return [space.values(trial.params)["a"] for trial in trials]


CONTINUOUS = {
    "uniform": ({"min": 0.5, "max": 3}, stats.uniform(0.5, 2.5)),
    "log_uniform_values": ({"min": 1e-3, "max": 10}, stats.loguniform(1e-3, 10)),
    "inv_log_uniform_values": ({"min": 1e-3, "max": 10}, stats.loguniform(1e-3, 10)),
    "log_uniform": ({"min": -3, "max": 2}, stats.loguniform(math.exp(-3), math.exp(2))),
    "inv_log_uniform": ({"min": -3, "max": 2}, stats.loguniform(math.exp(-2), math.exp(3))),
    "normal": ({"mu": 2, "sigma": 0.5}, stats.norm(2, 0.5)),
    "log_normal": ({"mu": 1, "sigma": 0.5}, stats.lognorm(s=0.5, scale=math.e)),
}
ROUNDED = {
    "q_uniform": ({"min": 0.1, "max": 2, "q": 0.25}, stats.uniform(0.1, 1.9), 0.25),
    "q_log_uniform_values": ({"min": 1, "max": 300, "q": 5}, stats.loguniform(1, 300), 5),
    "q_log_uniform": ({"min": 0, "max": 5, "q": 1}, stats.loguniform(1, math.exp(5)), 1),
    "q_normal": ({"mu": 10, "sigma": 4, "q": 2}, stats.norm(10, 4), 2),
    "q_log_normal": ({"mu": 2, "sigma": 0.5, "q": 1}, stats.lognorm(s=0.5, scale=math.e**2), 1),
}


def test_every_distribution_is_tried_here():
    assert CONTINUOUS.keys() | ROUNDED.keys() | {"categorical", "categorical_w_probabilities", "int_uniform"} == {
        *_READERS
    }


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous(name):
    told, wanted = CONTINUOUS[name]
    assert stats.kstest(draws(distribution=name, **told), wanted.cdf).pvalue > 0.01


@pytest.mark.parametrize("name", ROUNDED)
def test_rounded_to_multiples(name):
    told, curve, q = ROUNDED[name]
    found = draws(distribution=name, **told)
    assert all(math.isclose(value / q, round(value / q), abs_tol=1e-9) for value in found)
    assert all(isinstance(value, type(q)) for value in found)
    for value in set(found):  # what rounds to it
        share, wanted = found.count(value) / DRAWS, curve.cdf(value + q / 2) - curve.cdf(value - q / 2)
        assert abs(share - wanted) < 4.5 * math.sqrt(max(wanted, 1 / DRAWS) / DRAWS), value


def test_integers_choices_and_weighted_choices():
    found = draws(min=3, max=6)
    assert {type(value) for value in found} == {int} and stats.chisquare(np.bincount(found)[3:]).pvalue > 0.01
    assert set(draws(values=[None, True, "a", 2, 0.5])) == {None, True, "a", 2, 0.5}
    lists = draws(values=[[1, 2], {"b": [3]}])
    assert [1, 2] in lists and {"b": [3]} in lists and len({str(value) for value in lists}) == 2
    weighted = draws(values=["a", "b", "c"], probabilities=[0.2, 0.7, 0.1])
    assert [weighted.count(value) / DRAWS for value in "abc"] == pytest.approx([0.2, 0.7, 0.1], abs=0.04)
    assert all(isinstance(value, float) for value in draws(min=0, max=1.0))  # as W&B tells integers from numbers


def test_constants_and_nested_parameters_are_written_as_the_agent_does():
    space = space_of(
        {
            "model": {"parameters": {"init_args": {"parameters": {"lr": {"values": [0.1]}, "b": {"value": [1]}}}}},
            "data.init_args.size": {"value": None},
        }
    )
    (parameter,) = space.parameters
    assert parameter.name == "model.init_args.lr"
    draw = {"model.init_args.lr": 0.1}
    assert space.values(draw) == {"model": {"init_args": {"lr": 0.1, "b": [1]}}, "data.init_args.size": None}
    assert space.settings(draw) == {
        "model": {"init_args": {"lr": 0.1, "b": [1]}},
        "data": {"init_args": {"size": None}},
    }


@pytest.mark.parametrize(
    "told, message",
    [
        ({"distribution": "beta", "a": 1, "b": 2}, r"parameters\.a\.b: the distribution beta is not drawn here"),
        ({"mu": 3}, "is not drawn here"),
        ({"distribution": "uniform", "min": 1}, "the distribution uniform needs max"),
        ({"min": 2.0, "max": 1.0}, "the distribution uniform cannot be drawn"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "log_uniform_values cannot be drawn"),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0}, "q=0 must be above 0"),
        ({"values": [1, 2], "probabilities": [0.5]}, "as many probabilities"),
        ({"values": [1], "vals": [1]}, "vals unknown"),
        (3, "3 is no description; write value: 3"),
    ],
)
def test_what_cannot_be_drawn_is_named(told, message):
    with pytest.raises(ValueError, match=r"parameters\.a\.b: ") as error:
        space_of({"a": {"parameters": {"b": told}}})
    with pytest.raises(ValueError, match=message):
        raise error.value


def test_a_grid_is_every_combination_once():
    space = space_of({"a": {"values": [1, [2]]}, "b": {"min": 3, "max": 5}, "c": {"value": 0}})
    points = [space.searched(point) for point in space.grid()]
    assert points == [{"a": a, "b": b} for a in (1, [2]) for b in (3, 4, 5)]
    q = space_of({"q": {"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.25}})
    assert [q.searched(point)["q"] for point in q.grid()] == np.arange(0.0, 1.0, 0.25).tolist()  # W&B's count
    with pytest.raises(ValueError, match=r"parameters\.x: a grid needs values"):
        list(space_of({"x": {"min": 0.0, "max": 1.0}}).grid())
