"""Gradient maps of style channels (Wu et al. 2021, arXiv 2011.12799, §4): exact, and fast enough for a processor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sat3d.generators.base import Generator, NoiseMode
from sat3d.methods.stylespace.closed_form import ClosedForm, is_linearizable
from sat3d.ops.camera import Camera
from sat3d.replacing import replacing


class GradientMaps:
    """Compute g_u = mean over colours of |∂(average-pooled picture)/∂s_u| for style channels u.

    What is known in closed form goes the cheapest way: pictures' adjoints through windows around each cell (2-D
    layers), rays as one small matrix each, and planes forwards, one tangent a channel, or backwards, one adjoint a
    cell and colour, whichever multiplies less. Any other generator gets batches of backward passes.

    Args:
        generator: whose channels; its weights' type is that of the linear maps, the operating point is float64.
        grid: side G of the pooled picture; it divides the picture's.
        channels: boolean mask (style_space.size) of the channels that are wanted; all if not given.
        noise: `const` or `none`.
        neural_resolution: 3-D only, see `Generator.synthesize`.
        max_bytes: about what the working memory may be, beside the generator and its activations.
        closed_form: `False` for batches of backward passes in any case.

    Raises:
        ValueError: for a grid that does not divide the picture, or random noise.

    Example:
        >>> G = load_generator("toyfaces64")
        >>> s = G.styles(G.map(torch.randn(1, G.z_dim)))
        >>> GradientMaps(G, grid=16)(s, G.cameras.frontal()).shape
        torch.Size([1200, 16, 16])
    """

    def __init__(
        self,
        generator: Generator,
        grid: int = 32,
        channels: Tensor | None = None,
        *,
        noise: NoiseMode = "const",
        neural_resolution: int | None = None,
        max_bytes: int = 2**28,
        closed_form: bool = True,
    ) -> None:
        if noise == "random":
            raise ValueError("noise='random' gives every cell another picture: use 'const' or 'none'")
        size = generator.style_space.size
        self.generator, self.grid, self.noise, self.max_bytes = generator, grid, noise, max_bytes
        self.channels = torch.ones(size, dtype=torch.bool) if channels is None else channels.bool().cpu()
        if self.channels.shape != (size,):
            raise ValueError(f"channels is a mask of shape ({size},), not {tuple(self.channels.shape)}")
        self.rendering: dict[str, Any] = {"neural_resolution": neural_resolution} if generator.is_3d else {}
        self._closed_form = None
        if closed_form and is_linearizable(generator, noise):
            self._closed_form = ClosedForm(generator, grid, self.channels, max_bytes, noise, self.rendering)

    def __call__(
        self, s: Float[Tensor, "1 c"], camera: Camera | None = None, quiet: bool = True
    ) -> Float[Tensor, "u g g"]:
        """Return the maps of the wanted channels, in flat order.

        Args:
            s: one flat style.
            camera: 3-D only: one camera.
            quiet: show no progress bar.
        """
        from tqdm.auto import tqdm

        with tqdm(desc="gradient maps", total=1.0, leave=False, disable=quiet, bar_format="{l_bar}{bar}|") as bar:
            made = (self._closed_form or self._batched)(s, camera, bar)
        return made[self.channels.to(made.device)]

    def stream(
        self,
        codes: Iterable[tuple[int, Tensor, Camera | None]],
        folder: Path | str | None = None,
        total: int | None = None,
        quiet: bool = False,
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield (index, maps) of many codes; what `folder` already holds of this very code is read, not computed.

        Args:
            codes: (index, s (1, C), camera).
            folder: where maps are kept, one file a code; nothing is kept if not given.
            total: how many there are, for the progress bar.
            quiet: show no progress bar.
        """
        from safetensors import safe_open
        from safetensors.torch import save_file
        from tqdm.auto import tqdm

        folder = None if folder is None else Path(folder)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        for index, s, camera in tqdm(codes, desc="pictures", total=total, disable=quiet):
            if folder is None:
                yield index, self(s, camera, quiet)
                continue
            path, key = folder / f"{index:08d}.safetensors", self._key(s, camera)
            if path.is_file():
                with safe_open(path, "pt") as file:
                    if (file.metadata() or {}).get("key") == key:
                        yield index, file.get_tensor("maps")
                        continue
            maps = self(s, camera, quiet).cpu()
            with replacing(path) as partial:
                save_file({"maps": maps.contiguous()}, partial, {"key": key})
            yield index, maps

    def _key(self, s: Tensor, camera: Camera | None) -> str:
        """Return what says whether a kept map is of this code, generator and grid."""
        digest = hashlib.sha256(f"{self.generator.hash} {self.grid} {self.noise} {self.rendering}".encode())
        for t in (self.channels, s, *(() if camera is None else (camera.label(),))):
            digest.update(t.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _batched(self, s: Tensor, camera: Camera | None, bar: Any) -> Tensor:
        """Pull cells back in batches: the code repeated, one cell and colour of each copy's picture."""

        def pooled(styles: Tensor) -> Tensor:
            image = self.generator.synthesize(styles, camera, noise=self.noise, **self.rendering).image
            if image.shape[-1] % self.grid:
                raise ValueError(
                    f"a picture of {image.shape[-1]} px has no grid of {self.grid}×{self.grid} equal cells"
                )
            return F.adaptive_avg_pool2d(image, self.grid).flatten(1)

        kept = 0

        def count(t: Tensor) -> Tensor:
            nonlocal kept
            kept += t.nbytes
            return t

        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
            colours = pooled(s.detach().requires_grad_()).shape[1] // self.grid**2
        step = max(1, self.max_bytes // (2 * kept + 1))
        total = colours * self.grid**2
        maps = s.new_zeros(self.grid**2, s.shape[1])
        for which in torch.arange(total, device=s.device).split(step):
            with torch.enable_grad():
                styles = s.detach().repeat(len(which), 1).requires_grad_()
                one = pooled(styles).gather(1, which[:, None]).sum()
            (gradient,) = torch.autograd.grad(one, styles)
            maps.index_add_(0, which % self.grid**2, gradient.abs() / colours)
            bar.update(len(which) / total)
        return maps.T.unflatten(1, (self.grid, self.grid))
