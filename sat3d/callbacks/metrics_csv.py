"""`metrics.csv` of a run that can be gone on with."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment  # type: ignore[attr-defined]

from sat3d.visualization import replacing


class MetricsCSV(CSVLogger):
    """Write metrics as Lightning's `CSVLogger`, keep the rows that are there, and never leave half a file.

    Args:
        save_dir: the run folder.
        **kwargs: of `CSVLogger`.
    """

    def __init__(self, save_dir: str, **kwargs: Any) -> None:
        super().__init__(save_dir, **{"name": "", "version": "", **kwargs})

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer; where it is made, rows of the file are kept."""
        if self._experiment is None:
            path = Path(self.log_dir) / "metrics.csv"
            old = path.read_bytes() if path.is_file() else None
            writer: Any = CSVLogger.experiment.fget(self)  # type: ignore[attr-defined]
            writer._rewrite_with_new_header = self._rewrite
            if old is not None:
                with replacing(path) as temporary:
                    temporary.write_bytes(old)
                writer.metrics_keys = list(self._read()[0])
        return self._experiment

    def go_on(self, until: int) -> None:
        """Keep the rows of steps below `until` only, and of them what is whole."""
        writer = self.experiment
        if Path(writer.metrics_file_path).is_file():
            self._write(*self._read(until))

    def _rewrite(self, fieldnames: Sequence[str]) -> None:
        self._write(fieldnames, self._read()[1])

    def _read(self, until: float = float("inf")) -> tuple[Sequence[str], list[dict[str, str]]]:
        with Path(self.log_dir, "metrics.csv").open(newline="") as file:
            reader = csv.DictReader(file)
            rows = [row for row in reader if str(row.get("step")).isdecimal() and int(row["step"]) < until]
            return reader.fieldnames or [], rows

    def _write(self, fieldnames: Sequence[str], rows: list[dict[str, str]]) -> None:
        with replacing(Path(self.log_dir, "metrics.csv")) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=fieldnames, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
