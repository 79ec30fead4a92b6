"""Regions without labels: clusters of a generator's activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sat3d.ops.kmeans import assign, spherical_kmeans
from sat3d.perception.regions import Groups, Regions


class ClusterRegions(Regions):
    """Take clusters of a layer's activations for regions (Collins et al. 2020, arXiv 2004.14367, §3).

    The activations at a pixel are a direction, and pixels are grouped by spherical k-means. `cluster0` has the most
    pixels of those that were clustered. The layer has to see the picture's own pixels: in a 3-D generator `renderer`
    or the super-resolution, as the backbone makes planes.

    Args:
        clusters: how many.
        layer: whose activations.
        groups: clusters that belong together, by hand; see `Regions`.

    Attributes:
        centres: unit vectors (clusters, C), C = 0 before `fit`; part of the state dict.

    Example:
        >>> regions = ClusterRegions(2, "renderer")
        >>> regions.fit({"renderer": torch.randn(4, 8, 16, 16)})
        >>> regions.segment(torch.zeros(1, 3, 64, 64), {"renderer": torch.randn(1, 8, 16, 16)}).shape
        torch.Size([1, 16, 16])
    """

    centres: Tensor

    def __init__(self, clusters: int, layer: str, groups: Groups | None = None) -> None:
        super().__init__([f"cluster{i}" for i in range(clusters)], groups, (layer,))
        self.register_buffer("centres", torch.zeros(clusters, 0))

    @property
    def is_fitted(self) -> bool:
        """Whether `segment` may be called."""
        return self.centres.shape[1] > 0

    def describe(self) -> dict[str, Any]:
        """Return what tells regions, as plain data."""
        return {**super().describe(), "layer": self.features[0]}

    def fit(self, features: Mapping[str, Tensor], seed: int = 0) -> None:
        """Find the clusters of activations (N, C, h, w); see `Regions.fit`."""
        pixels = self._activations(features).movedim(1, -1)
        with torch.autocast(pixels.device.type, enabled=False):
            found = spherical_kmeans(pixels.flatten(0, 2), len(self.classes), seed)
        self.centres = found.centres.to(self.centres.device)

    def _classes_of(self, images: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        if not self.is_fitted:
            raise RuntimeError(f"the clusters of {self.features[0]!r} are not found yet: call fit first")
        pixels = self._activations(features).movedim(1, -1)
        with torch.autocast(pixels.device.type, enabled=False):  # bfloat16 cannot tell near centres apart
            return assign(pixels.flatten(0, 2), self.centres).view(pixels.shape[:3])

    def _activations(self, features: Mapping[str, Tensor]) -> Tensor:
        (layer,) = self.features
        if layer not in features:
            given = ", ".join(features) or "none"
            raise ValueError(
                f"regions need the activations of {layer!r}, not {given}: synthesize(features=…) gives them"
            )
        return features[layer]

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Make room for centres that another process found."""
        saved = state_dict.get(f"{prefix}centres")
        if saved is not None and len(saved) == len(self.centres):
            self.centres = self.centres.new_zeros(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)  # type: ignore[arg-type]
