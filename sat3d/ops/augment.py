"""Small changes to training pictures, so that networks carry over from one kind of pictures to another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from kornia.filters import filter2d
from kornia.filters.kernels import get_pascal_kernel_2d
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """Shift, blur, tint and add noise, each picture on its own.

    Args:
        shift: Largest shift in pixels; edges are repeated.
        blur: Largest share of a blurred copy (5x5 binomial) that is mixed in; half of the pictures stay sharp.
        tint: Largest relative change of each colour channel's contrast, and of its brightness.
        noise: Largest standard deviation of pixel noise, pixel range 2.
    """

    shift: int = 2
    blur: float = 1.0
    tint: float = 0.04
    noise: float = 0.04

    @torch.no_grad()
    def __call__(
        self, rgb: Float[Tensor, "b 3 h w"], segmentation: UInt8[Tensor, "b h w"] | None, random: torch.Generator
    ) -> tuple[Float[Tensor, "b 3 h w"], UInt8[Tensor, "b h w"] | None]:
        """Change pictures, and shift their segmentation along.

        Args:
            rgb: Pictures in [-1, 1].
            segmentation: Their part numbers, where they are known.
            random: Source of all random numbers, on the CPU.
        """
        with torch.autocast(rgb.device.type, enabled=False):  # pixels stay in float32 under mixed precision
            return self._changed(rgb, segmentation, random)

    def _changed(
        self, rgb: Tensor, segmentation: Tensor | None, random: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        count, device = len(rgb), rgb.device

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=random).to(device)

        if self.shift:
            rgb, segmentation = self._shifted(rgb, segmentation, random)
        if self.blur:
            share = self.blur * (2 * uniform(count, 1, 1, 1) - 1).clamp_min(0)
            blurred = filter2d(rgb, get_pascal_kernel_2d(5, device=device)[None], border_type="replicate")
            rgb = torch.lerp(rgb, blurred, share)
        if self.tint:
            change = (2 * uniform(2, count, 3, 1, 1) - 1) * self.tint
            rgb = rgb * (1 + change[0]) + change[1]
        if self.noise:
            # one standard normal field, scaled a picture: the generator's device is the CPU, and so is this field's
            field = torch.randn(rgb.shape, generator=random).to(device)
            rgb = rgb + field * (self.noise * uniform(count, 1, 1, 1))
        return rgb, segmentation

    def _shifted(
        self, rgb: Tensor, segmentation: Tensor | None, random: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        side, reach = rgb.shape[-1], self.shift
        offset = torch.randint(0, 2 * reach + 1, (2, len(rgb), 1), generator=random) - reach
        rows, columns = (torch.arange(side) + offset).clamp(0, side - 1).to(rgb.device)
        picture = torch.arange(len(rgb), device=rgb.device)[:, None, None]
        rows, columns = rows[:, :, None], columns[:, None, :]
        # the colour axis comes last with this indexing
        shifted = rgb[picture, :, rows, columns].permute(0, 3, 1, 2)
        return shifted, None if segmentation is None else segmentation[picture, rows, columns]
