"""A generator linearised around one code: its styled layers as `StyledMap`s, its rays as small matrices.

The operating point is computed in float64, the linear maps may be float32: on one `toyfaces64` picture at G = 16 the
worst channel's map is then within 7e-7 (relative L2) of float64. With a float32 operating point it was 1.2e-5, the
median 4e-6: activations near zero can land on its other side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sat3d.generators.eg3d import EG3D
from sat3d.generators.layers import ResidualSkip, SynthesisBlock, SynthesisLayer, ToRGBLayer
from sat3d.ops.camera import Camera
from sat3d.ops.jacobian import Adjoint, StyledMap, join, pull_upsample, push_upsample
from sat3d.ops.jacobian import inside as zero_outside
from sat3d.ops.modulation import SLOPE, demodulation
from sat3d.ops.triplane import project_to_planes, texels

Take = Callable[[nn.Module, Tensor], None]


@dataclass
class Layers:
    """Hold the linear maps of a generator's layers, by module, and walk through blocks both ways.

    Args:
        order: place of the styled layers in forward order.
        first: place of the shallowest layer that is wanted: adjoints stop there.
        dtype: of the maps.
        maps: of every styled convolution and residual skip that the picture passed.
        largest: elements of the largest adjoint of one cell and colour so far.
    """

    order: dict[nn.Module, int]
    first: int
    dtype: torch.dtype
    maps: dict[nn.Module, StyledMap] = field(default_factory=dict)
    largest: int = 0

    def pull(
        self, blocks: Sequence[SynthesisBlock], feature: Adjoint | None, image: Adjoint | None, take: Take
    ) -> tuple[Adjoint | None, Adjoint | None]:
        """Carry adjoints from the last of some blocks to the input of the first, and hand out styles' gradients.

        Args:
            blocks: in forward order.
            feature: at the last block's activations.
            image: at its picture.
            take: is given each wanted styled layer and its gradient (rows, cols, colours, I).

        Returns:
            Adjoints at the activations and the picture that the first block took; `None` where nothing is wanted.
        """
        for block in reversed(blocks):
            if block.torgb is not None and image is not None:
                if self.order[block.torgb] < self.first:
                    return None, None
                feature = join(self._pull(block.torgb, image, take), feature)
                if block.architecture != "skip" or block.first:
                    image = None
                elif block.up:
                    image = zero_outside(pull_upsample(image, block.resample_filter))
            if feature is None or self.order[block.conv1] < self.first:
                return None, None
            skipped = None if block.skip is None else self.maps[block.skip].pull(zero_outside(feature))[0]
            feature = self._pull(block.conv1, feature, take)
            if not block.first:
                if feature is None or self.order[block.conv0] < self.first:
                    return None, None
                feature = join(self._pull(block.conv0, feature, take), skipped)
        return feature, image

    def _pull(self, layer: nn.Module, adjoint: Adjoint, take: Take) -> Adjoint | None:
        self.largest = max(self.largest, adjoint.values[0, 0, 0].numel())
        back, gradient = self.maps[layer].pull(adjoint, to_input=self.order[layer] > self.first)
        assert gradient is not None
        take(layer, gradient)
        return back

    def push(self, blocks: Sequence[SynthesisBlock], source: nn.Module, channels: Tensor) -> Float[Tensor, "u h w c"]:
        """Return the tangents of the last block's picture for channels (U,) of the style of layer `source`."""
        feature: Tensor | None = None
        image: Tensor | None = None
        for block in blocks:
            if image is not None and block.up:
                image = push_upsample(image, block.resample_filter)
            skipped = None if block.skip is None or feature is None else self.maps[block.skip].push(feature)
            if not block.first:
                feature = self._push(block.conv0, source, channels, feature)
            feature = self._push(block.conv1, source, channels, feature)
            if skipped is not None and feature is not None:
                feature = feature + skipped
            if block.torgb is not None:
                made = self._push(block.torgb, source, channels, feature)
                image = made if image is None else image if made is None else image + made
        assert image is not None
        return image

    def _push(self, layer: nn.Module, source: nn.Module, channels: Tensor, tangent: Tensor | None) -> Tensor | None:
        if layer is source:
            return self.maps[layer].inject(channels)
        return None if tangent is None else self.maps[layer].push(tangent)

    def operations(self, blocks: Sequence[SynthesisBlock]) -> list[tuple[nn.Module, float]]:
        """Return each convolution of some blocks and its multiplications for one picture."""
        counted: list[tuple[nn.Module, float]] = []
        for block in blocks:
            for layer in (block.skip, *(layer for _, layer in block.styled_layers())):
                if layer is not None:
                    m = self.maps[layer]
                    side = len(m.x) * (2 if m.up_filter is not None and m.weight.shape[-1] == 1 else 1)
                    counted.append((layer, float(m.weight.numel()) * side**2))
        return counted

    @contextmanager
    def recording(self, generator: nn.Module) -> Iterator[None]:
        """Keep a map of every layer that pictures of `generator` pass meanwhile."""
        kinds: dict[type, Callable[..., None]] = {
            SynthesisLayer: self._keep_convolution,
            ToRGBLayer: self._keep_torgb,
            ResidualSkip: self._keep_skip,
        }
        hooks = [
            module.register_forward_hook(kinds[type(module)], with_kwargs=True)
            for module in generator.modules()
            if type(module) in kinds
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _keep_convolution(
        self, layer: SynthesisLayer, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor
    ) -> None:
        x, style, noise = args[:3]
        gain = sqrt(2) * kwargs.get("gain", 1.0)
        slope = torch.where(y > 0, y.new_tensor(gain), y.new_tensor(SLOPE * gain))
        shift = layer.bias[:, None, None] + (0 if layer.position is None else layer.position)
        if layer.use_noise and noise == "const":
            shift = shift + layer.noise_const * layer.noise_strength
        value = y / slope - shift
        if layer.clamp is not None:
            slope = slope * (y.abs() < layer.clamp * gain / sqrt(2))
        self.maps[layer] = StyledMap(
            layer.weight.to(self.dtype),
            self._stored(x),
            style[0].to(self.dtype),
            demodulation(layer.weight, style)[0].to(self.dtype),
            self._stored(slope),
            self._stored(value),
            layer.resample_filter if layer.up else None,
        )

    def _keep_torgb(self, layer: ToRGBLayer, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> None:
        x, style = args
        weight = (layer.weight / sqrt(layer.weight[0].numel())).to(self.dtype)
        slope = None if layer.clamp is None else self._stored((y.abs() < layer.clamp).to(y.dtype))
        self.maps[layer] = StyledMap(weight, self._stored(x), style[0].to(self.dtype), slope=slope)

    def _keep_skip(self, layer: ResidualSkip, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> None:
        weight = (layer.weight * sqrt(0.5 / layer.weight.shape[1])).to(self.dtype)
        self.maps[layer] = StyledMap(weight, self._stored(args[0]), up_filter=layer.resample_filter)

    def _stored(self, x: Tensor) -> Float[Tensor, "h w c"]:
        return x[0].permute(1, 2, 0).to(self.dtype).contiguous()


@dataclass(frozen=True)
class RayMaps:
    """Hold the linear maps from tri-planes to the ray-marched picture: every ray is independent of the others.

    Args:
        index: of the texels around each sample, (M·S, T), in the order (row, column, plane).
        weight: of these texels, (M·S, T).
        matrices: the features' derivatives to what each ray reads, (M, F, S·c).
        shape: of the planes, (3, c, H, W).
        side: of the ray-marched picture, pixels.
    """

    index: Tensor
    weight: Tensor
    matrices: Tensor
    shape: tuple[int, int, int, int]
    side: int

    @classmethod
    @torch.no_grad()
    def of(cls, generator: EG3D, planes: Tensor, camera: Camera, side: int, dtype: torch.dtype, chunk: int) -> RayMaps:
        """March each ray once, and once back for each feature: all rays at a time.

        Args:
            generator: of the planes' type; frozen.
            planes: (1, 3, c, H, W).
            camera: one.
            side: of the ray-marched picture, pixels.
            dtype: of the maps.
            chunk: rays that are marched at a time.
        """
        renderer, leaves, points = generator.renderer, [], []

        def decode(x: Tensor) -> tuple[Tensor, Tensor]:
            leaves.append(x.detach().requires_grad_())
            return generator.decoder(leaves[-1])

        def query(planes: Tensor, decode: Callable[[Tensor], Any], where: Tensor) -> Any:
            points.append(where.detach())
            return type(renderer).query(renderer, planes, decode, where)

        rays = renderer.rays(*camera.to(planes.device).to(planes.dtype).rays(side))
        where, matrices = [], []
        renderer.query = query  # type: ignore[method-assign, assignment]
        try:
            for start in range(0, side**2, chunk):
                leaves.clear()
                points.clear()
                with torch.enable_grad():
                    made = renderer.march(planes, decode, rays.part(slice(start, start + chunk))).features[0]
                    totals = made.sum(0)
                    rows = [torch.autograd.grad(total, leaves, retain_graph=True) for total in totals]
                m = len(made)
                read = [torch.cat([g.reshape(m, -1) for g in row], dim=1) for row in rows]
                matrices.append(torch.stack(read, dim=1).to(dtype))
                where.append(torch.cat([p.reshape(m, -1, 3) for p in points], dim=1))
        finally:
            del renderer.query
        shape = planes.shape[1:]
        at = torch.cat(where).reshape(1, -1, 3) * (2 / renderer.options.box_warp)
        index, weight = texels(project_to_planes(renderer.axes, at), *shape[2:])
        p, _, h, w = shape
        index = index % (h * w) * p + index // (h * w)
        return cls(index, weight.to(dtype), torch.cat(matrices), tuple(shape), side)  # type: ignore[arg-type]

    def push(self, tangent: Float[Tensor, "u h w p"]) -> Float[Tensor, "m f u"]:
        """Return the tangents of the rays' features for tangents of the flat planes (U, H, W, 3·c)."""
        p, c, h, w = self.shape
        u = len(tangent)
        rows = tangent.flatten(1).T.reshape(h * w * p, c * u)
        read = F.embedding_bag(self.index, rows, mode="sum", per_sample_weights=self.weight)
        return torch.bmm(self.matrices, read.reshape(len(self.matrices), -1, u))

    def pull(self, adjoint: Float[Tensor, "n m f"]) -> Float[Tensor, "n h w p"]:
        """Return the adjoints at the flat planes for adjoints of the rays' features."""
        p, c, h, w = self.shape
        n = len(adjoint)
        read = torch.bmm(adjoint.permute(1, 0, 2), self.matrices)  # (M, N, S·c)
        read = read.unflatten(2, (-1, c)).permute(0, 2, 1, 3).reshape(len(self.index), n * c)
        rows = read.new_zeros(h * w * p, n * c)
        for k in range(self.index.shape[1]):
            rows.index_add_(0, self.index[:, k], read * self.weight[:, k, None])
        return rows.reshape(h, w, p, n, c).permute(3, 0, 1, 2, 4).reshape(n, h, w, p * c)


def resizing(generator: EG3D, side: int) -> Tensor | None:
    """Return the (size, side) matrix by which super-resolution resizes what is marched, `None` if it does not."""
    net = generator.superresolution
    if net is None or net.options.input_resolution == side:
        return None
    basis = torch.eye(side, dtype=torch.float64)[None, None]
    size, antialias = net.options.input_resolution, net.options.antialias
    return F.interpolate(basis, (size, side), mode="bilinear", align_corners=False, antialias=antialias)[0, 0]
