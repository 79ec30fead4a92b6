"""The choice of what tells regions, as a configuration file writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sat3d.perception.cluster_regions import ClusterRegions
from sat3d.perception.network_regions import NetworkRegions, ParsingNetwork
from sat3d.perception.regions import ParserRegions, Regions


@dataclass(frozen=True)
class RegionSource:
    """Choose what tells the regions of pictures: exactly one of `parser`, `network` and `clusters`.

    Args:
        parser: name or file of a part parser.
        network: any other parsing network.
        clusters: how many clusters of a layer's activations.
        groups: by region, the classes (parts, clusters) that it is made of; what is in no group is no region. By
            default each class is one.
        layer: `clusters` only, and needed there: whose activations. `renderer`, the ray-marched features, in a 3-D
            generator; a layer of 32 px, e.g. `synthesis.b32.conv1`, in a 2-D one.
        codes: `clusters` only: codes whose activations are clustered; 64 where it is not given.

    Raises:
        ValueError: for none or several sources, or options of another one.

    Example:
        >>> RegionSource(parser="toyfaces-parser", groups={"hair": ["hair"]}).build().names
        ('hair',)
    """

    parser: str | None = None
    network: ParsingNetwork | None = None
    clusters: int | None = None
    groups: dict[str, list[str]] | None = None
    layer: str | None = None
    codes: int | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("parser", "network", "clusters") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "regions: give exactly one of parser (a name), network (a parsing network) and clusters (how many), "
                f"not {' and '.join(given) or 'none'}"
            )
        if self.clusters is None:
            for name in ("layer", "codes"):
                if (value := getattr(self, name)) is not None:
                    raise ValueError(f"regions.{name}={value!r} is for clusters; {given[0]} needs none")
            return
        if self.layer is None:
            raise ValueError("regions.clusters needs regions.layer, e.g. renderer (3-D) or synthesis.b32.conv1 (2-D)")
        codes = 64 if self.codes is None else self.codes
        if min(self.clusters, codes) < 1:
            raise ValueError(f"regions: clusters={self.clusters} and codes={codes} must be positive")
        object.__setattr__(self, "codes", codes)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> RegionSource:
        """Return the choice that plain data tells, as `dataclasses.asdict` writes it."""
        network = settings.get("network")
        return cls(**{**settings, "network": ParsingNetwork(**network) if isinstance(network, Mapping) else network})

    def build(self) -> Regions:
        """Load what tells regions; clusters are still to be found, by `fit`."""
        if self.parser is not None:
            return ParserRegions(self.parser, self.groups)
        if self.network is not None:
            return NetworkRegions(self.network, self.groups)
        assert self.clusters is not None and self.layer is not None
        return ClusterRegions(self.clusters, self.layer, self.groups)
