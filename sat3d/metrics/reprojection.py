"""Agreement of views: one view of a scene, warped into another by the generator's depth."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import grid_sample

from sat3d.ops.camera import Camera

OCCLUSION = 0.02
"""Share of its distance that a point may lie behind what the other view shows there, and still count as seen."""


def warped_view(
    image: Float[Tensor, "b 3 h w"],
    depth: Float[Tensor, "b 1 h w"],
    camera: Camera,
    other_image: Float[Tensor, "b 3 h w"],
    other_depth: Float[Tensor, "b 1 h w"],
    other_camera: Camera,
) -> tuple[Float[Tensor, "b 3 h w"], Bool[Tensor, "b 1 h w"]]:
    """Look through one camera at what another one showed.

    Every pixel's ray is followed to its depth, and the point is projected into the other view. Points that the other
    view does not show, because they lie outside or behind something, are not seen.

    Args:
        image: tells the size of the pictures.
        depth: distance along the rays, infinite where there is nothing, world units.
        camera: one, or one for each picture.
        other_image: what the other camera showed.
        other_depth: at what distance.
        other_camera: one, or one for each picture.

    Returns:
        the other view as seen from here, and where that is known.
    """
    count, side = len(image), image.shape[-1]
    camera, other_camera = camera.expand(count), other_camera.expand(count)
    origins, directions = camera.rays(side)
    distance = depth.reshape(count, -1, 1)
    finite = distance.isfinite()
    points = origins + directions * torch.where(finite, distance, 1.0)
    place, behind = other_camera.project(points)
    grid = (2 * place - 1).reshape(count, side, side, 2)
    options = {"mode": "bilinear", "padding_mode": "border", "align_corners": False}
    sampled = grid_sample(other_image, grid, **options)  # type: ignore[arg-type]
    near = grid_sample(other_depth.nan_to_num(posinf=1e6), grid, **{**options, "mode": "nearest"})  # type: ignore[arg-type]
    travelled = (points - other_camera.cam2world[:, None, :3, 3]).norm(dim=-1).reshape(count, 1, side, side)
    inside = (place.min(-1).values >= 0) & (place.max(-1).values <= 1) & (behind > 0)
    seen = finite[..., 0] & inside
    return sampled, seen.reshape(count, 1, side, side) & (travelled <= near * (1 + OCCLUSION))


def reprojection_error(
    image: Float[Tensor, "b 3 h w"],
    depth: Float[Tensor, "b 1 h w"],
    camera: Camera,
    other_image: Float[Tensor, "b 3 h w"],
    other_depth: Float[Tensor, "b 1 h w"],
    other_camera: Camera,
) -> Float[Tensor, " b"]:
    """Return the mean absolute difference of colours (0 to 1) between a view and another one warped into it.

    Pixels that both show count; NaN where there are none. Arguments are those of `warped_view`.
    """
    sampled, seen = warped_view(image, depth, camera, other_image, other_depth, other_camera)
    gap = (image.clamp(-1, 1) - sampled.clamp(-1, 1)).abs().mean(1, keepdim=True) / 2
    return (gap * seen).sum((1, 2, 3)) / seen.sum((1, 2, 3))
