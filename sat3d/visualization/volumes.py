"""The density of a 3-D generator's code: sampled in the cube that its planes cover, and where in it the surface is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from sat3d.generators import Generator

OPAQUE = 0.9  # of rays that have surely met matter
QUANTILE = 0.25  # of the densities where such rays end, see `surface_level`
CHUNK, CHUNK_CUDA = 2**17, 2**20  # points that are decoded at a time
LONG = 200  # resolution from which on a bar shows how far the sampling is


@dataclass(frozen=True)
class DensityField:
    """Hold what is at every point of a cube around the world's origin.

    Args:
        query: points (N, 3), world units → densities (N,) and colours (N, 3) in about [0, 1].
        side: of the cube, world units.
        device: where points are asked for.
        name: of whose density this is, for messages.
    """

    query: Callable[[Tensor], tuple[Tensor, Tensor]]
    side: float
    device: torch.device = torch.device("cpu")
    name: str = "this"

    @torch.no_grad()
    def at(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Return densities and colours at points, on the CPU; asked for in chunks."""
        chunks = points.split(CHUNK_CUDA if self.device.type == "cuda" else CHUNK)
        density, colours = zip(*(self.query(chunk.to(self.device)) for chunk in chunks), strict=True)
        return torch.cat([d.cpu() for d in density]), torch.cat([c.cpu() for c in colours])

    def grid(self, resolution: int) -> Float[Tensor, "r r r"]:
        """Return densities at the middles of resolution³ equal cells, indexed by x, y, z."""
        steps = ((torch.arange(resolution) + 0.5) / resolution - 0.5) * self.side
        plane = torch.cartesian_prod(steps, steps)
        # Slab by slab, so that the points of a fine grid never lie in memory at once.
        slabs = max(1, (CHUNK_CUDA if self.device.type == "cuda" else CHUNK) // resolution**2)
        parts = steps.split(slabs)
        bar = tqdm(parts, desc="Density", disable=resolution < LONG, leave=False)
        rows = [self.at(_slab(some, plane))[0].reshape(-1, resolution, resolution) for some in bar]
        return torch.cat(rows)


def _slab(x: Tensor, plane: Tensor) -> Float[Tensor, "n 3"]:
    return torch.cat([x.repeat_interleave(len(plane))[:, None], plane.repeat(len(x), 1)], dim=1)


def density_field(generator: Generator, planes: Float[Tensor, "1 3 f h w"]) -> DensityField:
    """Return the raw density σ of one code, and as colours the first three features: those of the raw picture.

    Args:
        generator: a 3-D one.
        planes: from its `planes`.

    Raises:
        ValueError: for a 2-D generator.
    """
    net = need_density(generator)

    def query(points: Tensor) -> tuple[Tensor, Tensor]:
        density, features = net.density(planes, points[None].to(planes.dtype))
        return density[0].float(), features[0, :, :3].float()

    return DensityField(query, net.options.rendering.box_warp, planes.device, net.name or "this generator")


def need_density(generator: Generator) -> Any:
    """Return a generator that has a density.

    Raises:
        ValueError: for a 2-D generator.
    """
    if not generator.is_3d:
        raise ValueError(f"mesh: {generator.name or 'this'} is a 2-D generator and has no density")
    return generator


@torch.no_grad()
def surface_level(generator: Generator, planes: Float[Tensor, "1 3 f h w"]) -> float:
    """Find the density at which a surface agrees with the depth that the generator itself renders.

    Matter sets in softly, and rays go on until they have collected optical depth, Σ softplus(σ − 1)·δ. So the surface
    that a picture shows lies deeper than where density begins, and how much deeper depends on how steeply it rises,
    which is each network's own. It is therefore measured: the code is rendered from the front and from both sides,
    σ is read where opaque rays end (their expected depth), and its lower quartile is the level.

    Tried on ten heads of toyfaces64, resolution 128, three views of 64 × 64, against the rendered depth of rays of
    opacity > 0.9 (docs/meshes.md has the table):

    - a fixed level, such as 10, as is usual for the released networks, or 14, where one step of the renderer
      turns half opaque: 0.03 too near everywhere;
    - the median σ where rays end: no bias, but grazing rays collect their opacity in thinner matter, and the mesh
      loses 5 % of the opaque rays, at the outline. The lower quartile loses 3 %, at a bias of 0.006;
    - on five of them, the surface where the opacity along rays passes one half, from directions all around (sums of
      softplus(σ − 1) along the grid): no nearer to the rendered depth than the median, and as thin at the outline.

    Args:
        generator: a 3-D one.
        planes: from its `planes`.

    Returns:
        A raw density σ. Source and edit should share one, so that they differ by the edit alone.

    Raises:
        ValueError: for a 2-D generator, or where no ray becomes opaque.
    """
    net = need_density(generator)
    planes = planes.to(torch.promote_types(planes.dtype, torch.float32))
    yaw = torch.tensor([0.0, *(angle / 2 for angle in net.cameras.yaw)])
    cameras = net.cameras.turned(yaw).to(planes.device).to(planes.dtype)
    origins, directions = cameras.rays(net.options.neural_resolution)
    marched = net.renderer(planes, net.decoder, origins, directions)
    points = (origins + directions * marched.depth)[marched.opacity[..., 0] > OPAQUE]
    points = points[(points.abs() < net.options.rendering.box_warp / 2).all(-1)]
    if not len(points):
        raise ValueError("mesh: no ray of this code becomes opaque, so that there is no surface to find")
    return float(torch.quantile(net.density(planes, points[None])[0].double(), QUANTILE))
