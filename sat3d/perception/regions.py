"""Semantic regions of pictures: what all sources of them share, and the part parser as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sat3d.perception.observer import Observer
from sat3d.perception.parsing import PartParser
from sat3d.perception.storage import load_observer

Groups = Mapping[str, Sequence[str]]
NO_FEATURES: Mapping[str, Tensor] = MappingProxyType({})


class Regions(Observer):
    """Label the pixels of pictures with regions.

    Subclasses implement `_classes_of`, and `fit` where there is something to learn.

    Args:
        classes: what `_classes_of` tells apart.
        groups: for each region the classes that it is made of; classes of no group are no region. By default every
            class is a region.
        features: layers of the generator whose activations `segment` needs.

    Attributes:
        names: of the regions.
        features: see the arguments.

    Raises:
        ValueError: for groups that are empty, share a class, or name one that does not exist.
    """

    table: Tensor

    def __init__(self, classes: Sequence[str], groups: Groups | None = None, features: Sequence[str] = ()) -> None:
        super().__init__()
        self.classes, self.features = tuple(classes), tuple(features)
        self.groups = {name: list(members) for name, members in groups.items()} if groups is not None else None
        self.names = self.classes if groups is None else tuple(groups)
        self.register_buffer("table", _table(self.classes, self.groups), persistent=False)

    @property
    def is_fitted(self) -> bool:
        """Whether `segment` may be called."""
        return True

    def describe(self) -> dict[str, Any]:
        """Return what tells regions, as plain data."""
        return {"kind": type(self).__name__, "classes": list(self.classes), "groups": self.groups}

    def fit(self, features: Mapping[str, Tensor], seed: int = 0) -> None:
        """Learn the regions, where there is anything to learn.

        Args:
            features: activations (N, C, h, w) of the layers in `self.features`, by name.
            seed: of the random numbers.
        """

    @torch.no_grad()
    def segment(
        self, images: Float[Tensor, "b 3 y x"], features: Mapping[str, Tensor] = NO_FEATURES
    ) -> Int[Tensor, "b h w"]:
        """Return the number of each pixel's region in `names`, −1 for none, int64, at the source's own resolution.

        Args:
            images: in [-1, 1], (B, 3, H, W).
            features: activations (B, C, h, w) of the same pictures, by layer name.

        Raises:
            RuntimeError: before `fit`, where that is needed.
            ValueError: for missing activations.
        """
        labels: Tensor = self.table[self._classes_of(images, features)]
        return labels

    def _classes_of(self, images: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        """Return the number of each pixel's class."""
        raise TypeError(f"{type(self).__name__} labels nothing")


class ParserRegions(Regions):
    """Take the parts of a part parser for regions.

    Args:
        parser: name or file of the parser, as `load_observer` takes it.
        groups: see `Regions`.

    Raises:
        ValueError: if that is no part parser, or the groups do not fit.

    Example:
        >>> regions = ParserRegions("toyfaces-parser", {"face": ["skin", "nose", "mouth"], "hair": ["hair"]})
        >>> regions.segment(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 64, 64])
    """

    def __init__(self, parser: str, groups: Groups | None = None) -> None:
        observer = load_observer(parser)
        if not isinstance(observer, PartParser):
            raise ValueError(f"regions.parser={parser!r} is no part parser; toyfaces-parser, for one, is")
        super().__init__(observer.parts, groups)
        self.parser = observer
        self.freeze()

    def describe(self) -> dict[str, Any]:
        """Return what tells regions, as plain data."""
        return {**super().describe(), "parser": self.parser.describe()}

    def _classes_of(self, images: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        return self.parser.segment(images)


def _table(classes: Sequence[str], groups: Groups | None) -> Int[Tensor, " classes"]:
    """Return each class's number of region, −1 for none."""
    if groups is None:
        return torch.arange(len(classes))
    table = torch.full((len(classes),), -1)
    for i, (region, members) in enumerate(groups.items()):
        if unknown := [name for name in members if name not in classes]:
            raise ValueError(f"regions.groups: {region} has unknown classes {unknown}; there are {', '.join(classes)}")
        if not members:
            raise ValueError(f"regions.groups: {region} is empty")
        for name in members:
            if table[at := classes.index(name)] >= 0:
                raise ValueError(f"regions.groups: {name} is in more than one group")
            table[at] = i
    return table
