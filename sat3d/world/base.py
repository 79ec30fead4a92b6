"""An embedded world: codes, attributes, pictures, captions and ideal edits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from sat3d.ops.camera import Camera
from sat3d.world.attributes import Attribute, Floats
from sat3d.world.codes import CodeMap, counted_uniform, normal_from_uniform, uniform_from_normal
from sat3d.world.domain import Domain

_MARGIN = 1e-4  # an edited continuous attribute keeps this far from the ends, where normal scores are infinite


@dataclass(frozen=True)
class Picture:
    """Hold what the renderer knows of a batch of pictures.

    Args:
        rgb: colours in [-1, 1], (B, 3, H, W).
        segmentation: part numbers at pixel centres, (B, H, W); 0 is background.
        depth: distance along the ray through a pixel's centre, world units, (B, H, W); inf for background.
    """

    rgb: Float[Tensor, "b 3 h w"]
    segmentation: UInt8[Tensor, "b h w"]
    depth: Float[Tensor, "b h w"]


class World:
    """Know everything about an embedded world.

    A code `z` ~ N(0, I) has uniform coordinates `u`, one an attribute, correlated on purpose (`CodeMap`); `u` gives
    attribute values; values and a camera give a picture. Because the map from `z` to `u` is invertible, the ideal edit
    of one attribute is known: as an intervention or conditionally.

    Args:
        domain: what the world consists of; `load_world` knows the domains of this package by name.

    Example:
        >>> world = load_world("heads")
        >>> z, camera = world.sample(seed=0, indices=range(4))
        >>> picture = world.render(world.coordinates(z), camera)
        >>> world.captions(world.coordinates(z), range(4))[0]
        >>> bearded = world.intervene(z, "beard", "long")
    """

    def __init__(self, domain: Domain) -> None:
        self.domain, self.name = domain, domain.name
        self.attributes: tuple[Attribute, ...] = domain.table.attributes
        self.parts: tuple[str, ...] = domain.table.parts
        self.names = tuple(a.name for a in self.attributes)
        self.correlations = domain.table.correlations
        self.code_map = CodeMap(self.correlations)
        self.z_dim = len(self.attributes)

    # -- codes and attributes -------------------------------------------------------------------------------------

    def index(self, name: str) -> int:
        """Find an attribute's column.

        Raises:
            ValueError: if there is no such attribute; the message lists those there are.
        """
        if name not in self.names:
            raise ValueError(f"the world of {self.name} has no attribute {name!r}: choose from {', '.join(self.names)}")
        return self.names.index(name)

    def attribute(self, name: str) -> Attribute:
        """Find an attribute by its name."""
        return self.attributes[self.index(name)]

    def editable(self) -> tuple[str, ...]:
        """Name the attributes that methods may edit."""
        return tuple(a.name for a in self.attributes if a.role == "editable")

    def identity(self) -> tuple[str, ...]:
        """Name the attributes that make an individual."""
        return tuple(a.name for a in self.attributes if a.role == "identity")

    def sample(self, seed: int, indices: Sequence[int] | Tensor) -> tuple[Float[Tensor, "b z"], Camera]:
        """Draw codes and cameras: the i-th are a pure function of (seed, i)."""
        rows = _rows(indices)
        z = normal_from_uniform(counted_uniform(seed, rows, self.z_dim))
        angles = counted_uniform(seed, rows, 2, stream=1)
        camera = self.domain.cameras.sample(torch.from_numpy(angles)).to(torch.float32)
        return torch.from_numpy(z.astype(np.float32)), camera

    def coordinates(self, z: Float[Tensor, "b z"]) -> Float[Tensor, "b a"]:
        """Map codes to uniform coordinates in (0, 1), in float64."""
        return torch.from_numpy(uniform_from_normal(self.code_map.normal(_array(z))))

    def stages(self, z: Float[Tensor, "b z"]) -> list[Float[Tensor, "b z"]]:
        """Give what codes become on their way to correlated normal scores, which come last, in float32."""
        return [torch.from_numpy(g.astype(np.float32)) for g in self.code_map.stages(_array(z))]

    def codes(self, u: Float[Tensor, "b a"]) -> Float[Tensor, "b z"]:
        """Map coordinates back to codes, in float32."""
        return torch.from_numpy(self.code_map.code(normal_from_uniform(_array(u))).astype(np.float32))

    def values(self, u: Float[Tensor, "b a"]) -> Float[Tensor, "b a"]:
        """Read attribute values: a continuous one is its coordinate, a categorical one the index of its class."""
        return torch.from_numpy(self._values(_array(u)).astype(np.float32))

    def labels(self, u: Float[Tensor, "b a"]) -> Int[Tensor, "b a"]:
        """Read class indices; continuous attributes are cut into their low (0) and high (1) half."""
        array = _array(u)
        return torch.from_numpy(np.stack([_bin(a, array[:, i]) for i, a in enumerate(self.attributes)], axis=1))

    def features(self, u: Float[Tensor, "b a"]) -> Float[Tensor, "b f"]:
        """Describe codes for a network: normal scores of continuous attributes, one-hot classes of categorical ones."""
        array = _array(u)
        columns = []
        for i, a in enumerate(self.attributes):
            if a.kind == "continuous":
                columns.append(normal_from_uniform(array[:, i : i + 1]))
            else:
                columns.append(np.eye(len(a.classes))[_bin(a, array[:, i])])
        return torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float32))

    def _values(self, u: Floats) -> Floats:
        columns = [_bin(a, u[:, i]) if a.kind == "categorical" else u[:, i] for i, a in enumerate(self.attributes)]
        return np.stack(columns, axis=1).astype(np.float64)

    # -- ideal edits ----------------------------------------------------------------------------------------------

    def intervene(self, z: Float[Tensor, "b z"], name: str, value: float | str | Tensor) -> Float[Tensor, "b z"]:
        """Set one attribute and hold all others.

        Args:
            z: codes, (B, z_dim).
            name: of an attribute.
            value: a class's name or index, a number in [0, 1] for a continuous attribute, or a tensor of such, (B,).
                What is in the class already stays as it is; what is not moves to the same relative place in it.

        Raises:
            ValueError: for an unknown attribute or class, or a number out of range.
        """
        x = self.code_map.normal(_array(z))
        x[:, self.index(name)] = self._target(x, name, value)
        return torch.from_numpy(self.code_map.code(x).astype(np.float32))

    def condition(self, z: Float[Tensor, "b z"], name: str, value: float | str | Tensor) -> Float[Tensor, "b z"]:
        """Set one attribute and let the others follow their correlations with it.

        Normal scores move along the regression on the target's, x' = x + ρ (x'_k − x_k); what that leaves
        unexplained is held.
        Arguments and errors are those of `intervene`.
        """
        x = self.code_map.normal(_array(z))
        k = self.index(name)
        shift = self._target(x, name, value) - x[:, k]
        x += shift[:, None] * self.correlations[k]
        return torch.from_numpy(self.code_map.code(x).astype(np.float32))

    def _target(self, x: Floats, name: str, value: float | str | Tensor) -> Floats:
        """Give the normal scores that one attribute takes at `value`."""
        k = self.index(name)
        attribute = self.attributes[k]
        wanted: list[Any] = value.reshape(-1).tolist() if isinstance(value, Tensor) else [value]
        if len(wanted) not in (1, len(x)):
            raise ValueError(f"{len(wanted)} values of {name} do not fit {len(x)} codes")
        if attribute.kind == "continuous":
            if any(isinstance(v, str) or not 0 <= v <= 1 for v in wanted):
                raise ValueError(f"{name} is continuous: its value must lie in [0, 1], not {value!r}")
            numbers = np.asarray(wanted, dtype=np.float64)
            return np.broadcast_to(normal_from_uniform(np.clip(numbers, _MARGIN, 1 - _MARGIN)), len(x))
        classes = np.broadcast_to(np.array([attribute.class_index(v) for v in wanted]), len(x))
        u, edges = uniform_from_normal(x[:, k]), attribute.edges
        old = _bin(attribute, u)
        place = np.clip((u - edges[old]) / (edges[old + 1] - edges[old]), 0.02, 0.98)
        moved = normal_from_uniform(edges[classes] + place * (edges[classes + 1] - edges[classes]))
        return np.where(classes == old, x[:, k], moved)

    # -- pictures and words ---------------------------------------------------------------------------------------

    def render(self, u: Float[Tensor, "b a"], camera: Camera, resolution: int = 64, supersampling: int = 2) -> Picture:
        """Render pictures; colour averages supersampling² rays a pixel.

        Args:
            u: coordinates (B, A), or of one (1, A) for many cameras.
            camera: one for each, or one for all.
            resolution: pixels a side.
            supersampling: rays a side of a pixel.

        Raises:
            ImportError: if numba is missing.
            ValueError: if sizes do not fit.
        """
        if resolution < 1 or supersampling < 1:
            raise ValueError(f"resolution and supersampling must be at least 1, not {resolution} and {supersampling}")
        count = max(len(u), len(camera))
        if len(u) not in (1, count) or len(camera) not in (1, count):
            raise ValueError(f"{len(u)} coordinates do not fit {len(camera)} cameras: give as many, or one of either")
        rgb, segmentation, depth = self.draw(
            np.broadcast_to(_array(u), (count, len(self.attributes))), camera.expand(count), resolution, supersampling
        )
        return Picture(torch.from_numpy(rgb).mul_(2).sub_(1), torch.from_numpy(segmentation), torch.from_numpy(depth))

    def draw(
        self, u: Floats, camera: Camera, resolution: int, supersampling: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Render into arrays: rgb (B, 3, H, W) in [0, 1], segmentation (B, H, W) and depth (B, H, W)."""
        render_all = _import_renderer(self.domain)
        records, palettes = self.domain.measure(self._values(u))
        rgb = np.empty((len(u), 3, resolution, resolution), np.float32)
        segmentation = np.empty((len(u), resolution, resolution), np.uint8)
        depth = np.empty((len(u), resolution, resolution), np.float32)
        poses = np.ascontiguousarray(_array(camera.cam2world))
        lenses = np.ascontiguousarray(_array(camera.intrinsics))
        lights = np.array([self.domain.lights.key, self.domain.lights.rim, self.domain.lights.sky])
        render_all(records, palettes, poses, lenses, lights, supersampling, rgb, segmentation, depth)
        depth[segmentation == 0] = np.inf
        return rgb, segmentation, depth

    def captions(
        self,
        u: Float[Tensor, "b a"],
        indices: Sequence[int] | Tensor | None = None,
        seed: int = 0,
        about: str | None = None,
    ) -> list[str]:
        """Describe pictures in varied English: the i-th caption is a pure function of (u, seed, i, about).

        Args:
            u: coordinates, (B, A).
            indices: the pictures' numbers, which draw the wording; 0..B-1 if not given.
            seed: of the wording.
            about: name of the one attribute to mention; captions are empty where it does not show clearly.
        """
        if about is not None:
            self.index(about)
        rows = np.arange(len(u)) if indices is None else _rows(indices)
        if len(rows) != len(u):
            raise ValueError(f"{len(rows)} indices do not fit {len(u)} coordinates")
        array, labels = _array(u), self.labels(u).numpy()
        captioner = self.domain.captioner(self.attributes)
        return [captioner.caption(array[k], labels[k], seed, int(i), about) for k, i in enumerate(rows)]


def _rows(indices: Sequence[int] | Tensor) -> np.ndarray:
    return indices.cpu().numpy() if isinstance(indices, Tensor) else np.asarray(indices, dtype=np.int64)


def _array(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)


def _bin(attribute: Attribute, u: Floats) -> np.ndarray:
    return np.clip(np.searchsorted(attribute.edges, u, side="right") - 1, 0, len(attribute.classes) - 1)


def _import_renderer(domain: Domain) -> Any:
    try:
        from sat3d.world import tracing

        tracing.SHAPES[domain.record.names or ()] = import_module(domain.shapes)
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] not in ("numba", "llvmlite"):
            raise
        raise ImportError("rendering the world needs numba: pip install 'sat3d[world]'") from error
    return tracing.render_all
