"""Styled convolutions (Karras et al. 2020, arXiv 1912.04958, Eq. 1-3) that move little memory."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from sat3d.ops import winograd
from sat3d.ops.resample import conv2d_up, conv2d_up_adjoint
from sat3d.ops.scratch import scratch

SLOPE = 0.2
_CACHED = 2**17  # elements that are multiplied and summed at once, small enough for a processor's cache


def modulated_conv2d(
    x: Float[Tensor, "b i h w"],
    weight: Float[Tensor, "o i k k"],
    style: Float[Tensor, "b i"],
    *,
    demodulate: bool = True,
    up_filter: Tensor | None = None,
) -> Float[Tensor, "b o h2 w2"]:
    """Scale the input's channels by `style`, convolve, and normalise the outputs.

    Scaling the input and the output is equal to scaling the weights of every sample, Eq. 1-3 of the paper, and needs
    one convolution for the whole batch: demodulation is rsqrt(s² · ΣW² + 1e-8).

    Args:
        x: activations.
        weight: shared kernel, odd size.
        style: one factor for each input channel.
        demodulate: divide each output by the norm of its modulated kernel.
        up_filter: if given, the (K, K) filter with which the resolution is doubled.

    Returns:
        Activations of the input's type; without demodulation, where their size is not bounded, float32 or better.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    half = _computes_in(x) == torch.float16
    if weight.shape[-1] == 1 and not demodulate and up_filter is None:
        return _project(x, weight[:, :, 0, 0].to(wide) * style[:, None].to(wide), half)
    weight, style, factor, _ = _factors(weight, style, half, demodulate)
    x = x * style[:, :, None, None].to(x.dtype)
    y = _convolve(x, weight.to(x.dtype), up_filter)
    kind = x.dtype if demodulate else wide
    return y.to(kind) if factor is None else y.to(kind) * factor[:, :, None, None].to(kind)


def styled_conv2d(
    x: Float[Tensor, "b i h w"],
    weight: Float[Tensor, "o i k k"],
    style: Float[Tensor, "b i"],
    bias: Tensor,
    noise: Tensor | None = None,
    *,
    up_filter: Tensor | None = None,
    gain: float = 1.0,
    clamp: float | None = None,
    overwrite: bool = False,
) -> Float[Tensor, "b o h2 w2"]:
    """Convolve with modulated weights, add noise and bias, apply leaky ReLU(0.2)·√2·gain, clamp to ±clamp·gain.

    Where neither weights nor bias nor noise take gradients, as in a frozen generator, all that follows the convolution
    is done in its output's own memory, and the backward pass needs the input and the output only: the convolution's
    result before the nonlinearity enters the style's gradient as ⟨gradient, output⟩, because leaky ReLU is homogeneous.
    Gradients then go to `x` and `style`, once (not to be differentiated again).

    Args:
        x: activations.
        weight: shared kernel, odd size.
        style: one factor for each input channel.
        bias: (O,), or a map (O, H, W).
        noise: (H, W) or (B, 1, H, W), already scaled.
        up_filter: if given, the (K, K) filter with which the resolution is doubled.
        gain: factor on the output.
        clamp: limit of the output before that factor.
        overwrite: whether `x` is of no use afterwards, so that its memory may be, where no gradient is kept.
    """
    if bias.ndim == 1:
        bias = bias[:, None, None]
    learns = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (weight, bias, noise))
    if not learns and not torch.compiler.is_compiling():  # a compiler fuses the plain steps itself
        y: Tensor = _StyledConv.apply(x, style, weight, bias, noise, up_filter, gain, clamp, overwrite)  # type: ignore[no-untyped-call]
        return y
    y = modulated_conv2d(x, weight, style, up_filter=up_filter)
    y = y + (bias if noise is None else bias + noise).to(y.dtype)
    return leaky_relu(y, gain, clamp)


def leaky_relu(x: Tensor, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """Apply leaky ReLU(0.2)·√2·gain, then clamp to ±clamp·gain."""
    x = F.leaky_relu(x, SLOPE) * (math.sqrt(2) * gain)
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def demodulation(weight: Float[Tensor, "o i k k"], style: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
    """Return the factor of every output channel, in float32 or better."""
    energy = _energy(weight, style)
    with torch.autocast(style.device.type, enabled=False):  # in half precision the sum passes its largest number
        return (style.to(energy.dtype).square() @ energy.T + 1e-8).rsqrt()


def _energy(weight: Tensor, style: Tensor) -> Float[Tensor, "o i"]:
    return weight.to(torch.promote_types(style.dtype, torch.float32)).square().sum(dim=(2, 3))


def _computes_in(x: Tensor) -> torch.dtype:
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _factors(
    weight: Tensor, style: Tensor, half: bool, demodulate: bool = True
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | float]:
    """Return kernel, style, the factor on the output (B, O) if there is one, and what the style was divided by.

    Half floats overflow unless kernel and style are small. What is divided out comes back with the factor, in single
    precision.
    """
    factor = demodulation(weight, style) if demodulate else None
    if not half:
        return weight, style, factor, 1.0
    wide = torch.promote_types(style.dtype, torch.float32)
    weight, style = weight.to(wide), style.to(wide)
    size = weight.detach().abs().amax(dim=(1, 2, 3)).clamp_min(1e-30) * weight[0].numel() ** 0.5
    largest = style.detach().abs().amax(dim=1, keepdim=True).clamp_min(1e-30)
    whole = size * largest
    return weight / size[:, None, None, None], style / largest, whole if factor is None else factor * whole, largest


def _project(x: Float[Tensor, "b i h w"], rows: Float[Tensor, "b o i"], half: bool) -> Float[Tensor, "b o h w"]:
    """Map channels by each sample's own matrix, for few outputs: a picture's or three planes' channels."""
    kind, size = rows.dtype, None
    if half:
        size = rows.detach().abs().amax(dim=2, keepdim=True).clamp_min(1e-30) * rows.shape[2] ** 0.5
        rows = rows / size
    rows = rows.to(x.dtype)
    if x.is_contiguous(memory_format=torch.channels_last):
        y = torch.matmul(x.flatten(2).transpose(1, 2), rows.transpose(1, 2)).transpose(1, 2)
    else:
        y = torch.matmul(rows, x.flatten(2))
    y = y.to(kind)
    return (y if size is None else y * size).unflatten(2, x.shape[2:])


def _convolve(
    x: Tensor, weight: Tensor, up_filter: Tensor | None, bias: Tensor | None = None, overwrite: bool = False
) -> Tensor:
    if up_filter is not None:
        return conv2d_up(x, weight, up_filter, bias)
    if not torch.is_grad_enabled() and winograd.is_worthwhile(x, weight):
        return winograd.conv3x3(x, weight, bias, overwrite=overwrite)
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def _channel_dot(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    """Return Σ a·b over the picture, in float32 or better, without a product of full size."""
    rows = max(1, _CACHED // (a.shape[1] * a.shape[3]))
    dtype = torch.promote_types(a.dtype, torch.float32)
    pieces = zip(a.split(rows, dim=2), b.split(rows, dim=2), strict=True)
    return torch.stack([(u * v).sum(dim=(2, 3), dtype=dtype) for u, v in pieces]).sum(0)


class _StyledConv(torch.autograd.Function):
    """The frozen layer: y = clamp(lrelu(demod ⊙ conv(x ⊙ style) + shift)) with gradients to x and style."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        style: Tensor,
        weight: Tensor,
        bias: Tensor,
        noise: Tensor | None,
        up_filter: Tensor | None,
        gain: float,
        clamp: float | None,
        overwrite: bool,
    ) -> Tensor:
        device, kind = x.device.type, _computes_in(x)
        overwrite = overwrite and not any(ctx.needs_input_grad)
        gain *= math.sqrt(2)
        limit = None if clamp is None else clamp * gain / math.sqrt(2)
        with torch.autocast(device, enabled=False):
            if device == "cpu":
                x = x.contiguous(memory_format=torch.channels_last)
            if len(x) == 1:
                kernel = _own_kernel(weight, style, demodulation(weight, style) * gain, kind)
                flat = bias.shape[1:] == (1, 1)
                own = (bias[:, 0, 0] * gain).to(kind) if flat else None
                y = _convolve(x.to(kind), kernel, up_filter, own, overwrite).to(x.dtype)
                if not flat:
                    y.add_((bias * gain).to(y.dtype))
                if noise is not None:
                    y.add_((noise * gain).to(y.dtype))
            else:
                shift = bias if noise is None else bias + noise
                w, s, factor, _ = _factors(weight, style, kind == torch.float16)
                assert factor is not None
                scaled = torch.mul(x, s[:, :, None, None].to(x.dtype), out=x if overwrite else None).to(kind)
                y = _convolve(scaled, w.to(kind), up_filter, overwrite=True).to(x.dtype)
                del scaled
                torch.addcmul((shift * gain).to(y.dtype), y, (factor * gain)[:, :, None, None].to(y.dtype), out=y)
            F.leaky_relu_(y, SLOPE)
            if limit is not None:
                y.clamp_(-limit, limit)
        ctx.save_for_backward(x, y, style, weight, bias, noise, up_filter)
        ctx.kind, ctx.gain, ctx.limit = kind, gain, limit
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[misc]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, style, weight, bias, noise, up_filter = ctx.saved_tensors
        device, kind, gain = x.device.type, ctx.kind, ctx.gain
        with torch.autocast(device, enabled=False):
            if device == "cpu":
                gradient = gradient.contiguous(memory_format=torch.channels_last)
            if ctx.limit is not None:
                gradient = torch.ops.aten.hardtanh_backward(gradient, y, -ctx.limit, ctx.limit)
            inner = torch.ops.aten.leaky_relu_backward(gradient, y, SLOPE, True)
            # ⟨gradient, conv · demod⟩ = ⟨gradient, y⟩ − ⟨gradient before the nonlinearity, shift⟩
            along = _channel_dot(gradient, y) - gain * _shift_dot(inner, bias, noise)
            w, s, factor, divisor = _factors(weight, style, kind == torch.float16)
            assert factor is not None
            energy = _energy(weight, style)
            along = along / (style.to(energy.dtype).square() @ energy.T + 1e-8)
            style_gradient = -style * (along @ energy)
            if len(x) == 1:
                back = _convolve_adjoint(inner.to(kind), _own_kernel(w, None, factor * gain, kind), up_filter, x)
            else:
                inner.mul_((factor * gain)[:, :, None, None].to(inner.dtype))
                back = _convolve_adjoint(inner.to(kind), w.to(kind), up_filter, x)
            del inner, gradient
            back = back.to(x.dtype)
            style_gradient = style_gradient + _channel_dot(x, back) / divisor
            x_gradient = back.mul_(s[:, :, None, None].to(back.dtype)) if ctx.needs_input_grad[0] else None
        return x_gradient, style_gradient.to(style.dtype), None, None, None, None, None, None, None


def _own_kernel(weight: Tensor, style: Tensor | None, factor: Tensor, kind: torch.dtype) -> Tensor:
    """Return the one sample's kernel: for a single code that costs less memory traffic than scaling activations."""
    usual = weight.device.type == "cpu" and weight.dtype == factor.dtype == torch.float32
    kernel = torch.mul(weight, factor.reshape(-1, 1, 1, 1), out=scratch("own", *weight.shape) if usual else None)
    if style is not None:
        kernel = kernel.mul_(style.reshape(1, -1, 1, 1))
    return kernel.to(kind)


def _shift_dot(inner: Tensor, bias: Tensor, noise: Tensor | None) -> Float[Tensor, "b o"]:
    """Return Σ inner·(bias + noise) over the picture."""
    dtype = torch.promote_types(inner.dtype, torch.float32)
    if bias.shape[1:] != (1, 1):
        return _channel_dot(inner, (bias if noise is None else bias + noise).expand_as(inner))
    total = inner.sum(dim=(2, 3), dtype=dtype) * bias[:, 0, 0]
    if noise is not None:
        flat = noise.expand(len(inner), 1, *inner.shape[2:]).flatten(2).to(inner.dtype)
        total = total + torch.matmul(inner.flatten(2), flat.transpose(1, 2)).squeeze(2).to(dtype)
    return total


def _convolve_adjoint(y: Tensor, weight: Tensor, up_filter: Tensor | None, x: Tensor) -> Tensor:
    """Take a gradient back through `_convolve`, `x` being what it took; `y` may be overwritten."""
    if up_filter is not None:
        return conv2d_up_adjoint(y, weight, up_filter)
    if winograd.is_worthwhile(y, weight):
        return winograd.conv3x3(y, weight.flip((2, 3)).transpose(0, 1), overwrite=True)
    made: Tensor = conv2d_input(x.shape, weight, y, padding=weight.shape[-1] // 2)  # type: ignore[arg-type]
    return made
