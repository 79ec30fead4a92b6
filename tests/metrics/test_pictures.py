import numpy as np
import pytest
import torch

from sat3d.metrics import (
    PictureMatch,
    ViewConsistency,
    masked_l1,
    masked_psnr,
    picture_errors,
    view_spread,
)


def test_masked_differences_see_only_the_mask():
    a, b = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    b[:, :, 0, 0], b[:, :, 3, 3] = 0.5, 1.0
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, :, 0, :2] = 1
    assert masked_l1(a, b, mask).tolist() == [0.25, 0.0]
    assert float(masked_psnr(a, b, mask)[0]) == pytest.approx(10 * np.log10(4 / 0.125))


def test_psnr_against_numpy_and_in_batches():
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.rand(5, 3, 8, 8, generator=rng) * 2 - 1 for _ in range(2))
    expected = np.mean([10 * np.log10(4 / np.mean((x - y) ** 2)) for x, y in zip(a.numpy(), b.numpy(), strict=True)])
    whole, parts = PictureMatch(), PictureMatch()
    whole.update(a, b)
    parts.update(a[:2], b[:2])
    parts.update(a[2:], b[2:])
    assert float(whole.compute()) == pytest.approx(expected, rel=1e-5)
    assert float(parts.compute()) == pytest.approx(float(whole.compute()), rel=1e-6)


def test_view_spread_is_zero_for_equal_views_and_numpy_otherwise():
    scores, std = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([1.0, 2.0, 0.5, 1.0])
    expected = (scores.numpy().std(axis=1) / std.numpy()).mean(axis=1)
    assert np.allclose(view_spread(scores, std), expected, atol=1e-6)
    assert float(view_spread(scores[:, :1].expand(3, 5, 4), std).max()) == 0
    metric = ViewConsistency()
    metric.update(scores[:1], std)
    metric.update(scores[1:], std)
    assert float(metric.compute()) == pytest.approx(expected.mean(), rel=1e-5)


def test_errors_of_each_picture_by_their_definitions():
    rng = torch.Generator().manual_seed(0)
    a = torch.rand(3, 3, 16, 16, generator=rng) * 2 - 1
    b = (a + 0.3 * torch.randn(3, 3, 16, 16, generator=rng)).clamp(-1, 1)
    found = picture_errors(a, b * 1.0)
    x, y = ((t.double() + 1) / 2 for t in (a, b))
    mse = (x - y).square().mean((1, 2, 3))
    for name, expected in (("mse", mse), ("rmse", mse.sqrt()), ("psnr", -10 * mse.log10())):
        torch.testing.assert_close(getattr(found, name).double(), expected, rtol=1e-4, atol=1e-6)
    line = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2)).double()
    window = (line[:, None] * line / line.sum() ** 2).expand(3, 1, 11, 11)

    def blurred(t):
        return torch.nn.functional.conv2d(torch.nn.functional.pad(t, (5,) * 4, mode="reflect"), window, groups=3)

    mx, my = blurred(x), blurred(y)
    vx, vy, cov = blurred(x * x) - mx**2, blurred(y * y) - my**2, blurred(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    maps = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    torch.testing.assert_close(found.ssim.double(), maps.mean((1, 2, 3)), rtol=1e-3, atol=1e-3)
    assert picture_errors(a, a).ssim.min() > 0.9999
