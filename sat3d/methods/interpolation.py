"""How a reference's styles enter a source's: interpolation along chosen channels."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def transfer(source: Float[Tensor, "b c"], reference: Float[Tensor, "b c"], mask: Tensor) -> Float[Tensor, "b c"]:
    """Interpolate source → reference by a mask; weights 0 and 1 give either end exactly, weights above 1 go beyond."""
    return torch.lerp(source, reference, mask.expand_as(source))
