"""What a sweep searches: its parameters together, as draws, as a command line and as a config."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution

from sat3d.sweeps.distributions import Parameter, parameter_of


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
            searched.append(parameter_of(path, told))
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
