"""Perceptual distance: how differently a network sees two pictures (LPIPS; Zhang et al. 2018, arXiv 1801.03924)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def feature_distance(
    a: Sequence[Float[Tensor, "b _ _ _"]],
    b: Sequence[Float[Tensor, "b _ _ _"]],
    weights: Sequence[Float[Tensor, " _"]] | None = None,
) -> Float[Tensor, " b"]:
    """Return Σ_l mean_hw Σ_c w_lc (f_lc/‖f_l‖ − g_lc/‖g_l‖)², equation (1) of the paper, of each pair of pictures.

    Args:
        a: activations of the layers l, (B, C_l, H_l, W_l).
        b: those of the other pictures.
        weights: w, (C_l,) each; 1/C_l if not given, so that layers of any width count alike.
    """
    total = a[0].new_zeros(len(a[0]))
    for layer, (f, g) in enumerate(zip(a, b, strict=True)):
        squared = (_unit(f) - _unit(g)).square()
        if weights is None:
            total = total + squared.mean((1, 2, 3))
        else:
            total = total + torch.einsum("bchw,c->bhw", squared, weights[layer]).mean((1, 2))
    return total


def _unit(f: Tensor) -> Tensor:
    return f / (f.square().sum(1, keepdim=True).sqrt() + 1e-8)
