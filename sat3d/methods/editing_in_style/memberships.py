"""Memberships: which region each position of a layer's activations belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from sat3d.generators import Rendering
from sat3d.generators.stylegan2 import StyledGenerator
from sat3d.ops.camera import Camera
from sat3d.ops.triplane import project_to_planes

SOLID = 0.5  # opacity from which on a ray has met something


@contextmanager
def scaled_activations(generator: StyledGenerator, layers: Sequence[str]) -> Iterator[dict[str, list[Tensor]]]:
    """Collect what the styles of layers scale while the generator runs: the layers' inputs, by name, in parts.

    A style of StyleGAN2 scales the input channels of its layer: the output of the convolution before it, the constant
    in the first layer, and the ray-marched features in the first of a super-resolution. (In the paper's StyleGAN a
    style scales the output of its own layer, after InstanceNorm.)

    Example:
        >>> with scaled_activations(G, G.style_space.names[:1]) as seen:
        ...     out = G.synthesize(s, camera)
        >>> torch.cat(seen[G.style_space.names[0]]).shape
    """
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}
    hooks = [  # forward hooks, not pre-hooks: where there is one the generator does not overwrite a layer's input
        layer.register_forward_hook(lambda _, inputs, __, name=name: seen[name].append(inputs[0].detach()))  # type: ignore[misc]
        for name, layer, *_ in generator.named_styled_layers()
        if name in seen
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def resized_labels(labels: Int[Tensor, "b h w"], side: int) -> Int[Tensor, "b s s"]:
    """Resize label maps to a side: each cell takes the label at its centre."""
    return F.interpolate(labels[:, None].double(), (side, side), mode="nearest-exact")[:, 0].long()


def picture_members(labels: Int[Tensor, "b h w"], regions: int, side: int) -> Float[Tensor, "b k s s"]:
    """Return the regions' shares of a layer that sees the picture's pixels: 1 or 0; label −1 is no region's."""
    numbers = torch.arange(regions, device=labels.device)[:, None, None]
    return (resized_labels(labels, side)[:, None] == numbers).float()


def plane_members(
    points: Float[Tensor, "b n 3"],
    labels: Int[Tensor, "b n"],
    regions: int,
    side: int,
    axes: Float[Tensor, "p 3 3"],
    box_warp: float,
) -> Float[Tensor, "b k s s"]:
    """Return the regions' shares of a layer whose maps are planes.

    The layers of the backbone are shared by all planes, so that a cell's share of a region is that among all points
    that fall on it in any of the planes.

    Args:
        points: on the surface, world units.
        labels: region of each point; −1 for none.
        regions: K.
        side: of the layer.
        axes: of the planes, as `project_to_planes` takes them.
        box_warp: side of the cube that the planes cover, world units.

    Returns:
        Shares that sum to 1 where anything fell, and to 0 where nothing did.
    """
    at = project_to_planes(axes, points * (2 / box_warp))
    cell = ((at + 1) * (side / 2)).floor().long()
    hit = ((cell >= 0) & (cell < side)).all(-1) & (labels >= 0)[:, None]
    column, row = cell.clamp(0, side - 1).unbind(-1)
    start = torch.arange(len(points), device=points.device)[:, None, None] * regions + labels.clamp_min(0)[:, None]
    flat = (start * side + row) * side + column
    counts = flat[hit].bincount(minlength=len(points) * regions * side * side).view(-1, regions, side, side).float()
    return counts / counts.sum(1, keepdim=True).clamp_min(1)


def surface(
    out: Rendering, labels: Int[Tensor, "b h w"], camera: Camera
) -> tuple[Float[Tensor, "b n 3"], Int[Tensor, "b n"]]:
    """Carry a picture's labels to the surface that it shows: point = origin + depth · direction.

    Returns:
        Points (B, N, 3), N rays a picture, and their labels (B, N); −1 where the ray met nothing (opacity ≤ 0.5).
    """
    assert out.depth is not None and out.opacity is not None
    origins, directions = camera.expand(len(labels)).to(labels.device).rays(out.depth.shape[-1])
    points = origins + out.depth.flatten(2).mT * directions
    seen = resized_labels(labels, out.depth.shape[-1]).flatten(1)
    return points, torch.where(out.opacity.flatten(1) > SOLID, seen, -1)


def region_gradients(
    image: Float[Tensor, "b 3 h w"], styles: Float[Tensor, "b c"], members: Float[Tensor, "b k h w"], signs: Tensor
) -> Float[Tensor, "b k c"]:
    """Return ∂⟨v, I⟩/∂s for random signs v on the pixels of each region in turn; see `RegionResponse`.

    Args:
        image: made from `styles` with gradients.
        styles: what it was made from.
        members: which pixels each region has.
        signs: v, like the image.
    """
    rows = [
        torch.autograd.grad(image, styles, signs * members[:, k : k + 1], retain_graph=True)[0]
        for k in range(members.shape[1])
    ]
    return torch.stack(rows, dim=1)
