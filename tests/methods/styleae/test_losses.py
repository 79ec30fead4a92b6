import numpy as np
import pytest
import torch

from sat3d.methods.styleae.losses import label_loss, label_weight, one_per_code, picture_loss


def test_label_losses_are_those_of_the_paper():
    rng = torch.Generator().manual_seed(0)
    c, labels = torch.randn(7, 4, generator=rng), torch.tensor([-1.0, 1.0, -1.0, 1.0]).expand(7, 4)
    square = np.mean([(float(x) - float(y)) ** 2 for x, y in zip(c.flatten(), labels.flatten(), strict=True)])
    assert float(label_loss(c, labels)) == pytest.approx(square, rel=1e-5)
    rows = [sum(max((1.0 if y > 0 else 0.0) - x, 0.0) ** 2 for x, y in zip(a, b, strict=True))
            for a, b in zip(c.tolist(), labels.tolist(), strict=True)]  # fmt: skip
    assert float(label_loss(c, labels, "hinge")) == pytest.approx(np.mean(rows), rel=1e-5)
    assert float(label_loss(torch.tensor([[3.0, 0.2]]), torch.tensor([[1.0, -1.0]]), "hinge")) == 0  # beyond is free
    with pytest.raises(ValueError, match="choose square or hinge"):
        label_loss(c, labels, "l1")


def test_picture_losses():
    a, b = (torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(i)).double() for i in (0, 1))
    square, beyond = picture_loss(a, b, 0.04)
    d = (a - b).numpy()
    assert float(square) == pytest.approx((d**2).mean()) and float(beyond) == pytest.approx(
        np.maximum(np.abs(d) - 0.04, 0).mean()
    )
    assert float(picture_loss(a, a + 0.03)[1]) == 0


def test_means_of_two_devices_are_the_mean_of_one():
    a, b = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    for kind in ("square", "hinge"):
        halves = (label_loss(a[:3], b[:3].sign(), kind) + label_loss(a[3:], b[3:].sign(), kind)) / 2
        torch.testing.assert_close(label_loss(a, b.sign(), kind), halves)


def test_label_weight_rises_and_stays():
    # the released code: min((e + 1) / 100, 0.3)
    wanted = [min((epoch + 1) / 100, 0.3) for epoch in range(100)]
    assert [label_weight(epoch, 0.3, 30) for epoch in range(100)] == pytest.approx(wanted)
    assert label_weight(0) == 0.3


def test_one_w_serves_all_layers():
    w = torch.randn(2, 3)
    assert torch.equal(one_per_code(w, 4)[:, 3], w) and one_per_code(w, 4).shape == (2, 4, 3)
