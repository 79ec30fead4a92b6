"""Modulated convolution (Karras et al. 2020, arXiv 1912.04958, Eq. 1-3) without per-sample weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sat3d.ops.resample import conv2d_up


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
        up_filter: if given, the (4, 4) filter with which the resolution is doubled.
    """
    if demodulate and x.dtype == torch.float16:
        # Half floats overflow otherwise; demodulation takes both factors out again.
        weight = weight / (weight.abs().amax(dim=(1, 2, 3), keepdim=True) * weight[0].numel() ** 0.5)
        style = style / style.abs().amax(dim=1, keepdim=True)
    x = x * style[:, :, None, None].to(x.dtype)
    w = weight.to(x.dtype)
    y = F.conv2d(x, w, padding=w.shape[-1] // 2) if up_filter is None else conv2d_up(x, w, up_filter)
    if demodulate:
        y = y * demodulation(weight, style)[:, :, None, None].to(x.dtype)
    return y


def demodulation(weight: Float[Tensor, "o i k k"], style: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
    """Return the factor of every output channel, in float32 or better."""
    dtype = torch.promote_types(style.dtype, torch.float32)
    energy = weight.to(dtype).square().sum(dim=(2, 3))
    return (style.to(dtype).square() @ energy.T + 1e-8).rsqrt()
