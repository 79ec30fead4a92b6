"""The table of channels: what each of them is, which region it moves, which attributes it belongs to."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sat3d.generators import StyleSpace
from sat3d.metrics import Moments


@dataclass(frozen=True)
class ChannelTable:
    """Hold what was discovered about U channels.

    Args:
        style_space: names the channels.
        flat: flat index of each channel, (U,).
        moments: of the population, U columns.
        regions: names, K; none where no gradient maps were made.
        rate: share of a region's pictures in which it wins the channel, (U, K).
        region: each channel's region if it is locally active, else −1, (U,).
        attributes: names, A.
        theta: relevance, (U, A).
        direction: −1, 0 or 1: where the attribute becomes stronger, (U, A).

    Example:
        >>> table.best("smile/value", 5, local=True)
    """

    style_space: StyleSpace
    flat: Tensor
    moments: Moments
    regions: tuple[str, ...]
    rate: Tensor
    region: Tensor
    attributes: tuple[str, ...]
    theta: Tensor
    direction: Tensor

    def __len__(self) -> int:
        return len(self.flat)

    def best(self, attribute: str, count: int, local: bool = False) -> Tensor:
        """Return the rows of the channels of highest θ, falling; fewer where fewer are locally active."""
        theta = self.theta[:, self.attributes.index(attribute)]
        rows = self.region >= 0 if local else torch.ones_like(self.region, dtype=torch.bool)
        rows = rows.nonzero()[:, 0]
        return rows[theta[rows].argsort(descending=True, stable=True)[:count]]

    def strongest(self, region: str, count: int) -> Tensor:
        """Return the rows of a region's locally active channels, those it wins most often first."""
        k = self.regions.index(region)
        rows = (self.region == k).nonzero()[:, 0]
        return rows[self.rate[rows, k].argsort(descending=True, stable=True)[:count]]

    def name(self, row: int) -> str:
        """Return a channel's name, `layer/channel`, as `ChannelEditor` takes it."""
        layer, channel = self.style_space.locate(int(self.flat[row]))
        return f"{layer}/{channel}"

    def rows(self) -> list[dict[str, Any]]:
        """Return one record a channel: place, population, region and share, best attribute and θ, θ of every attribute.

        `region` is the one that wins it in the largest `share` of its pictures, `lead` is how far the second is behind,
        `local` whether both thresholds are passed; `direction` is that of the best attribute.
        """
        layers = {layer.name: layer for layer in self.style_space.layers}
        found = []
        for row in range(len(self)):
            name, channel = self.style_space.locate(int(self.flat[row]))
            record: dict[str, Any] = {
                "layer": name,
                "channel": channel,
                "flat": int(self.flat[row]),
                "kind": layers[name].kind,
                "resolution": layers[name].resolution,
                "mean": _round(self.moments.mean[row]),
                "std": _round(self.moments.std[row]),
                "minimum": _round(self.moments.minimum[row]),
                "maximum": _round(self.moments.maximum[row]),
            }
            found.append(record | self._regions_of(row) | self._attributes_of(row))
        return found

    def _regions_of(self, row: int) -> dict[str, Any]:
        if not self.regions:
            return {}
        rate = self.rate[row].nan_to_num(0.0)
        first, second = torch.cat([rate, rate.new_zeros(1)]).topk(2).values
        won = self.regions[int(rate.argmax())] if first > 0 else ""
        return {
            "region": won,
            "share": _round(first),
            "lead": _round(first - second),
            "local": int(self.region[row] >= 0),
        }

    def _attributes_of(self, row: int) -> dict[str, Any]:
        if not self.attributes:
            return {}
        best = int(self.theta[row].argmax())
        return {
            "attribute": self.attributes[best],
            "theta": _round(self.theta[row, best]),
            "direction": int(self.direction[row, best]),
            **{f"theta:{name}": _round(self.theta[row, a]) for a, name in enumerate(self.attributes)},
        }

    def write(self, folder: Path) -> list[Path]:
        """Write `channels.csv`, and `channels.parquet` where pyarrow is installed (the extra `parquet`)."""
        rows = self.rows()
        files = [folder / "channels.csv"]
        partial = files[0].with_suffix(".csv.part")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(files[0])
        try:
            arrow, parquet = (import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
        except ImportError:
            return files
        partial = folder / "channels.parquet.part"
        parquet.write_table(arrow.Table.from_pylist(rows), partial)
        return [*files, partial.replace(folder / "channels.parquet")]


def _round(value: Tensor) -> float:
    return float(f"{float(value):.6g}")
