"""Uninterested regions: where an edit must not change the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sat3d.generators import Rendering
from sat3d.perception import RegionSource, load_observer
from sat3d.perception.parsing import PartParser
from sat3d.perception.regions import Regions

OPACITY_PARTS = ("background", "foreground")
NO_REGION = "none of them"


@dataclass(frozen=True)
class Background:
    """Say which pixels belong to the uninterested region B of L_bg; the paper's rule is unknown, all here are choices.

    Args:
        region: `parser` labels pixels by a part parser, `opacity` by rendered opacity (below 0.5 is background; 3-D
            only), `regions` by any other source of regions, such as clusters of activations, which need no labels;
            `none` switches L_bg off.
        parser: name or file of the part parser.
        regions: the other source. Of clusters, `cluster0` has the most pixels: on heads the background.
        parts: parts that are uninterested for every attribute.
        spare: by attribute, parts that are of interest when it is a target (hair, when hair is edited).
        both: B holds only pixels that are uninterested in source *and* reference, so that an attribute may grow over
            the source's background.
    """

    region: Literal["parser", "opacity", "regions", "none"] = "opacity"
    parser: str | None = None
    parts: tuple[str, ...] = ("background",)
    spare: dict[str, list[str]] = field(default_factory=dict)
    both: bool = False
    regions: RegionSource | None = None

    def __post_init__(self) -> None:
        given: Any = self.regions
        if isinstance(given, Mapping):  # from a checkpoint
            object.__setattr__(self, "regions", RegionSource.of(given))
        if (self.region == "regions") != (self.regions is not None):
            raise ValueError("background.regions: say where regions come from, with region: regions, and only there")


def background_parser(background: Background, is_3d: bool) -> tuple[PartParser | None, str]:
    """Return the part parser, if the background is labelled by one, and what labels it.

    Raises:
        ValueError: without the parser that the background needs, or with opacity and a 2-D generator.
    """
    if background.region == "parser":
        if background.parser is None:
            raise ValueError("background.parser: name a part parser, e.g. toyfaces-parser, or choose another region")
        parser = load_observer(background.parser)
        if not isinstance(parser, PartParser):
            raise ValueError(f"background.parser={background.parser!r} is no part parser")
        return parser, "parser"
    if background.region == "opacity" and not is_3d:
        raise ValueError("background.region='opacity' needs a 3-D generator; choose 'parser' or 'none'")
    return None, background.region


def uninterested(background: Background, attributes: Sequence[str], names: Sequence[str]) -> Bool[Tensor, "a parts"]:
    """Return, for every attribute, which labels are uninterested when it is the only target.

    Raises:
        ValueError: if the background names an unknown part or attribute.
    """
    spare: Mapping[str, Sequence[str]] = background.spare
    asked = {*background.parts, *(part for parts in spare.values() for part in parts)}
    if unknown := sorted(asked - set(names)):
        raise ValueError(f"background.parts, background.spare: unknown parts {unknown}; there are {', '.join(names)}")
    if unknown := sorted(set(spare) - set(attributes)):
        raise ValueError(f"background.spare: unknown attributes {unknown}; there are {', '.join(attributes)}")
    rows = [[n in background.parts and n not in spare.get(a, ()) for n in names] for a in attributes]
    return torch.tensor(rows)


def region_of(
    labels: Int[Tensor, "b h w"], table: Bool[Tensor, "a parts"], targets: Bool[Tensor, "b a"]
) -> Bool[Tensor, "b h w"]:
    """Return B for every pair: labels that are uninterested for all of its targets."""
    interested = (targets.to(torch.float32) @ (~table).to(targets.device, torch.float32)) > 0
    return (~interested).gather(1, labels.flatten(1).long()).view(labels.shape)


def opacity_labels(rendering: Rendering) -> Int[Tensor, "b h w"]:
    """Label pixels 0 (background) and 1 by rendered opacity, at the picture's resolution."""
    if rendering.opacity is None:
        raise ValueError("background.region='opacity' needs a 3-D generator; choose 'parser' or 'none'")
    size = rendering.image.shape[-2:]
    opacity = torch.nn.functional.interpolate(rendering.opacity, size, mode="bilinear", align_corners=False)
    return (opacity[:, 0] >= 0.5).to(torch.uint8)


def region_labels(rendering: Rendering, regions: Regions) -> Int[Tensor, "b h w"]:
    """Label pixels with regions, and those of none with the number behind the last, at the picture's resolution."""
    labels = regions.segment(rendering.image, rendering.features)
    labels = torch.where(labels < 0, len(regions.names), labels)[:, None].double()
    return torch.nn.functional.interpolate(labels, rendering.image.shape[-2:], mode="nearest-exact")[:, 0].to(
        torch.uint8
    )
