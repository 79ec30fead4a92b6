"""Labels made of scores or a file's columns: scaled to [-1, 1], one-hot for categories, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.data.labels import Label
from sat3d.data.schema import Attribute, Schema

UNDECIDED = -1.0
"""The class number where no class reaches the threshold."""


class LabelCoder:
    """Turn a source's rows into values of attributes, these into labels, and labels back into values.

    A value is in the source's own unit, or a class's number. Labels of continuous values run from −1 at the least to 1
    at the most of the training rows, of others beyond; categories are 1 at their class and −1 elsewhere. What is
    missing becomes the training rows' mean of the label.

    Args:
        plan: lines, or names of attributes; `None` for all attributes of the source.
        schema: the source's columns.

    Attributes:
        attributes: names, (A,).
        columns: for each attribute its columns among the K labels, by class.
        width: K.
        ranges: least and most of each continuous attribute in the training rows.

    Raises:
        ValueError: for lines that do not fit the source; the message names the line.
    """

    def __init__(self, plan: Sequence[Label | str] | None, schema: Schema) -> None:
        chosen = schema.attributes if plan is None else plan
        self.lines = [Label(line) if isinstance(line, str) else line for line in chosen]
        self.attributes = tuple(line.name for line in self.lines)
        if not self.lines or len(set(self.attributes)) < len(self.lines):
            raise ValueError(f"labels: every attribute once, and at least one; found {', '.join(self.attributes)}")
        self.schema = schema
        self.found = [line.resolve(schema) for line in self.lines]
        self.columns: dict[str, dict[str, list[int]]] = {}
        self.width = 0
        for line, found in zip(self.lines, self.found, strict=True):
            starts = range(self.width, self.width + line.repeat * len(found.classes), line.repeat)
            self.columns[line.name] = {
                k: list(range(start, start + line.repeat)) for k, start in zip(found.classes, starts, strict=True)
            }
            self.width += line.repeat * len(found.classes)
        self.ranges: dict[str, tuple[float, float]] = {}
        self._means = torch.zeros(self.width)

    def fit(self, values: Float[Tensor, "n a"]) -> None:
        """Take ranges and means from the training rows' values.

        Raises:
            ValueError: for attributes without a value, or with one value only.
        """
        for k, (line, found) in enumerate(zip(self.lines, self.found, strict=True)):
            column = values[:, k]
            known = column[~column.isnan()]
            if not len(known):
                raise ValueError(f"labels: {line.name}: none of the {len(values)} training rows has a value")
            if found.kind == "continuous":
                low, high = (0.0, 1.0) if line.threshold is not None else (float(known.min()), float(known.max()))
                if low == high:
                    raise ValueError(f"labels: {line.name}: all training rows have the value {low}; leave it out")
                self.ranges[line.name] = low, high
        self._means = self._scaled(values).double().nanmean(0).float()

    def values(self, rows: np.ndarray) -> Float[Tensor, "n a"]:
        """Read attributes off a source's rows (N, P): values, class numbers, NaN where they are missing; float64.

        Raises:
            ValueError: for infinite values, and class numbers that have no name.
        """
        if np.isinf(rows).any():
            row, column = np.argwhere(np.isinf(rows))[0]
            raise ValueError(f"labels: row {row} of column {self.schema.columns[column]!r} is infinite")
        parts = [self._read(rows, line, found) for line, found in zip(self.lines, self.found, strict=True)]
        return torch.from_numpy(np.stack(parts, axis=1))

    def _read(self, rows: np.ndarray, line: Label, found: Attribute) -> np.ndarray:
        part = rows[:, list(found.columns)].astype(np.float64)
        if self.schema.log_odds and not line.log_odds:
            part = torch.from_numpy(part).sigmoid().numpy()
        missing = np.asarray(np.isnan(part).any(axis=1))
        if part.shape[1] > 1:
            best = np.where(missing[:, None], 0, part)
            number = best.argmax(1).astype(np.float64)
            if line.threshold is not None:
                number[best.max(1) < line.threshold] = UNDECIDED
            return np.where(missing, np.nan, number)
        single: np.ndarray = part[:, 0]
        binary = found.kind == "categorical" and self.schema.log_odds
        if line.threshold is not None or binary:
            return np.where(missing, np.nan, single >= (0.5 if line.threshold is None else line.threshold))
        if found.kind == "categorical":
            strange = ~missing & ~np.isin(single, np.arange(len(found.classes)))
            if strange.any():
                row, last = int(strange.argmax()), len(found.classes) - 1
                raise ValueError(f"labels: {line.name}: row {row} is {single[row]}, no class number 0…{last}")
        return single

    def scores(self, rows: np.ndarray, values: Float[Tensor, "n a"]) -> Float[Tensor, "n k"]:
        """Return by what codes are ranked, for each label's column: log-odds, where rows hold them, else the labels.

        Of one-hot labels all codes of a class are alike; their log-odds tell which show most of it.
        """
        if not self.schema.log_odds:
            return self._scaled(values)
        parts = []
        for line, found in zip(self.lines, self.found, strict=True):
            part = torch.from_numpy(rows[:, list(found.columns)]).float()
            if part.shape[1] < len(found.classes):  # one column of two classes
                part = torch.cat([-part, part], dim=1)
            parts.append(part.repeat_interleave(line.repeat, dim=1))
        return torch.cat(parts, dim=1)

    def scale(self, values: Float[Tensor, "n a"]) -> Float[Tensor, "n k"]:
        """Turn values into labels, float32; what is missing becomes the training rows' mean."""
        labels = self._scaled(values)
        return torch.where(labels.isnan(), self._means.to(labels), labels)

    def _scaled(self, values: Tensor) -> Tensor:
        parts = []
        for k, (line, found) in enumerate(zip(self.lines, self.found, strict=True)):
            column = values[:, k, None]
            if found.kind == "continuous":
                low, high = self.ranges[line.name]
                part = 2 * (column - low) / (high - low) - 1
            else:
                part = 2 * (column == torch.arange(len(found.classes)).to(column)).to(column) - 1
                part = torch.where(column.isnan(), column, part)
            parts.append(part.repeat_interleave(line.repeat, dim=1))
        return torch.cat(parts, dim=1).float()

    def unscale(self, labels: Float[Tensor, "n k"]) -> Float[Tensor, "n a"]:
        """Turn labels, or a method's guesses at them, into values: of categories the number of the highest class."""
        parts = []
        for line, found in zip(self.lines, self.found, strict=True):
            places = self.columns[line.name]
            part = torch.stack([labels[:, places[k]].mean(1) for k in found.classes], dim=1)
            if found.kind == "continuous":
                low, high = self.ranges[line.name]
                parts.append((part[:, 0] + 1) / 2 * (high - low) + low)
                continue
            best = part.max(1)
            number = best.indices.to(part)
            undecided = line.threshold is not None and len(found.columns) > 1
            parts.append(torch.where(best.values <= 0, UNDECIDED, number) if undecided else number)
        return torch.stack(parts, dim=1)
