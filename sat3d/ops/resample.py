"""Resampling with a small filter, as StyleGAN2's layers do it (Karras et al. 2020, arXiv 1912.04958, §2.2)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sat3d.ops.scratch import scratch

MOST_TAPS = 64
_BAND = 2**21  # elements


def setup_filter(taps: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)) -> Float[Tensor, "k k"]:
    """Return the normalised separable filter outer(taps, taps), (K, K), that sums to one.

    Raises:
        ValueError: for more taps than any filter has.
    """
    if len(taps) > MOST_TAPS:
        raise ValueError(f"{len(taps)} taps are too many for a filter")
    return torch.tensor([[a * b / sum(taps) ** 2 for a in taps] for b in taps], dtype=torch.float32)


def filter2d(
    x: Float[Tensor, "b c h w"], f: Float[Tensor, "k k"], padding: int, gain: float = 1.0, bias: Tensor | None = None
) -> Float[Tensor, "b c h2 w2"]:
    """Convolve every channel with `f` (a true convolution: the filter is flipped), zeros outside; add `bias` (C,)."""
    c = x.shape[1]
    kernel = (f * gain).flip((0, 1)).to(x.dtype).expand(c, 1, *f.shape)
    return F.conv2d(x, kernel, bias, padding=padding, groups=c)


def upsample2d(x: Float[Tensor, "b c h w"], f: Float[Tensor, "k k"]) -> Float[Tensor, "b c h2 w2"]:
    """Double the resolution: zeros between the samples, then `f` with gain 4; (B, C, H, W) → (B, C, 2H, 2W)."""
    _, c, h, w = x.shape
    kernel = (f * 4).to(x.dtype).expand(c, 1, *f.shape)
    # An odd filter leaves one sample too many at the end.
    return F.conv_transpose2d(x, kernel, stride=2, padding=(len(f) - 2) // 2, groups=c)[..., : 2 * h, : 2 * w]


def downsample2d(x: Float[Tensor, "b c h w"], f: Float[Tensor, "4 4"]) -> Float[Tensor, "b c h2 w2"]:
    """Halve the resolution: `f`, then every second sample; (B, C, H, W) → (B, C, ceil(H/2), ceil(W/2))."""
    c = x.shape[1]
    kernel = f.flip((0, 1)).to(x.dtype).expand(c, 1, *f.shape)
    return F.conv2d(x, kernel, stride=2, padding=1, groups=c)


def conv2d_up(
    x: Float[Tensor, "b i h w"], weight: Float[Tensor, "o i k k"], f: Float[Tensor, "n n"], bias: Tensor | None = None
) -> Float[Tensor, "b o h2 w2"]:
    """Convolve and double the resolution, with the released networks' orientation of the kernel; add `bias` (O,).

    A 3×3 kernel acts as a true convolution (transposed, stride 2, then the filter with gain 4); a 1×1 kernel convolves
    first and upsamples then. Without gradients, what lies between the two steps is made in bands that fit a cache.
    """
    if weight.shape[-1] == 1:
        y = upsample2d(F.conv2d(x, weight), f)
        return y if bias is None else y + bias[:, None, None]
    b, _, h, w = x.shape
    o, step = len(weight), _band(len(weight) * (2 * w + 1) * 2)
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or f.shape != (4, 4) or step >= h:
        y = F.conv_transpose2d(x, weight.transpose(0, 1) if torch.is_grad_enabled() else _turned(weight), stride=2)
        return filter2d(y, f, padding=(len(f) - 1) // 2, gain=4.0, bias=bias)[..., : 2 * h, : 2 * w]
    kernel = (f * 4).flip((0, 1)).to(x.dtype).expand(o, 1, 4, 4)
    turned = _turned(weight)
    out = _empty_like(x, b, o, 2 * h, 2 * w)
    for top in range(0, h, step):
        below = min(top + step, h)
        rows = F.conv_transpose2d(_rows(x, top - 1, below + 1), turned, stride=2)
        # the first and the last row lack what other bands would add
        out[:, :, 2 * top : 2 * below] = F.conv2d(rows[:, :, 1:-1], kernel, bias, padding=(0, 1), groups=o)
    return out


def conv2d_up_adjoint(
    y: Float[Tensor, "b o h2 w2"], weight: Float[Tensor, "o i k k"], f: Float[Tensor, "n n"]
) -> Float[Tensor, "b i h w"]:
    """Apply the adjoint of `conv2d_up` in its input: what its backward pass does to a gradient."""
    c, k, h, w = y.shape[1], len(f), y.shape[2] // 2, y.shape[3] // 2
    kernel = (f * 4).to(y.dtype).expand(c, 1, *f.shape)
    if k % 2:  # the sample that an odd filter leaves at the end
        y = F.pad(y, (0, 1, 0, 1))
    if weight.shape[-1] == 1:
        return F.conv_transpose2d(F.conv2d(y, kernel, stride=2, padding=(k - 2) // 2, groups=c), weight)
    turned = weight.transpose(0, 1) if torch.is_grad_enabled() else _turned(weight)
    step = _band(c * (2 * w + 1) * 2)
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or f.shape != (4, 4) or step >= h:
        return F.conv2d(F.conv2d(y, kernel, padding=k - 1 - (k - 1) // 2, groups=c), turned, stride=2)
    out = _empty_like(y, len(y), weight.shape[1], h, w)
    for top in range(0, h, step):
        below = min(top + step, h)
        rows = F.conv2d(_rows(y, 2 * top - 2, 2 * below + 2), kernel, padding=(0, 2), groups=c)
        out[:, :, top:below] = F.conv2d(rows, turned, stride=2)
    return out


def _turned(weight: Tensor) -> Tensor:
    """Swap inputs and outputs, in memory too: once, instead of in every call."""
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or torch.compiler.is_compiling():
        return weight.transpose(0, 1).contiguous()
    o, i, *side = weight.shape
    return scratch("turned", i, o, *side).copy_(weight.transpose(0, 1))


def _band(row: int) -> int:
    """Return how many rows of so many elements are made at once."""
    return max(8, _BAND // row)


def _rows(x: Tensor, first: int, end: int) -> Tensor:
    """Return rows `first` to `end` of pictures, zeros where there are none."""
    h = x.shape[2]
    inside = x[:, :, max(first, 0) : min(end, h)]
    above, below = max(-first, 0), max(end - h, 0)
    return F.pad(inside, (0, 0, above, below)) if above or below else inside


def _empty_like(x: Tensor, *shape: int) -> Tensor:
    last = x.is_contiguous(memory_format=torch.channels_last)
    order = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=order)


def conv2d_down(
    x: Float[Tensor, "b i h w"], weight: Float[Tensor, "o i k k"], f: Float[Tensor, "4 4"]
) -> Float[Tensor, "b o h2 w2"]:
    """Filter, then correlate with stride 2; a 1×1 kernel downsamples first."""
    if weight.shape[-1] == 1:
        return F.conv2d(downsample2d(x, f), weight)
    return F.conv2d(filter2d(x, f, padding=2), weight, stride=2)
