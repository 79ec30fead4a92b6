"""What a comparison looks with: frozen observers, and what they tell of pictures before and after an edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from sat3d.metrics import change_inside, feature_distance, lab_errors, reprojection_error
from sat3d.ops.camera import Camera
from sat3d.perception import IdentityEmbedder, PartParser, PerceptualNetwork, Scorer
from sat3d.world import World


class Sight(NamedTuple):
    """Hold pictures of one camera, and the depth where there is one."""

    image: Tensor
    depth: Tensor | None

    def rows(self, chosen: Tensor) -> Sight:
        """Return some of them."""
        return Sight(self.image[chosen], None if self.depth is None else self.depth[chosen])


@dataclass(frozen=True)
class Eyes:
    """Gather the frozen observers of a comparison; those that are `None` leave their measures out.

    Args:
        labeller: chooses strengths.
        judge: grades.
        identity: tells how far identities move.
        perceptual: tells how differently pictures look.
        parser: tells regions.
        parts: for each attribute the parser's parts in which it shows.
        world: knows the ideal edit, for generators of the embedded world.
    """

    labeller: Scorer
    judge: Scorer
    identity: IdentityEmbedder | None = None
    perceptual: PerceptualNetwork | None = None
    parser: PartParser | None = None
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    world: World | None = None

    def perceived(self, a: Float[Tensor, "n 3 h w"], b: Float[Tensor, "n 3 h w"]) -> Float[Tensor, " n"]:
        """Return the perceptual distance of pictures."""
        network = self.perceptual
        assert network is not None
        return feature_distance(network.activations(a), network.activations(b), network.layer_weights)

    def features(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n f"]:
        """Return features by which sets of pictures are compared."""
        assert self.perceptual is not None
        return self.perceptual.activations(images)[-1].mean((2, 3))

    def across_views(
        self, before: tuple[Sight, Sight], after: tuple[Sight, Sight], cameras: tuple[Camera, Camera]
    ) -> dict[str, Float[Tensor, " n"]]:
        """Tell how much further apart two views of an edit are than two of the source: in identity, and in colour."""
        told = {}
        if (identity := self.identity) is not None:
            old, new = (1 - identity.similarity(a.image, b.image) for a, b in (before, after))
            told["view_identity"] = new - old
        old, new = (
            reprojection_error(*_coloured_depth(a), cameras[0], *_coloured_depth(b), cameras[1])
            for a, b in (before, after)
        )
        told["view_colour"] = 1000 * (new - old)
        return told

    def locality(
        self, attribute: str, before: Float[Tensor, "n 3 h w"], after: Float[Tensor, "n 3 h w"]
    ) -> dict[str, Float[Tensor, " n"]]:
        """Tell where colours change: in the region of an attribute, or outside."""
        weights = self.region(attribute, before, after)
        inside, outside = lab_errors(before, after, weights)
        return {
            "inside": change_inside(before, after, weights),
            "lab_inside": 1000 * inside,
            "lab_outside": 1000 * outside,
        }

    def region(
        self, attribute: str, before: Float[Tensor, "n 3 h w"], after: Float[Tensor, "n 3 h w"]
    ) -> Float[Tensor, "n 1 h w"]:
        """Return where an attribute shows in one of two pictures, as the parser sees them."""
        parser = self.parser
        assert parser is not None
        numbers = torch.tensor([parser.parts.index(part) for part in self.parts[attribute]], device=before.device)
        shown = torch.isin(parser.segment(before), numbers) | torch.isin(parser.segment(after), numbers)
        return shown[:, None].to(before)


def _coloured_depth(sight: Sight) -> tuple[Tensor, Tensor]:
    """Return a picture as large as its depth, and the depth."""
    assert sight.depth is not None
    return adaptive_avg_pool2d(sight.image, sight.depth.shape[-1]), sight.depth
