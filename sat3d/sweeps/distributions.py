"""W&B's distributions as Optuna's: what is drawn of one parameter, and the value that a draw stands for."""

from __future__ import annotations

import bisect
import itertools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

_PLAIN = (bool, int, float, str, type(None))
_TINY = 1e-9  # quantiles of 0 and 1 are infinite
_KEYS = {"distribution", "value", "values", "probabilities", "min", "max", "q", "mu", "sigma", "a", "b"}


@dataclass(frozen=True)
class Parameter:
    """Hold one parameter.

    Args:
        path: its name; of a nested parameter also those of what it is in.
        distribution: of what Optuna draws.
        value: from a draw to the value of the setting.
        log: whether its values spread over orders of magnitude.
        grid: its values where they can be counted, as draws.
    """

    path: tuple[str, ...]
    distribution: BaseDistribution
    value: Callable[[Any], Any]
    log: bool = False
    grid: list[Any] | None = None

    @property
    def name(self) -> str:
        """The setting's dotted name."""
        return ".".join(self.path)


def parameter_of(path: tuple[str, ...], told: Mapping[str, Any]) -> Parameter:
    """Read W&B's description of a parameter that varies.

    Args:
        path: see `Parameter`.
        told: the description.

    Raises:
        ValueError: for what cannot be drawn here; the message names the parameter and its distribution.
    """
    name = f"parameters.{'.'.join(path)}"
    if unknown := sorted(told.keys() - _KEYS):
        raise ValueError(f"{name}: {', '.join(unknown)} unknown; there are {', '.join(sorted(_KEYS))}")
    kind = told.get("distribution") or _inferred(told)
    if kind not in _READERS:
        raise ValueError(f"{name}: the distribution {kind or dict(told)} is not drawn here; {', '.join(_READERS)} are")
    try:
        return _READERS[kind](path, told)
    except KeyError as error:
        raise ValueError(f"{name}: the distribution {kind} needs {error.args[0]}") from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: the distribution {kind} cannot be drawn: {error}") from error


def _inferred(told: Mapping[str, Any]) -> str:
    if "values" in told:
        return "categorical_w_probabilities" if "probabilities" in told else "categorical"
    if "min" in told and "max" in told:
        return "int_uniform" if all(type(told[key]) is int for key in ("min", "max")) else "uniform"
    return ""


# One for each of W&B's distributions ----------------------------------------------------------------------------------


def _choice(path: tuple[str, ...], told: Mapping[str, Any]) -> Parameter:
    values = list(told["values"])
    if all(isinstance(value, _PLAIN) for value in values):
        return Parameter(path, CategoricalDistribution(values), _same, grid=values)
    texts = [json.dumps(value) for value in values]  # Optuna's storage knows no lists
    return Parameter(path, CategoricalDistribution(texts), json.loads, grid=texts)


def _weighted(path: tuple[str, ...], told: Mapping[str, Any]) -> Parameter:
    values, shares = list(told["values"]), list(told["probabilities"])
    if len(values) != len(shares) or min(shares) < 0 or not math.isclose(sum(shares), 1, rel_tol=1e-6):
        raise ValueError(f"{len(values)} values need as many probabilities, which sum to 1")
    ends = list(itertools.accumulate(shares))[:-1]
    return Parameter(path, FloatDistribution(0, 1), lambda share: values[bisect.bisect_right(ends, share)])


def _integers(path: tuple[str, ...], told: Mapping[str, Any]) -> Parameter:
    low, high = int(told["min"]), int(told["max"])
    return Parameter(path, IntDistribution(low, high), int, grid=list(range(low, high + 1)))


def _uniform(path: tuple[str, ...], told: Mapping[str, Any]) -> Parameter:
    return Parameter(path, FloatDistribution(told["min"], told["max"]), float)


def _rounded_uniform(path: tuple[str, ...], told: Mapping[str, Any]) -> Parameter:
    low, high, q = told["min"], told["max"], told.get("q", 1)
    rounding = _rounding(q)
    grid = [low + k * q for k in range(math.ceil((high - low) / q))]  # without the end, as W&B counts it
    return Parameter(path, FloatDistribution(low, high), rounding, grid=grid)


def _log_uniform(path: tuple[str, ...], told: Mapping[str, Any]) -> Parameter:
    """X with a uniform log X; 1/X then has one too, so W&B's inverse of it is the same."""
    return Parameter(path, FloatDistribution(told["min"], told["max"], log=True), float, log=True)


def _rounded_log_uniform(path: tuple[str, ...], told: Mapping[str, Any]) -> Parameter:
    rounding = _rounding(told.get("q", 1))
    return Parameter(path, FloatDistribution(told["min"], told["max"], log=True), rounding, log=True)


def _normal(path: tuple[str, ...], told: Mapping[str, Any]) -> Parameter:
    curve = NormalDist(told.get("mu", 0), told.get("sigma", 1))
    rounding = _rounding(told.get("q", 1)) if str(told["distribution"]).startswith("q_") else float
    is_log = "log" in str(told["distribution"])

    def value(share: float) -> Any:
        drawn = curve.inv_cdf(min(max(share, _TINY), 1 - _TINY))
        return rounding(math.exp(drawn) if is_log else drawn)

    return Parameter(path, FloatDistribution(0, 1), value, log=is_log)


def _of_exponents(reader: Callable[..., Parameter], sign: int = 1) -> Callable[..., Parameter]:
    """Read limits that are given as natural logarithms."""

    def read(path: tuple[str, ...], told: Mapping[str, Any]) -> Parameter:
        low, high = sorted(math.exp(sign * told[key]) for key in ("min", "max"))
        return reader(path, {**told, "min": low, "max": high})

    return read


def _rounding(q: float) -> Callable[[float], Any]:
    if q <= 0:
        raise ValueError(f"q={q} must be above 0")
    return lambda value: int(round(value / q) * q) if isinstance(q, int) else round(round(value / q) * q, 12)


def _same(value: Any) -> Any:
    return value


_READERS: dict[str, Callable[[tuple[str, ...], Mapping[str, Any]], Parameter]] = {
    "categorical": _choice,
    "categorical_w_probabilities": _weighted,
    "int_uniform": _integers,
    "uniform": _uniform,
    "q_uniform": _rounded_uniform,
    "log_uniform_values": _log_uniform,
    "inv_log_uniform_values": _log_uniform,
    "q_log_uniform_values": _rounded_log_uniform,
    "log_uniform": _of_exponents(_log_uniform),
    "inv_log_uniform": _of_exponents(_log_uniform, -1),
    "q_log_uniform": _of_exponents(_rounded_log_uniform),
    "normal": _normal,
    "q_normal": _normal,
    "log_normal": _normal,
    "q_log_normal": _normal,
}
