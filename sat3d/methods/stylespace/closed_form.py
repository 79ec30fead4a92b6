"""Gradient maps of generators whose layers are known, each part the way that multiplies least.

Pictures of 2-D layers: adjoints of the cells, through windows. Rays: one small matrix each. Planes: either tangents,
one for each wanted channel from its layer on, or adjoints, one for each cell and colour back to the shallowest layer.

What lost, by processor time on one thread (`benchmarks/jacobian.py` has the loop that is compared with):
- Batched backward passes on a code that is repeated: 0.3-0.9 of the loop's speed on `toyfaces64`. They multiply as
  much, and move more memory. They remain for generators of which only the interface is known.
- `is_grads_batched` (vmap): the frozen layers are custom functions that are differentiated once, without a rule for it.
- Planes backwards where forwards is chosen: 7.3 s instead of 4.2 s for `toyfaces64` at G = 16. At G = 8 it is the other
  way round, 1.7 s instead of 3.8 s, and backwards is what is chosen.
- Windows on the planes: a cell's rays cross the planes from side to side, so its adjoint there is not local.
- One pass for cells with disjoint receptive fields: they are disjoint in the last layers only, where windows cost
  little anyway; windows serve all layers, and grow to the whole picture where it is small.
- Forward mode for a 2-D picture's last layers: the adjoints pass them on the way to the others in any case.
- The operating point in float32: see `linearization`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sat3d.generators.base import Generator, NoiseMode
from sat3d.generators.eg3d import EG3D
from sat3d.generators.layers import SynthesisBlock, ToRGBLayer
from sat3d.generators.renderer import MOST_KEPT
from sat3d.generators.stylegan2 import StyleGAN2
from sat3d.methods.stylespace.linearization import Layers, RayMaps, Take, resizing
from sat3d.ops.camera import Camera
from sat3d.ops.jacobian import Adjoint, cells, gather, inside, join, place, pull_resize

_Part = tuple[Adjoint, slice, slice]  # adjoints of some cells, and which rows and columns of cells they are
_COPIES = 8  # of the largest adjoint or tangent are alive at a time


def is_linearizable(generator: Generator, noise: NoiseMode) -> bool:
    """Tell whether `ClosedForm` knows all that a picture passes."""
    if isinstance(generator, EG3D):
        net = generator.superresolution
        return noise != "random" and (net is None or net.options.noise != "random")
    return isinstance(generator, StyleGAN2) and noise != "random"


class ClosedForm:
    """Compute maps (style_space.size, G, G); those of channels that are not wanted may be missing.

    Args:
        generator: see `GradientMaps`, as all others.
        grid: side of the pooled picture.
        channels: mask of those wanted.
        max_bytes: memory budget.
        noise: `const` or `none`.
        rendering: further arguments of `synthesize`.
    """

    def __init__(
        self,
        generator: Generator,
        grid: int,
        channels: Tensor,
        max_bytes: int,
        noise: NoiseMode,
        rendering: dict[str, Any],
    ) -> None:
        assert isinstance(generator, StyleGAN2 | EG3D)
        self.net: StyleGAN2 | EG3D = deepcopy(generator).double()
        self.net.freeze()
        self.modules: list[nn.Module] = [layer for _, layer, _, _ in self.net.named_styled_layers()]
        self.slices = {m: y.slice for m, y in zip(self.modules, self.net.style_space.layers, strict=True)}
        self.grid, self.channels, self.max_bytes = grid, channels, max_bytes
        self.noise, self.rendering = noise, rendering

    @torch.no_grad()
    def __call__(self, s: Tensor, camera: Camera | None, bar: Any) -> Tensor:
        """Return the maps of one code; see `GradientMaps`."""
        maps = s.new_zeros(s.shape[1], self.grid, self.grid)
        wanted = [bool(self.channels[self.slices[m]].any()) for m in self.modules]
        if any(wanted):
            layers = Layers({m: i for i, m in enumerate(self.modules)}, wanted.index(True), s.dtype)
            _Walk(self, layers, maps, bar).run(s, camera)
        return maps


class _Walk:
    """Compute one code's maps."""

    def __init__(self, owner: ClosedForm, layers: Layers, maps: Tensor, bar: Any) -> None:
        self.net, self.grid, self.slices, self.max_bytes = owner.net, owner.grid, owner.slices, owner.max_bytes
        self.owner, self.layers, self.maps, self.bar = owner, layers, maps, bar

    def run(self, s: Tensor, camera: Camera | None) -> None:
        net, planes, hooks = self.net, [], []
        if isinstance(net, EG3D):
            hooks.append(net.renderer.register_forward_pre_hook(lambda _, args: planes.append(args[0])))
        try:
            with self.layers.recording(net):
                out = net.synthesize(s.double(), camera, noise=self.owner.noise, **self.owner.rendering)
        finally:
            for hook in hooks:
                hook.remove()
        if isinstance(net, EG3D):
            assert camera is not None and out.raw is not None
            self._tri_planes(net, planes[0], camera, out.image, out.raw)
        else:
            blocks = [block for _, block in net.synthesis.blocks()]
            for _ in self._pull_cells(out.image, lambda part, take: self.layers.pull(blocks, None, part, take)[0], 1):
                pass

    def _pull_cells(
        self, image: Tensor, pull: Callable[[Adjoint, Take], Adjoint | None], share: float
    ) -> Iterator[tuple[Adjoint | None, slice, slice]]:
        """Pull the cells of a picture back, as many at a time as fit; keep gradients, yield what is left, and where."""
        side, colours = image.shape[-1], image.shape[1]
        middle = slice(self.grid // 2, self.grid // 2 + 1)
        one = cells(self.grid, side, colours, middle, middle, self.maps)
        pull(one, lambda layer, gradient: None)
        each = max(self.layers.largest * colours, one.values.numel())
        for rows, cols in self._tiles(range(self.grid), range(self.grid), each):
            part = cells(self.grid, side, colours, rows, cols, self.maps)
            yield pull(part, self._keeper(rows, cols)), rows, cols
            self.bar.update(share * part.values[:, :, 0, 0, 0, 0].numel() / self.grid**2)

    def _keeper(self, rows: slice, cols: slice) -> Take:
        def keep(layer: nn.Module, gradient: Tensor) -> None:
            self.maps[self.slices[layer], rows, cols] = gradient.abs().mean(2).permute(2, 0, 1)

        return keep

    def _tiles(self, rows: range, cols: range, each: int) -> Iterator[tuple[slice, slice]]:
        """Cut cells into rectangles that keep to the memory budget, at `each` elements a cell."""
        fits = max(1, self.max_bytes // (_COPIES * each * self.maps.itemsize))
        high, wide = max(1, fits // len(cols)), min(len(cols), fits)
        for top in rows[::high]:
            for left in cols[::wide]:
                yield slice(top, min(top + high, rows.stop)), slice(left, min(left + wide, cols.stop))

    # --- 3-D

    def _tri_planes(self, net: EG3D, planes: Tensor, camera: Camera, image: Tensor, raw: Tensor) -> None:
        side, o = raw.shape[-1], net.options.rendering
        found = self._pull_cells(image, lambda part, take: self._pull_features(net, part, side, take), 0.1)
        parts = [(part, rows, cols) for part, rows, cols in found if part is not None]
        if not parts:
            return
        samples = o.depth_resolution + o.depth_resolution_importance
        rays = RayMaps.of(net, planes, camera, side, self.maps.dtype, max(1, MOST_KEPT // samples))
        blocks = [block for _, block in net.backbone.synthesis.blocks()]
        if self._tangents_are_fewer(blocks):
            self._push_channels(blocks, rays, parts)
        else:
            self._pull_planes(blocks, rays, parts)

    def _pull_features(self, net: EG3D, part: Adjoint, side: int, take: Take) -> Adjoint | None:
        """Return the adjoint at the ray-marched features, whose first channels are the raw picture."""
        feature: Adjoint | None = None
        image: Adjoint | None = part
        if net.superresolution is not None:
            blocks = [block for _, block in net.superresolution.blocks()]
            feature, image = self.layers.pull(blocks, None, part, take)
            if feature is None:
                return None
        assert image is not None
        padded = F.pad(image.values, (0, net.options.decoder_channels - image.values.shape[-1]))
        feature = join(Adjoint(padded, image.windows), feature)
        assert feature is not None
        feature, matrix = inside(feature), resizing(net, side)
        return feature if matrix is None else pull_resize(feature, matrix.to(padded))

    def _tangents_are_fewer(self, blocks: list[SynthesisBlock]) -> bool:
        """Tell whether tangents of the wanted channels take fewer multiplications than adjoints of the cells."""
        tangents = after = adjoints = 0.0
        for layer, count in reversed(self.layers.operations(blocks)):
            if layer in self.slices:
                if self.layers.order[layer] >= self.layers.first:
                    adjoints = after + count
                own = count if isinstance(layer, ToRGBLayer) else count + after
                tangents += own * len(self._wanted(layer))
            after += count
        return tangents < 3 * self.grid**2 * adjoints

    def _wanted(self, layer: nn.Module) -> Tensor:
        return self.owner.channels[self.slices[layer]].nonzero()[:, 0].to(self.maps.device)

    def _push_channels(self, blocks: list[SynthesisBlock], rays: RayMaps, parts: list[_Part]) -> None:
        """Push each wanted channel's tangent to the ray-marched picture, and contract it with the cells' adjoints."""
        most = max(1, self.max_bytes // (_COPIES * self.maps.itemsize * self._elements(blocks, rays)))
        chunks = [
            (layer, channels)
            for block in blocks
            for _, layer in block.styled_layers()
            for channels in self._wanted(layer).split(most)
            if len(channels)
        ]
        for layer, channels in chunks:
            raw = rays.push(self.layers.push(blocks, layer, channels)).reshape(rays.side, rays.side, -1)
            flat = channels + self.slices[layer].start
            for part, rows, cols in self._cut(parts, partial(_window, raw.shape[-1])):
                self.maps[flat, rows, cols] = contract(part, raw).abs().mean(2).permute(2, 0, 1)
            self.bar.update(0.9 / len(chunks))

    def _pull_planes(self, blocks: list[SynthesisBlock], rays: RayMaps, parts: list[_Part]) -> None:
        """Pull each cell's adjoint back through its rays and the planes to the shallowest wanted layer."""
        side = rays.shape[2]
        colours = parts[0][0].values.shape[2]
        for part, rows, cols in self._cut(parts, lambda n: colours * self._elements(blocks, rays)):
            marched = place(part, part.windows.all_of(rays.side))
            values = rays.pull(marched.flatten(0, 2).flatten(1, 2)).unflatten(0, marched.shape[:3])
            planes = Adjoint(values, part.windows.all_of(side))
            self.layers.pull(blocks, None, planes, self._keeper(rows, cols))
            self.bar.update(0.9 * marched[:, :, 0, 0, 0, 0].numel() / self.grid**2)

    def _elements(self, blocks: list[SynthesisBlock], rays: RayMaps) -> int:
        """Return the elements of the largest tangent of the planes or what is before or behind them."""
        widths = [m.slope.numel() for m in self.layers.maps.values() if m.slope is not None]
        return max(*widths, prod(rays.shape), rays.matrices[:, 0].numel())

    def _cut(self, parts: list[_Part], each: Callable[[int], int]) -> Iterator[_Part]:
        """Cut parts into smaller ones that keep to the memory budget at `each`(window) elements a cell."""
        for part, rows, cols in parts:
            high, wide = part.values.shape[:2]
            for y, x in self._tiles(range(high), range(wide), each(part.windows.size)):
                yield (
                    part.part(y, x),
                    slice(rows.start + y.start, rows.start + y.stop),
                    slice(cols.start + x.start, cols.start + x.stop),
                )


def _window(channels: int, size: int) -> int:
    return channels * size**2


def contract(adjoint: Adjoint, tangents: Tensor) -> Tensor:
    """Return the derivatives (rows, cols, colours, U) of cells along tangents (H, W, C·U) of what they depend on."""
    values = adjoint.values
    read = gather(tangents, adjoint.windows)
    read = read.reshape(-1, values[0, 0, 0].numel(), tangents.shape[-1] // values.shape[-1])
    rows = values.flatten(3).flatten(0, 1)
    made = rows @ read[0] if len(read) == 1 else torch.bmm(rows, read)
    return made.unflatten(0, values.shape[:2])
