"""The tensor functions against the papers' formulas, written as loops."""

import math

import pytest
import torch
from torch.nn import functional as F

from sat3d.ops import raymarch, resample, winograd
from sat3d.ops.modulation import leaky_relu, modulated_conv2d, styled_conv2d
from sat3d.ops.resample import conv2d_up, conv2d_up_adjoint, setup_filter, upsample2d
from sat3d.ops.scratch import scratch
from sat3d.ops.triplane import mean_plane_features, plane_axes, sample_planes


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_is_a_convolution_with_each_samples_own_weights(demodulate: bool) -> None:
    x, weight, style = seeded(3, 4, 5, 5), seeded(6, 4, 3, 3, seed=1), seeded(3, 4, seed=2)
    expected = []
    for i in range(3):
        own = weight * style[i, None, :, None, None]
        if demodulate:
            own = own / (own.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected.append(F.conv2d(x[i : i + 1], own, padding=1))
    torch.testing.assert_close(modulated_conv2d(x, weight, style, demodulate=demodulate), torch.cat(expected))


def test_modulated_convolution_has_the_right_gradients() -> None:
    arguments = [seeded(2, 3, 4, 4).requires_grad_(), seeded(2, 3, 3, 3, seed=1), seeded(2, 3, seed=2).requires_grad_()]
    assert torch.autograd.gradcheck(lambda x, w, s: modulated_conv2d(x, w, s, up_filter=setup_filter()), arguments)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("shift", ["bias", "noise", "noises", "map"])
def test_a_frozen_layer_equals_its_steps_taken_one_by_one(batch: int, up: bool, shift: str) -> None:
    x, style = seeded(batch, 3, 5, 5).requires_grad_(), seeded(batch, 3, seed=2).requires_grad_()
    weight, side = seeded(4, 3, 3, 3, seed=1), 10 if up else 5
    bias = seeded(4, side, side, seed=3) if shift == "map" else seeded(4, seed=3)
    noise = {"noise": seeded(side, side, seed=4), "noises": seeded(batch, 1, side, side, seed=4)}.get(shift)
    up_filter = setup_filter((1.0, 3.0, 2.0, 0.5)).double() if up else None

    y = modulated_conv2d(x, weight, style, up_filter=up_filter) + bias.reshape(4, *bias.shape[1:] or (1, 1))
    expected = leaky_relu(y if noise is None else y + noise, 0.7, 1.0)
    assert 0.02 < float((expected.abs() >= 0.7).double().mean()) < 0.9  # some are clamped
    ours = styled_conv2d(x, weight, style, bias, noise, up_filter=up_filter, gain=0.7, clamp=1.0)
    torch.testing.assert_close(ours, expected)
    upstream = seeded(*expected.shape, seed=5)
    for a, b in zip(
        torch.autograd.grad(ours, (x, style), upstream),
        torch.autograd.grad(expected, (x, style), upstream),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [(36, 32), (64, 80)])
@pytest.mark.parametrize("most", [24 * 130, 2**16])  # bands of one row and of several; blocks of outputs and one block
def test_winograd_gives_the_convolution(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], most: int) -> None:
    monkeypatch.setattr(winograd, "_AT_ONCE", most)
    for outputs, overwrite in ((130, False), (130, True), (128, True)):
        x = seeded(2, 128, *size).float().contiguous(memory_format=torch.channels_last)
        weight, bias = seeded(outputs, 128, 3, 3, seed=1).float(), seeded(outputs, seed=2).float()
        assert winograd.is_worthwhile(x, weight)
        expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
        ours = winograd.conv3x3(x, weight, bias, overwrite=overwrite)
        assert (ours.data_ptr() == x.data_ptr()) == (overwrite and outputs == 128)
        assert float((ours.double() - expected).norm() / expected.norm()) < 1e-5


def test_large_frozen_layers_have_the_gradients_of_their_steps() -> None:
    x = seeded(1, 128, 32, 32).float().requires_grad_()
    style, weight = seeded(1, 128, seed=2).float().requires_grad_(), seeded(130, 128, 3, 3, seed=1).float()
    bias, upstream = seeded(130, seed=3).float(), seeded(1, 130, 32, 32, seed=4).float()
    ours = styled_conv2d(x, weight, style, bias)
    expected = leaky_relu(modulated_conv2d(x, weight, style) + bias[:, None, None])
    assert float(((ours - expected).norm() / expected.norm()).detach()) < 1e-5
    for a, b in zip(
        torch.autograd.grad(ours, (x, style), upstream),
        torch.autograd.grad(expected, (x, style), upstream),
        strict=True,
    ):
        assert float((a - b).norm() / b.norm()) < 1e-3  # some leaky ReLUs change sign


def test_half_precision_neither_overflows_nor_drifts() -> None:
    x, weight, style = (
        seeded(1, 8, 6, 6).float(),
        seeded(4, 8, 3, 3, seed=1).float() * 300,
        seeded(1, 8, seed=2).float() * 300,
    )
    exact = modulated_conv2d(x, weight, style)
    half = modulated_conv2d(x.half(), weight.half(), style.half())
    assert half.isfinite().all()
    torch.testing.assert_close(half.float(), exact, rtol=2e-2, atol=2e-2)


def test_upsampling_inserts_zeros_and_filters() -> None:
    x, taps = seeded(1, 1, 4, 3), (1.0, 3.0, 2.0, 0.5)
    f = setup_filter(taps).double()
    spread = torch.zeros(1, 1, 8, 6, dtype=torch.float64)
    spread[..., ::2, ::2] = x
    padded = F.pad(spread, (2, 1, 2, 1))
    expected = torch.zeros_like(spread)
    for i in range(8):
        for j in range(6):
            for a in range(4):
                for b in range(4):  # a true convolution: the filter runs backwards
                    expected[0, 0, i, j] += 4 * f[3 - a, 3 - b] * padded[0, 0, i + a, j + b]
    torch.testing.assert_close(upsample2d(x, f), expected)


def test_marching_and_compositing_follow_the_volume_rendering_sum() -> None:
    sigma, features = seeded(1, 1, 6) * 4, seeded(1, 1, 6, 3, seed=1)
    depths = torch.tensor([2.0, 2.1, 2.25, 2.5, 2.6, 3.0], dtype=torch.float64).reshape(1, 1, 6)
    clear, colour, weights = 1.0, torch.zeros(3, dtype=torch.float64), []
    for i in range(5):
        density = math.log1p(math.exp(float(sigma[0, 0, i] + sigma[0, 0, i + 1]) / 2 - 1))
        alpha = 1 - math.exp(-density * float(depths[0, 0, i + 1] - depths[0, 0, i]))
        weights.append(clear * alpha)
        colour += weights[-1] * (features[0, 0, i] + features[0, 0, i + 1]) / 2
        clear *= 1 - alpha
    ours = raymarch.march_weights(sigma, depths)
    torch.testing.assert_close(ours[0, 0], torch.tensor(weights, dtype=torch.float64), rtol=1e-7, atol=1e-9)
    composited = raymarch.composite(raymarch.sample_weights(ours), features)
    torch.testing.assert_close(composited[0, 0], colour, rtol=1e-7, atol=1e-9)


def test_compositing_unsorted_samples_equals_sorting_their_colours() -> None:
    depths = seeded(2, 3, 7).abs() + 2
    sigma, features = seeded(2, 3, 7, seed=1) * 5, seeded(2, 3, 7, 4, seed=2)
    ordered, order = depths.sort(dim=-1)
    weights = raymarch.march_weights(sigma.gather(-1, order), ordered)
    gathered = features.gather(-2, order.unsqueeze(-1).expand(-1, -1, -1, 4))
    expected = (weights.unsqueeze(-1) * (gathered[..., :-1, :] + gathered[..., 1:, :]) / 2).sum(-2)
    torch.testing.assert_close(raymarch.composite(raymarch.sample_weights(weights, order), features), expected)


def test_importance_samples_follow_the_weights() -> None:
    depths = torch.linspace(2, 3, 21).reshape(1, 1, 21)
    weights = torch.zeros(1, 1, 20)
    weights[..., 12] = 1.0  # matter between depth 2.60 and 2.65
    u = torch.linspace(0.001, 0.999, 400).reshape(1, 1, 400)
    drawn = raymarch.importance_depths(depths, weights, u)
    near = ((drawn > 2.5) & (drawn < 2.75)).float().mean()
    assert float(near) > 0.9


@pytest.mark.parametrize("convention", ["released", "corrected"])
def test_plane_features_are_bilinear_in_the_planes_own_coordinates(convention: str) -> None:
    # planes that hold their own coordinates give the projections back
    side = 64
    line = (torch.arange(side) + 0.5) / side * 2 - 1
    v, u = torch.meshgrid(line, line, indexing="ij")
    planes = torch.stack([u, v]).expand(1, 3, 2, side, side)
    point = torch.tensor([[[0.2, -0.3, 0.11]]])
    x, y, z = (point[0, 0] * 2).tolist()
    seen = {"released": [(x, y), (x, z), (z, x)], "corrected": [(x, y), (x, z), (z, y)]}[convention]
    expected = torch.tensor(seen).mean(dim=0)
    torch.testing.assert_close(mean_plane_features(planes, plane_axes(convention), point, 1.0)[0, 0], expected)


def test_the_mean_of_planes_equals_reading_them_one_by_one() -> None:
    points = seeded(2, 50, 3) * 0.4  # some outside the box
    points[0, 0], points[0, 1] = 1e9, -1e9
    planes, points = seeded(2, 3, 4, 6, 5, seed=1).requires_grad_(), points.requires_grad_()
    expected = sample_planes(planes, plane_axes(), points, 1.0).mean(1)
    ours = mean_plane_features(planes, plane_axes(), points, 1.0)
    torch.testing.assert_close(ours, expected)
    upstream = seeded(2, 50, 4, seed=2)
    for a, b in zip(
        torch.autograd.grad(ours, (planes, points), upstream),
        torch.autograd.grad(expected, (planes, points), upstream),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_upsampling_convolutions_in_bands_equal_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, f = seeded(2, 3, 37, 5), seeded(4, 3, 3, 3, seed=1), setup_filter((1.0, 3.0, 2.0, 0.5)).double()
    bias, y = seeded(4, seed=2), seeded(2, 4, 74, 10, seed=3)
    whole, whole_adjoint = conv2d_up(x, weight, f, bias), conv2d_up_adjoint(y, weight, f)
    monkeypatch.setattr(resample, "_BAND", 1)  # the fewest rows at a time
    with torch.no_grad():
        torch.testing.assert_close(conv2d_up(x, weight, f, bias), whole)
        torch.testing.assert_close(conv2d_up_adjoint(y, weight, f), whole_adjoint)
    torch.testing.assert_close((conv2d_up(x, weight, f) * y).sum(), (x * whole_adjoint).sum())


def test_a_compiler_can_trace_a_styled_layer() -> None:
    x, style = seeded(1, 128, 32, 32).float(), seeded(1, 128, seed=1).float()
    weight, bias = seeded(128, 128, 3, 3, seed=2).float(), seeded(128, seed=3).float()

    def layers(x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        y = styled_conv2d(x, weight, style, bias, up_filter=setup_filter())
        return styled_conv2d(y, weight, style, bias)

    with torch.no_grad():
        ours = torch.compile(layers, backend="eager")(x, style)
        torch.testing.assert_close(ours, layers(x, style), rtol=1e-4, atol=1e-4)


def test_kept_memory_may_be_made_in_inference_mode_and_used_outside() -> None:
    scratch.kept.clear()
    x, weight = seeded(1, 128, 32, 32).float(), seeded(128, 128, 3, 3, seed=2).float()
    style, bias = seeded(1, 128, seed=1).float(), seeded(128, seed=3).float()
    with torch.inference_mode():
        expected = styled_conv2d(x, weight, style, bias, up_filter=setup_filter()).clone()
    style.requires_grad_()
    ours = styled_conv2d(x, weight, style, bias, up_filter=setup_filter())
    torch.testing.assert_close(ours.detach(), expected)
    assert torch.autograd.grad(ours.sum(), style)[0].isfinite().all()
