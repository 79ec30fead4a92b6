"""W&B's parameters as Optuna's: what is drawn, and the value that a draw stands for."""

from __future__ import annotations

import bisect
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Space:
    """Hold what a sweep searches.

    Args:
        parameters: what varies.
        constants: what does not, by path.
    """

    parameters: tuple[Parameter, ...]
    constants: Mapping[tuple[str, ...], Any] = field(default_factory=dict)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna draws, by name."""
        return {parameter.name: parameter.distribution for parameter in self.parameters}

    def searched(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of what varies, by dotted name; of a trial that was cut short those that were drawn."""
        return {p.name: p.value(draws[p.name]) for p in self.parameters if p.name in draws}

    def values(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        """Return all of a trial's settings as a command line takes them: nested where the sweep's file nests."""
        flat = {p.path: p.value(draws[p.name]) for p in self.parameters} | dict(self.constants)
        return nested(flat)

    def settings(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        """Return all of a trial's settings as a config has them: nested at every dot."""
        flat = {p.path: p.value(draws[p.name]) for p in self.parameters} | dict(self.constants)
        return nested({tuple(".".join(path).split(".")): value for path, value in flat.items()})

    def grid(self) -> Iterator[dict[str, Any]]:
        """Return all points, the last parameter varying fastest.

        Raises:
            ValueError: for a parameter whose values cannot be counted.
        """
        for parameter in self.parameters:
            if parameter.grid is None:
                raise ValueError(
                    f"parameters.{parameter.name}: a grid needs values, int_uniform or q_uniform; "
                    "give values, or take method random or bayes"
                )
        names = [p.name for p in self.parameters]
        for point in itertools.product(*(p.grid or () for p in self.parameters)):
            yield dict(zip(names, point, strict=True))


def space_of(parameters: Mapping[str, Mapping[str, Any]]) -> Space:
    """Read W&B's parameters.

    Raises:
        ValueError: for what cannot be drawn here; the message names the parameter and its distribution.
    """
    searched, constants = [], {}
    for path, told in _leaves(parameters, ()):
        if "value" in told:
            constants[path] = told["value"]
        else:
            searched.append(_parameter(path, told))
    return Space(tuple(searched), constants)


def nested(flat: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """Return a mapping of mappings: `{("a", "b"): 1}` is `{"a": {"b": 1}}`."""
    out: dict[str, Any] = {}
    for path, value in flat.items():
        place = out
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
    return out


def _leaves(
    parameters: Mapping[str, Any], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    for name, told in parameters.items():
        path = (*above, str(name))
        if not isinstance(told, Mapping):
            raise ValueError(f"parameters.{'.'.join(path)}: {told!r} is no description; write value: {told!r}")
        if "parameters" in told:
            yield from _leaves(told["parameters"], path)
        else:
            yield path, told


def _parameter(path: tuple[str, ...], told: Mapping[str, Any]) -> Parameter:
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
    grid = [low + k * q for k in range(math.ceil((high - low) / q))]  # without the end, as W&B counts it
    return Parameter(path, FloatDistribution(low, high), _rounding(q), grid=grid)


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
