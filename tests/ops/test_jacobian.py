"""Adjoints through windows and tangents against autograd on whole pictures."""

import pytest
import torch
from torch.nn import functional as F

from sat3d.ops.jacobian import (
    Adjoint,
    StyledMap,
    Windows,
    cells,
    gather,
    inside,
    join,
    place,
    pull_resize,
    pull_upsample,
)
from sat3d.ops.modulation import modulated_conv2d
from sat3d.ops.resample import setup_filter, upsample2d

SIDE, OUT = 8, 5


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole(adjoint: Adjoint) -> torch.Tensor:
    """Return adjoints as whole pictures (cells, C, H, W)."""
    w = adjoint.windows
    return place(adjoint, w.all_of(w.side)).flatten(0, 2).permute(0, 3, 1, 2)


def scattered(side: int, size: int, channels: int = OUT) -> Adjoint:
    """Return random values in windows that jut out, lie even and odd, and are zero outside."""
    windows = Windows((-2, 0, 3), (side - size + 1, 1), size, side)
    return inside(Adjoint(seeded(3, 2, 2, size, size, channels), windows))


def test_cells_are_the_pooling() -> None:
    image = seeded(1, 3, 12, 12).requires_grad_()
    pooled = F.avg_pool2d(image, 3)[0]
    ours = cells(4, 12, 3, slice(1, 3), slice(4), image.detach())
    for at, mine in zip(((r, c, q) for r in (1, 2) for c in range(4) for q in range(3)), whole(ours), strict=True):
        (expected,) = torch.autograd.grad(pooled[at[2], at[0], at[1]], image, retain_graph=True)
        torch.testing.assert_close(mine, expected[0])
    with pytest.raises(ValueError, match="5×5 equal cells"):
        cells(5, 12, 3, slice(5), slice(5), image.detach())


def test_windows_are_cut_with_zeros_outside_and_put_back() -> None:
    x, adjoint = seeded(SIDE, SIDE, 3), scattered(SIDE, 4, 3)
    w, padded = adjoint.windows, F.pad(x, (0, 0, 4, 4, 4, 4))
    cut = gather(x, w)
    for i, top in enumerate(w.rows):
        for j, left in enumerate(w.cols):
            torch.testing.assert_close(cut[i, j, 0], padded[top + 4 : top + 8, left + 4 : left + 8])
    # ⟨cut(x), a⟩ = ⟨x, put back(a)⟩
    forth = (cut * adjoint.values).sum((3, 4, 5)).flatten()
    torch.testing.assert_close(forth, (whole(adjoint) * x.permute(2, 0, 1)).sum((1, 2, 3)))
    assert gather(x, w.all_of(SIDE)).shape == (1, 1, 1, SIDE, SIDE, 3)


def test_joining_adds_on_windows_that_hold_both() -> None:
    for sizes in ((3, 5), (5, 3)):
        a, b = (scattered(SIDE, size) for size in sizes)
        expected = whole(a) + whole(b)
        made = join(a, b)
        assert made is not None
        torch.testing.assert_close(whole(made), expected)
        assert join(a, None) is a and join(None, a) is a


@pytest.mark.parametrize("taps", [(1.0, 3.0, 2.0, 0.5), (1.0, 2.0, 0.5), (1.0, 2.0)])
@pytest.mark.parametrize("size", [3, 6, 16])
def test_upsampling_has_its_adjoint(taps: tuple[float, ...], size: int) -> None:
    f, x = setup_filter(taps).double(), seeded(1, OUT, SIDE, SIDE, seed=1).requires_grad_()
    upstream = scattered(2 * SIDE, size)
    y = upsample2d(x, f)
    expected = [torch.autograd.grad(y, x, g[None], retain_graph=True)[0][0] for g in whole(upstream)]
    torch.testing.assert_close(whole(pull_upsample(upstream, f)), torch.stack(expected))


def test_resizing_has_its_adjoint() -> None:
    for size, antialias in ((11, True), (5, True), (5, False)):
        x = seeded(1, OUT, SIDE, SIDE).requires_grad_()
        y = F.interpolate(x, (size, size), mode="bilinear", antialias=antialias)
        basis = torch.eye(SIDE, dtype=torch.float64)[None, None]
        matrix = F.interpolate(basis, (size, SIDE), mode="bilinear", antialias=antialias)[0, 0]
        upstream = scattered(size, 3)
        expected = [torch.autograd.grad(y, x, g[None], retain_graph=True)[0][0] for g in whole(upstream)]
        torch.testing.assert_close(whole(pull_resize(upstream, matrix)), torch.stack(expected))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("taps", [None, (1.0, 3.0, 2.0, 0.5), (1.0, 2.0, 0.5)])
@pytest.mark.parametrize("demodulate", [True, False])
def test_a_styled_layer_has_autograds_derivatives(
    kernel: int, taps: tuple[float, ...] | None, demodulate: bool
) -> None:
    x, style = seeded(1, 4, SIDE, SIDE).requires_grad_(), seeded(1, 4, seed=1).requires_grad_()
    weight, f = seeded(OUT, 4, kernel, kernel, seed=2), None if taps is None else setup_filter(taps).double()
    v = modulated_conv2d(x, weight, style, demodulate=demodulate, up_filter=f)
    shift = seeded(*v.shape, seed=3)
    y = F.leaky_relu(v + shift, 0.2)
    slope = (v + shift > 0).double() * 0.8 + 0.2
    demod = (style[0].square() @ weight.square().sum((2, 3)).T + 1e-8).rsqrt() if demodulate else None

    def last(t: torch.Tensor) -> torch.Tensor:
        return t.detach()[0].permute(1, 2, 0)

    layer = StyledMap(
        weight, last(x), style[0].detach(), None if demod is None else demod.detach(), last(slope), last(v), f
    )
    for size in (3, y.shape[-1]):
        upstream = scattered(y.shape[-1], size)
        back, gradient = layer.pull(upstream)
        assert back is not None and gradient is not None
        expected = [torch.autograd.grad(y, (x, style), g[None], retain_graph=True) for g in whole(upstream)]
        torch.testing.assert_close(whole(back), torch.cat([e[0] for e in expected]))
        torch.testing.assert_close(gradient.flatten(0, 2), torch.cat([e[1] for e in expected]))
    tangents = layer.inject(torch.tensor([2, 0])).permute(0, 3, 1, 2)
    pushed = layer.push(last(shift[:, :4, :SIDE, :SIDE])[None]).permute(0, 3, 1, 2)
    for g in (seeded(*y.shape, seed=4), seeded(*y.shape, seed=5)):  # ⟨g, J·t⟩ = ⟨Jᵀ·g, t⟩
        to_x, to_style = torch.autograd.grad(y, (x, style), g, retain_graph=True)
        torch.testing.assert_close((tangents * g).sum((1, 2, 3)), to_style[0, [2, 0]])
        torch.testing.assert_close((pushed * g).sum(), (to_x * shift[:, :4, :SIDE, :SIDE]).sum())
