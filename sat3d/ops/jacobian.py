"""Jacobians of styled convolutions (Karras et al. 2020, arXiv 1912.04958, Eq. 1-3), by windows and by tangents.

A pooled cell of a picture depends on a small window of the late layers, which grows by a pixel or two a layer. Pulling
the cell's adjoint back through windows only gives the same numbers as a backward pass over the whole picture; a
convolution of many small windows is one large matrix product. Pixels of a window that lie outside the picture are zero
wherever a nonlinearity (or `inside`) has been passed.

Adjoints are (rows, cols, colours, n, n, C): cells in rows and columns, each with one adjoint for each colour. Channels
stand last, as a CPU's convolutions like them. Tangents are (U, H, W, C).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sat3d.ops.resample import conv2d_up, upsample2d


@dataclass(frozen=True)
class Windows:
    """Say where the cells' square windows lie.

    Args:
        rows: the first pixel row of each row of cells; may be negative.
        cols: the first pixel column of each column of cells.
        size: side of the windows, pixels.
        side: of the picture, pixels.
    """

    rows: tuple[int, ...]
    cols: tuple[int, ...]
    size: int
    side: int

    @property
    def whole(self) -> bool:
        """Whether every window is the picture."""
        return self.size == self.side and not any(self.rows) and not any(self.cols)

    def grown(self, before: int, size: int) -> Windows:
        """Return windows of this size that begin so many pixels earlier."""
        rows, cols = (tuple(a - before for a in starts) for starts in (self.rows, self.cols))
        return Windows(rows, cols, size, self.side)

    def all_of(self, side: int) -> Windows:
        """Return windows that each are a whole picture of `side` pixels."""
        return Windows((0,) * len(self.rows), (0,) * len(self.cols), side, side)


class Adjoint(NamedTuple):
    """Hold the derivatives of the cells to an activation: values (rows, cols, colours, n, n, C), and where they lie."""

    values: Tensor
    windows: Windows

    def part(self, rows: slice, cols: slice) -> Adjoint:
        """Return the adjoints of some of the cells."""
        w = self.windows
        return Adjoint(self.values[rows, cols], Windows(w.rows[rows], w.cols[cols], w.size, w.side))


def cells(grid: int, side: int, colours: int, rows: slice, cols: slice, like: Tensor) -> Adjoint:
    """Return the adjoints, at the picture, of its mean over each cell of a grid, for some rows and columns of cells.

    Raises:
        ValueError: if the cells are no whole number of pixels.
    """
    n, rest = divmod(side, grid)
    if rest or not n:
        raise ValueError(f"a picture of {side} px has no grid of {grid}×{grid} equal cells")
    starts = range(0, side, n)
    w = Windows(tuple(starts[rows]), tuple(starts[cols]), n, side)
    values = (torch.eye(colours, dtype=like.dtype, device=like.device) / n**2)[:, None, None, :]
    return Adjoint(values.expand(len(w.rows), len(w.cols), colours, n, n, colours), w)


def gather(x: Float[Tensor, "h w c"], windows: Windows) -> Float[Tensor, "rows cols 1 n n c"]:
    """Cut windows out of a picture, zeros outside; what is whole for every cell is not repeated."""
    if windows.whole:
        return x[None, None, None]
    x = F.pad(x, (0, 0, 0, 1, 0, 1))
    rows, cols = (_pixels(starts, windows, x.device) for starts in (windows.rows, windows.cols))
    return x[rows[:, None, :, None], cols[None, :, None, :]].unsqueeze(2)


def _pixels(starts: tuple[int, ...], windows: Windows, device: torch.device) -> Tensor:
    at = torch.tensor(starts, device=device)[:, None] + torch.arange(windows.size, device=device)
    return torch.where((at >= 0) & (at < windows.side), at, windows.side)


def inside(adjoint: Adjoint) -> Adjoint:
    """Set to zero what lies outside the picture."""
    values, w = adjoint
    ends = (start + w.size > w.side for start in w.rows + w.cols)
    if min(w.rows + w.cols) >= 0 and not any(ends):
        return adjoint
    rows, cols = (_pixels(starts, w, values.device) < w.side for starts in (w.rows, w.cols))
    return Adjoint(values * (rows[:, None, None, :, None, None] & cols[None, :, None, None, :, None]), w)


def place(adjoint: Adjoint, target: Windows, onto: Tensor | None = None) -> Tensor:
    """Move values into other windows; what does not fit is dropped. Adds `onto` values that lie there, in their memory.

    Args:
        adjoint: values and their windows.
        target: the windows to have.
        onto: (rows, cols, colours, n, n, C) of the target; zeros if not given.
    """
    values, own = adjoint
    if onto is None:
        if target == own:
            return values
        onto = values.new_zeros(*values.shape[:3], target.size, target.size, values.shape[-1])
    for (rows, to_y, from_y), (cols, to_x, from_x) in product(
        _moves(own.rows, target.rows, own.size, target.size), _moves(own.cols, target.cols, own.size, target.size)
    ):
        onto[rows, cols, :, to_y, to_x] += values[rows, cols, :, from_y, from_x]
    return onto


def _moves(own: Sequence[int], target: Sequence[int], size: int, room: int) -> list[tuple[slice, slice, slice]]:
    """Return (cells, pixels of the target, own pixels) for runs of neighbouring cells that move alike."""
    moves, offsets, first = [], [a - b for a, b in zip(own, target, strict=True)], 0
    for i, offset in enumerate(offsets):
        if i + 1 < len(offsets) and offsets[i + 1] == offset:
            continue
        low, high = max(offset, 0), min(offset + size, room)
        if low < high:
            moves.append((slice(first, i + 1), slice(low, high), slice(low - offset, high - offset)))
        first = i + 1
    return moves


def join(a: Adjoint | None, b: Adjoint | None) -> Adjoint | None:
    """Add adjoints of one activation, on windows that hold both; in the memory of one if its windows do."""
    if a is None or b is None:
        return b if a is None else a
    if a.windows.size < b.windows.size:
        a, b = b, a
    u, v = a.windows, b.windows
    rows, cols = (tuple(map(min, p, q)) for p, q in ((u.rows, v.rows), (u.cols, v.cols)))
    ends = [
        max(p + u.size, q + v.size) - low
        for lows, us, vs in ((rows, u.rows, v.rows), (cols, u.cols, v.cols))
        for low, p, q in zip(lows, us, vs, strict=True)
    ]
    target = _capped(Windows(rows, cols, max(ends), u.side))
    return Adjoint(place(b, target, place(a, target)), target)


def _capped(windows: Windows) -> Windows:
    """Return windows of the whole picture where these would be as large."""
    return windows.all_of(windows.side) if windows.size >= windows.side else windows


def pull_convolution(adjoint: Adjoint, kernel: Tensor) -> Adjoint:
    """Take the adjoint of a convolution that keeps the size; `kernel` (I, O, k, k) is the adjoint's."""
    values, w = adjoint
    k = kernel.shape[-1]
    if w.whole or k == 1:
        return Adjoint(_correlate(values, kernel, padding=k // 2), w)
    made = Adjoint(_correlate(values, kernel, padding=k - 1), w.grown(k // 2, w.size + k - 1))
    capped = _capped(made.windows)
    return Adjoint(place(made, capped), capped)


def pull_stride(adjoint: Adjoint, kernel: Tensor, side: int, before: int, groups: int = 1) -> Adjoint:
    """Take the adjoint of a transposed convolution of stride 2: x̄ᵢ = Σₖ ȳ(2i + k − before)·kernel(k).

    Args:
        adjoint: at the output.
        kernel: (I, O/groups, k, k), the adjoint's.
        side: of the input, pixels.
        before: see the formula.
        groups: of the correlation.
    """
    w, k = adjoint.windows, kernel.shape[-1]
    rows, cols = (tuple(-((k - 1 - before - a) // 2) for a in starts) for starts in (w.rows, w.cols))
    ends = [(a + w.size - 1 + before) // 2 - i for a, i in zip(w.rows + w.cols, rows + cols, strict=True)]
    made = _capped(Windows(rows, cols, max(ends) + 1, side))
    first = [tuple(2 * i - before for i in starts) for starts in (made.rows, made.cols)]
    needed = Windows(first[0], first[1], 2 * (made.size - 1) + k, w.side)
    return Adjoint(_correlate(place(adjoint, needed), kernel, groups, stride=2), made)


def _correlate(values: Tensor, kernel: Tensor, groups: int = 1, stride: int = 1, padding: int = 0) -> Tensor:
    x = values.flatten(0, 2).permute(0, 3, 1, 2)
    y = F.conv2d(x, kernel, stride=stride, padding=padding, groups=groups)
    return y.permute(0, 2, 3, 1).contiguous().unflatten(0, values.shape[:3])


def pull_upsample(adjoint: Adjoint, f: Float[Tensor, "k k"]) -> Adjoint:
    """Take the adjoint of `upsample2d`; values outside the picture must be zero."""
    channels = adjoint.values.shape[-1]
    kernel = (f * 4).to(adjoint.values).expand(channels, 1, *f.shape)
    return pull_stride(adjoint, kernel, adjoint.windows.side // 2, (len(f) - 2) // 2, groups=channels)


def pull_resize(adjoint: Adjoint, matrix: Float[Tensor, "m n"]) -> Adjoint:
    """Take the adjoint of a resizing y = A·x·Aᵀ, on the windows of x that it reaches.

    Args:
        adjoint: at the output, zero outside the picture.
        matrix: A, (side of y, side of x).
    """
    values, w = adjoint
    reach = matrix != 0
    rows: list[int] = []
    cols: list[int] = []
    ends: list[int] = []
    for starts, found in ((w.rows, rows), (w.cols, cols)):
        for a in starts:
            hit = reach[max(a, 0) : a + w.size].any(0).nonzero()
            found.append(int(hit[0]))
            ends.append(int(hit[-1]) + 1 - found[-1])
    made = _capped(Windows(tuple(rows), tuple(cols), max(ends), matrix.shape[1]))
    parts = []
    for starts, mine in ((w.rows, made.rows), (w.cols, made.cols)):
        y, x = _pixels(starts, w, values.device), _pixels(mine, made, values.device)
        parts.append(F.pad(matrix, (0, 1, 0, 1))[y[:, :, None], x[:, None, :]])
    values = torch.einsum("ray,rcqabf->rcqybf", parts[0], values)
    return Adjoint(torch.einsum("cbx,rcqybf->rcqyxf", parts[1], values).contiguous(), made)


@dataclass(frozen=True)
class StyledMap:
    """Hold a styled convolution at its operating point: y = act(v + shift), v = demod ⊙ conv(x ⊙ style).

    Args:
        weight: kernel (O, I, k, k).
        x: input (h, w, I).
        style: (I,); `None` where there is none.
        demod: (O,); `None` for none.
        slope: derivative of the nonlinearity, (H, W, O); `None` for 1.
        value: v, (H, W, O); needed with `demod`.
        up_filter: the filter with which the resolution is doubled, `None` if it is not.
    """

    weight: Tensor
    x: Tensor
    style: Tensor | None = None
    demod: Tensor | None = None
    slope: Tensor | None = None
    value: Tensor | None = None
    up_filter: Tensor | None = None

    @cached_property
    def _norms(self) -> Float[Tensor, "o i"]:
        """−∂v/∂style is v times this."""
        assert self.style is not None and self.demod is not None
        return self.weight.square().sum((2, 3)) * self.style * self.demod.square()[:, None]

    def pull(self, adjoint: Adjoint, to_input: bool = True) -> tuple[Adjoint | None, Tensor | None]:
        """Return the adjoint at the input, and the style's gradient (rows, cols, colours, I).

        Args:
            adjoint: at the output y.
            to_input: whether the first is wanted.
        """
        values, w = adjoint
        gradient = None
        if self.slope is not None:
            values = values * gather(self.slope, w)
        if self.demod is not None:
            assert self.value is not None and self.style is not None
            gradient = _dot(values, gather(self.value, w)) @ -self._norms
            values = values.mul_(self.demod) if self.slope is not None else values * self.demod
        back = self._pull_convolution(Adjoint(values, w))
        if self.style is None:
            return back, None
        along = _dot(back.values, gather(self.x, back.windows))
        gradient = along if gradient is None else gradient + along
        return (Adjoint(back.values.mul_(self.style), back.windows) if to_input else None), gradient

    def _pull_convolution(self, adjoint: Adjoint) -> Adjoint:
        turned, k, f = self.weight.transpose(0, 1), self.weight.shape[-1], self.up_filter
        if f is None:
            return pull_convolution(adjoint, turned.flip((2, 3)))
        if k == 1:
            return pull_convolution(pull_upsample(adjoint, f), turned)
        o, n = len(self.weight), len(f)
        kernel, w = (f * 4).to(turned).expand(o, 1, n, n), adjoint.windows
        spread = _correlate(adjoint.values, kernel, groups=o, padding=n - 1)
        return pull_stride(Adjoint(spread, w.grown((n - 1) // 2, w.size + n - 1)), turned, len(self.x), 0)

    def push(self, tangent: Float[Tensor, "u h w i"], styled: bool = True) -> Float[Tensor, "u h2 w2 o"]:
        """Return the tangents of y for tangents of x; without `styled`, of x ⊙ style."""
        if styled and self.style is not None:
            tangent = tangent * self.style
        t = tangent.permute(0, 3, 1, 2)
        k = self.weight.shape[-1]
        if self.up_filter is None:
            y = F.conv2d(t, self.weight, padding=k // 2)
        else:
            y = conv2d_up(t, self.weight, self.up_filter)
        y = y.permute(0, 2, 3, 1)
        if self.demod is not None:
            y = y.mul_(self.demod)
        return y if self.slope is None else y.mul_(self.slope)

    def inject(self, channels: Tensor) -> Float[Tensor, "u h2 w2 o"]:
        """Return the tangents of y for some of the style's channels (U,)."""
        tangent = self.x.new_zeros(len(channels), *self.x.shape)
        tangent[torch.arange(len(channels)), :, :, channels] = self.x[:, :, channels].permute(2, 0, 1)
        y = self.push(tangent, styled=False)
        if self.demod is not None:
            assert self.value is not None
            value = self.value if self.slope is None else self.value * self.slope
            y = y - value * self._norms.T[channels][:, None, None]
        return y


def _dot(a: Tensor, b: Tensor) -> Float[Tensor, "rows cols colours c"]:
    """Return Σ a·b over the windows."""
    return (a * b).sum((3, 4))


def push_upsample(tangent: Float[Tensor, "u h w c"], f: Float[Tensor, "k k"]) -> Float[Tensor, "u h2 w2 c"]:
    """Upsample tangents of a picture."""
    return upsample2d(tangent.permute(0, 3, 1, 2), f).permute(0, 2, 3, 1)
