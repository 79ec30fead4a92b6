"""Where labelled codes come from: what all sources have in common, and files of codes and labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from sat3d.data.schema import Schema
from sat3d.data.tables import Table, read_codes, read_table
from sat3d.generators import Generator, load_generator
from sat3d.ops.camera import Camera

Space = Literal["w", "z", "s"]


def code_width(generator: Generator, space: Space) -> int:
    """Return how many numbers a generator's code has in a space: one w, z, or a flat style vector."""
    return {"w": generator.w_dim, "z": generator.z_dim, "s": generator.style_space.size}[space]


class LatentSource(ABC):
    """Hold N codes and what is known of each.

    Attributes:
        space: of the codes.
    """

    space: Space

    @abstractmethod
    def __len__(self) -> int:
        """Return N, without making any of them."""

    @property
    @abstractmethod
    def schema(self) -> Schema:
        """The columns' names, without making any of their values."""

    @abstractmethod
    def prepare(self, device: torch.device | str | None = None, progress: bool = True) -> None:
        """Make what is dear and not yet kept; several processes may do so at once.

        Args:
            device: where to.
            progress: show a bar.
        """

    @property
    @abstractmethod
    def codes(self) -> np.ndarray:
        """(N, D), float32."""

    @property
    @abstractmethod
    def values(self) -> np.ndarray:
        """(N, P), by column of the schema."""

    def camera(self, index: Int[Tensor, " b"]) -> Camera | None:
        """Return one camera for each code number; `None` where there is none."""
        return None


class LatentFiles(LatentSource):
    """Read codes and labels from files: `.npy`, `.npz`, `.safetensors`, `.csv`, or pickles of plain data.

    Where a file holds several arrays, `#name` behind its name chooses one. Axes of length 1 are dropped, and W+ codes
    with equal layers become w; a column of text becomes class numbers. Pickles are read without executing anything.

    Args:
        codes: file of codes: (N, D), (N, 1, D), (N, layers, D), (N, 1, layers, D).
        labels: file of labels, (N, P), (N, P, 1) or columns by name; or several, whose columns stand side by side.
        columns: names of the labels' columns; may be left out where the files have them.
        space: of the codes.
        generator: whose codes they are, to have their width checked; `null` leaves that to the method.

    Raises:
        ValueError: for what does not fit together; the message names the option and both numbers.
        FileNotFoundError: if a file does not exist.
    """

    def __init__(
        self,
        codes: str,
        labels: str | list[str],
        columns: list[str] | None = None,
        space: Space = "w",
        generator: str | None = None,
    ) -> None:
        self.codes_file, self.space, self.generator_name = codes, space, generator
        self.label_files, self.column_names = [labels] if isinstance(labels, str) else list(labels), columns
        if not self.label_files:
            raise ValueError("labels names no file")

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def codes(self) -> np.ndarray:
        """(N, D), float32."""
        codes = read_codes(self.codes_file)
        if self.generator_name is not None:
            wanted = code_width(load_generator(self.generator_name), self.space)
            if codes.shape[1] != wanted:
                raise ValueError(
                    f"codes={self.codes_file!r} are {codes.shape[1]} wide; those of space {self.space!r} of "
                    f"generator={self.generator_name!r} are {wanted}"
                )
        return codes

    @cached_property
    def _table(self) -> Table:
        tables = [read_table(file) for file in self.label_files]
        for file, table in zip(self.label_files, tables, strict=True):
            if len(table.values) != len(self.codes):
                raise ValueError(
                    f"codes={self.codes_file!r} has {len(self.codes)} rows, labels={file!r} has {len(table.values)}"
                )
        values = np.concatenate([table.values for table in tables], axis=1)
        starts = np.cumsum([0, *(table.values.shape[1] for table in tables)]).tolist()
        classes = {start + k: c for start, t in zip(starts, tables, strict=False) for k, c in t.classes.items()}
        names = self._names(tables, values.shape[1])
        if len(set(names)) != len(names):
            raise ValueError(f"columns: a name stands twice among {', '.join(names)}")
        return Table(values, names, classes)

    def _names(self, tables: Sequence[Table], count: int) -> tuple[str, ...]:
        if self.column_names is not None:
            if len(self.column_names) != count:
                raise ValueError(f"columns names {len(self.column_names)} columns, labels have {count}")
            return tuple(self.column_names)
        for file, table in zip(self.label_files, tables, strict=True):
            if table.names is None:
                raise ValueError(f"labels={file!r} does not name its columns: give the names of all {count} as columns")
        return tuple(name for table in tables for name in table.names or ())

    @property
    def schema(self) -> Schema:
        """The files' columns."""
        table = self._table
        assert table.names is not None
        return Schema.of_columns(table.names, {table.names[k]: texts for k, texts in table.classes.items()})

    def prepare(self, device: torch.device | str | None = None, progress: bool = True) -> None:
        """Check that everything is there."""
        assert len(self._table.values) == len(self)

    @property
    def values(self) -> np.ndarray:
        """(N, P), float64."""
        return self._table.values
