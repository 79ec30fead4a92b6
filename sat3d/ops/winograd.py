"""3×3 convolutions with fewer multiplications: F(4×4, 3×3) of Lavin & Gray 2016, arXiv 1509.09308, §4.

A tile of 4×4 outputs is made of 6×6 inputs by 36 multiplications a pair of channels instead of 144; what is left are 36
matrix products, at which a CPU is best. Rounding costs about ten times that of the direct sum (3e-6 in float32).
"""

from __future__ import annotations

import threading
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

_INPUT = [  # Bᵀ of the paper; its interpolation points are 0, ±1, ±2
    [4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1],
]  # fmt: skip
_KERNEL = [  # G
    [1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1],
]  # fmt: skip
_OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]  # Aᵀ
_TILES = 2**21  # elements of the transformed tiles at a time
_LEAST_SIDE, _LEAST_CHANNELS = 32, 128  # below, the direct convolution is as fast


def _both_axes(rows: list[list[float]]) -> Tensor:
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()


_INPUT_2D, _KERNEL_2D, _OUTPUT_2D = _both_axes(_INPUT), _both_axes(_KERNEL), _both_axes(_OUTPUT)  # type: ignore[arg-type]


class _Scratch(threading.local):
    """Memory that is used again and again: on a CPU, fresh pages cost more than the arithmetic done in them."""

    def __init__(self) -> None:
        self.kept: dict[str, Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        size = prod(shape)
        if name not in self.kept or self.kept[name].numel() < size:
            self.kept[name] = torch.empty(size)
        return self.kept[name][:size].view(shape)


_scratch = _Scratch()


def is_worthwhile(x: Tensor, weight: Tensor) -> bool:
    """Tell whether `conv3x3` takes these, and faster than `conv2d`."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and weight.shape[2:] == (3, 3)
        and min(weight.shape[:2]) >= _LEAST_CHANNELS
        and min(x.shape[2:]) >= _LEAST_SIDE
        and x.shape[2] % 4 == x.shape[3] % 4 == 0
    )


@torch.no_grad()
def conv3x3(
    x: Float[Tensor, "b i h w"], weight: Float[Tensor, "o i 3 3"], bias: Tensor | None = None
) -> Float[Tensor, "b o h w"]:
    """Correlate with a 3×3 kernel, zeros outside, channels last; sides are multiples of 4. Gives no gradients.

    Args:
        x: float32, on a CPU.
        weight: kernel.
        bias: (O,), added.
    """
    b, i, h, w = x.shape
    o, across = len(weight), w // 4
    rows = x.permute(0, 2, 3, 1)
    taps = _scratch("taps", 3, 3, i, o).copy_(weight.permute(2, 3, 1, 0))
    kernel = torch.mm(_KERNEL_2D, taps.view(9, i * o), out=_scratch("kernel", 36, i * o)).view(36, i, o)
    out = torch.empty(b, h, w, o)
    step = max(1, _TILES // (36 * max(i, o) * across))
    for sample, made in zip(rows, out, strict=True):
        for top in range(0, h, 4 * step):
            high = min(4 * step, h - top)
            count = high // 4 * across
            padded = _with_border(sample, top, high)
            tiles = padded.unfold(0, 6, 4).unfold(1, 6, 4).permute(3, 4, 0, 1, 2)
            flat = _scratch("tiles", *tiles.shape).copy_(tiles).view(36, count * i)
            inner = torch.mm(_INPUT_2D, flat, out=_scratch("inner", 36, count * i)).view(36, count, i)
            outer = torch.bmm(inner, kernel, out=_scratch("outer", 36, count, o)).view(36, count * o)
            pixels = torch.mm(_OUTPUT_2D, outer, out=_scratch("tiles", 16, count * o)).view(16, count, o)
            if bias is not None:
                pixels.add_(bias)
            target = made[top : top + high].view(high // 4, 4, across, 4, o)
            target.copy_(pixels.view(4, 4, high // 4, across, o).permute(2, 0, 3, 1, 4))
    return out.permute(0, 3, 1, 2)


def _with_border(x: Float[Tensor, "h w c"], top: int, high: int) -> Float[Tensor, "h2 w2 c"]:
    """Return rows `top − 1` to `top + high` with a column of zeros on either side, zeros where there are no rows."""
    h, w, c = x.shape
    padded = _scratch("padded", high + 2, w + 2, c)
    padded[:, 0], padded[:, -1] = 0, 0
    first, last = max(top - 1, 0), min(top + high + 1, h)
    if top == 0:
        padded[0] = 0
    if top + high == h:
        padded[-1] = 0
    padded[first - top + 1 : last - top + 1, 1:-1] = x[first:last]
    return padded
