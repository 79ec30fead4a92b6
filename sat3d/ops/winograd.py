"""3×3 convolutions with fewer multiplications: F(4×4, 3×3) of Lavin & Gray 2016, arXiv 1509.09308, §4.

A tile of 4×4 outputs is made of 6×6 inputs by 36 multiplications a pair of channels instead of 144; what is left are 36
matrix products, at which a CPU is best. Rounding costs about ten times that of the direct sum (3e-6 in float32).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.ops.scratch import scratch

_INPUT = [  # Bᵀ of the paper; its interpolation points are 0, ±1, ±2
    [4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1],
]  # fmt: skip
_KERNEL = [  # G
    [1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1],
]  # fmt: skip
_OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]  # Aᵀ
_AT_ONCE = 2**16  # tiles × channels, and inputs × outputs of the kernel, that are transformed at once
_LEAST_SIDE, _LEAST_CHANNELS = 32, 128  # below, the direct convolution is as fast


def _both_axes(rows: list[list[float]]) -> Tensor:
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()


_INPUT_2D, _KERNEL_2D, _OUTPUT_2D = _both_axes(_INPUT), _both_axes(_KERNEL), _both_axes(_OUTPUT)  # type: ignore[arg-type]


def is_worthwhile(x: Tensor, weight: Tensor) -> bool:
    """Tell whether `conv3x3` takes these, and faster than `conv2d`."""
    return (
        x.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and x.dtype == weight.dtype == torch.float32
        and weight.shape[2:] == (3, 3)
        and min(weight.shape[:2]) >= _LEAST_CHANNELS
        and min(x.shape[2:]) >= _LEAST_SIDE
        and x.shape[2] % 4 == x.shape[3] % 4 == 0
    )


@torch.no_grad()
def conv3x3(
    x: Float[Tensor, "b i h w"],
    weight: Float[Tensor, "o i 3 3"],
    bias: Tensor | None = None,
    *,
    overwrite: bool = False,
) -> Float[Tensor, "b o h w"]:
    """Correlate with a 3×3 kernel, zeros outside, channels last; sides are multiples of 4. Gives no gradients.

    Args:
        x: float32, on a CPU.
        weight: kernel.
        bias: (O,), added.
        overwrite: put the outputs where the inputs were, if they are as many and lie with channels last.
    """
    b, i, h, w = x.shape
    o, across = len(weight), w // 4
    rows = x.permute(0, 2, 3, 1)
    overwrite = overwrite and i == o and rows.is_contiguous()
    out = rows if overwrite else torch.empty(b, h, w, o)
    blocks = weight.permute(2, 3, 1, 0).split(max(1, _AT_ONCE // i), dim=3)
    kernel = _transform(blocks[0])
    step = max(1, _AT_ONCE // (max(i, o) * across))
    for sample, made in zip(rows, out, strict=True):
        for top in range(0, h, 4 * step):
            high = min(4 * step, h - top)
            count = high // 4 * across
            padded = _with_border(sample, top, high, kept=overwrite and top > 0)
            tiles = padded.unfold(0, 6, 4).unfold(1, 6, 4).permute(3, 4, 0, 1, 2)
            flat = scratch("tiles", *tiles.shape).copy_(tiles).view(36, count * i)
            inner = torch.mm(_INPUT_2D, flat, out=scratch("inner", 36, count * i)).view(36, count, i)
            if overwrite:  # the next band reads this row
                scratch("above", w, i).copy_(sample[top + high - 1])
            target = made[top : top + high].view(high // 4, 4, across, 4, o)
            start = 0
            for block in blocks:
                if len(blocks) > 1:
                    kernel = _transform(block)
                part = block.shape[3]
                outer = torch.bmm(inner, kernel, out=scratch("outer", 36, count, part)).view(36, count * part)
                pixels = torch.mm(_OUTPUT_2D, outer, out=scratch("tiles", 16, count * part)).view(16, count, part)
                if bias is not None:
                    pixels.add_(bias[start : start + part])
                placed = pixels.view(4, 4, high // 4, across, part).permute(2, 0, 3, 1, 4)
                target[..., start : start + part].copy_(placed)
                start += part
    return out.permute(0, 3, 1, 2)


def _transform(taps: Float[Tensor, "3 3 i o"]) -> Float[Tensor, "36 i o"]:
    i, o = taps.shape[2:]
    flat = scratch("outer", 3, 3, i, o).copy_(taps).view(9, i * o)
    return torch.mm(_KERNEL_2D, flat, out=scratch("kernel", 36, i * o)).view(36, i, o)


def _with_border(x: Float[Tensor, "h w c"], top: int, high: int, kept: bool) -> Float[Tensor, "h2 w2 c"]:
    """Return rows `top − 1` to `top + high` with a column of zeros on either side, zeros where there are no rows.

    Where row `top − 1` is overwritten already, it was `kept`.
    """
    h, w, c = x.shape
    padded = scratch("padded", high + 2, w + 2, c)
    padded[:, 0], padded[:, -1] = 0, 0
    first, last = max(top - 1, 0), min(top + high + 1, h)
    if top == 0:
        padded[0] = 0
    if top + high == h:
        padded[-1] = 0
    padded[first - top + 1 : last - top + 1, 1:-1] = x[first:last]
    if kept:
        padded[0, 1:-1] = scratch("above", w, c)
    return padded
