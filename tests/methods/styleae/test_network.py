from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from sat3d.methods.styleae import LatentAutoencoder


def forward_by_hand(layers, x):
    """The same layers in numpy."""
    x = x.double().numpy()
    for layer in layers:
        if isinstance(layer, nn.Linear):
            x = x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
        else:
            x = np.where(x > 0, x, float(layer.weight.detach()) * x)
    return x


@pytest.mark.parametrize("hidden", [None, [12], [7, 9, 5], []])
def test_layers_are_those_of_the_paper(hidden):
    net = LatentAutoencoder(6, hidden)
    sizes = [6, *([6] * 3 if hidden is None else hidden), 6]
    weights = [m for m in net.encoder if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in weights] == list(pairwise(sizes))
    back = [m for m in net.decoder if isinstance(m, nn.Linear)]
    for layer, source in zip(back, reversed(weights), strict=True):
        assert torch.equal(layer.weight, source.weight.T) and layer.weight is not source.weight
    slopes = [
        [float(m.weight.detach()) for m in part if isinstance(m, nn.PReLU)] for part in (net.encoder, net.decoder)
    ]
    assert slopes[0] == pytest.approx([0.9] * (len(sizes) - 2)) and slopes[1] == pytest.approx(
        [1 / 0.9] * (len(sizes) - 2)
    )
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    z, made = net(x)
    np.testing.assert_allclose(z.detach().numpy(), forward_by_hand(net.encoder, x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made.detach().numpy(), forward_by_hand(net.decoder, z.detach()), rtol=1e-4, atol=1e-5)


def test_default_has_the_released_numbers_of_parameters():
    counted = sum(p.numel() for p in LatentAutoencoder(512).parameters())
    assert counted == 2 * (4 * (512 * 512 + 512) + 3)


def test_weights_are_xaviers_and_the_callers_random_numbers_stay():
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    net, again, other = LatentAutoencoder(256, seed=4), LatentAutoencoder(256, seed=4), LatentAutoencoder(256, seed=5)
    assert torch.equal(torch.rand(2), wanted)
    assert float(net.encoder[0].weight.detach().std()) == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    assert torch.equal(net.encoder[0].weight, again.encoder[0].weight)
    assert not torch.equal(net.encoder[0].weight, other.encoder[0].weight)
    with pytest.raises(ValueError, match="slope=0 must be above 0"):
        LatentAutoencoder(4, slope=0)
