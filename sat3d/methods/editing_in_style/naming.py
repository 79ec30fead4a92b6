"""What clusters are called: by hand, or by the part of a parser that has most of their pixels."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from sat3d.metrics import agreement, part_overlap


@dataclass(frozen=True)
class Catalogue:
    """Hold K clusters, their names and how pure they are.

    Args:
        classes: names of the clusters, or of a parser's parts, K.
        groups: parts by hand, and the clusters that each is made of.
        parts: names of the parser's parts, P; one without a meaning if there is no parser.
        counts: pixels of every cluster and part, (K, P).

    Example:
        >>> catalogue.members("hair")
        ['cluster0', 'cluster7']
    """

    classes: tuple[str, ...]
    groups: Mapping[str, Sequence[str]]
    parts: tuple[str, ...]
    counts: Tensor

    def names(self) -> list[str]:
        """Return each cluster's name: its group's, its part's, or its own."""
        by_hand = {member: name for name, members in self.groups.items() for member in members}
        called = agreement(self.counts).part.tolist()
        parts = [self.parts[p] if self.parts and p >= 0 else None for p in called]
        return [by_hand.get(c) or p or c for c, p in zip(self.classes, parts, strict=True)]

    def titles(self) -> list[tuple[str, str]]:
        """Return each cluster's own name, and what it is called."""
        return list(zip(self.classes, self.names(), strict=True))

    def members(self, name: str) -> list[str]:
        """Return the clusters that a name stands for: a group's, those called so, the cluster itself.

        A part of the parser that no cluster is called by takes the cluster that overlaps it most.
        """
        if name in self.groups:
            return list(self.groups[name])
        called = [c for c, n in zip(self.classes, self.names(), strict=True) if n == name]
        if called or name in self.classes:
            return called or [name]
        overlap = part_overlap(self.counts)[:, self.parts.index(name)]
        return [self.classes[int(overlap.argmax())]]

    def rows(self) -> list[dict[str, object]]:
        """Return a record for each cluster: name, share of the pixels, the parser's part and the cluster's purity."""
        found, names = agreement(self.counts), self.names()
        records: list[dict[str, object]] = []
        for k, cluster in enumerate(self.classes):
            row: dict[str, object] = {"cluster": cluster, "name": names[k], "share": round(float(found.share[k]), 6)}
            if self.parts:
                part = int(found.part[k])
                row |= {"part": self.parts[part] if part >= 0 else "", "purity": round(float(found.purity[k]), 6)}
            records.append(row)
        return records

    def write(self, folder: Path) -> None:
        """Write `catalogue.csv`."""
        rows = self.rows()
        with (folder / "catalogue.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
