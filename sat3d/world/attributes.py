"""The attributes of an embedded world: names, classes, phrases, correlations and colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import yaml

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Attribute:
    """Describe one attribute of a world.

    Args:
        name: a clear word, as the command line takes it ("hair_length").
        kind: "continuous" attributes take values in [0, 1]; "categorical" ones the index of a class.
        role: "editable" or "identity".
        classes: names of the classes; a continuous attribute has two, its low and its high half.
        probabilities: how often each class occurs; the bins of the uniform coordinate, in order.
        parts: the segmentation parts in which the attribute shows (any one of them suffices).
        phrases: for each class, noun phrases that fit "a head with ..." (an animal, a car); the first is the
            class's plainest name.
        adjectives: for some classes, words that fit "a ... head" (animal, car).
    """

    name: str
    kind: Literal["continuous", "categorical"]
    role: Literal["editable", "identity"]
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    parts: tuple[str, ...]
    phrases: Mapping[str, tuple[str, ...]]
    adjectives: Mapping[str, tuple[str, ...]]

    @property
    def edges(self) -> Floats:
        """Bounds of the classes' bins in (0, 1): one more than classes, from 0 to 1."""
        edges = np.concatenate([[0.0], np.cumsum(self.probabilities)])
        edges[-1] = 1.0
        return edges

    def class_index(self, value: float | str) -> int:
        """Turn a class name or number into its number.

        Raises:
            ValueError: if there is no such class; the message lists those there are.
        """
        if isinstance(value, str) and value in self.classes:
            return self.classes.index(value)
        if not isinstance(value, str) and value == int(value) and 0 <= int(value) < len(self.classes):
            return int(value)
        raise ValueError(f"{self.name} has no class {value!r}: choose from {', '.join(self.classes)}")


class AttributeTable:
    """Read the attributes of a world off its file `sat3d/world/<name>/attributes.yaml`.

    Args:
        name: of the world's folder.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def written(self) -> dict[str, Any]:
        """The table as it is written."""
        text = (resources.files("sat3d.world") / self.name / "attributes.yaml").read_text(encoding="utf-8")
        return cast(dict[str, Any], yaml.safe_load(text))

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Segmentation classes in the order of their numbers, the background first."""
        return tuple(self.written["parts"])

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes in the order of their coordinates."""
        return tuple(
            Attribute(
                name=row["name"],
                kind=row["kind"],
                role=row["role"],
                classes=tuple(row["classes"]),
                probabilities=tuple(row["classes"].values()),
                parts=tuple(row["parts"]),
                phrases={c: tuple(row["phrases"][c]) for c in row["classes"]},
                adjectives={c: tuple(words) for c, words in row.get("adjectives", {}).items()},
            )
            for row in self.written["attributes"]
        )

    @cached_property
    def correlations(self) -> Floats:
        """The correlation matrix of the attributes' normal scores, (A, A)."""
        index = {a.name: i for i, a in enumerate(self.attributes)}
        matrix = np.eye(len(index))
        for first, second, rho in self.written["correlations"]:
            matrix[index[first], index[second]] = matrix[index[second], index[first]] = rho
        return matrix

    def colours(self, name: str) -> Floats:
        """Give an attribute's colours as linear RGB in [0, 1], (classes, 3), in the order of the table."""
        codes = self.written["colours"][name].values()
        srgb = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in codes]) / 255.0
        return np.asarray(srgb**2.2)
