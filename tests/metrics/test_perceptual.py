"""Perceptual distance: by hand, and as torchmetrics computes LPIPS with the same weights."""

import pytest
import torch
from torchmetrics.functional.image.lpips import _LPIPS, learned_perceptual_image_patch_similarity

from sat3d.metrics import feature_distance
from sat3d.perception import load_perceptual
from sat3d.perception.perceptual import LearnedPerceptual


def test_by_hand():
    f, g = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    f[0, 0], g[0, 0, 0, 0], g[0, 1, 0, 1] = 3.0, 5.0, 2.0  # equal directions left; orthogonal ones right: 1² + 1²
    assert feature_distance([f], [g]).item() == pytest.approx(0.5)  # mean over places and channels
    assert feature_distance([f], [g], [torch.tensor([1.0, 3.0])]).item() == pytest.approx(2.0)
    assert feature_distance([f, f], [g, f]).item() == pytest.approx(0.5)


def test_equals_torchmetrics_with_the_same_weights(monkeypatch):
    torch.manual_seed(0)
    net = _LPIPS(net="alex", pnet_rand=True)
    network = object.__new__(LearnedPerceptual)
    torch.nn.Module.__init__(network)
    network.scaling, network.net, network.lins = net.scaling_layer, net.net, net.lins
    a, b = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        ours = feature_distance(network.activations(a), network.activations(b), network.layer_weights)
        torch.testing.assert_close(ours, net(a, b).reshape(-1), atol=1e-6, rtol=1e-5)


def test_lpips_finds_its_weights_in_the_cache_or_tells_where_they_belong(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"AlexNet in .*checkpoints.*alexnet-owt-7be5be79.pth"):
        load_perceptual("lpips")
    from torchvision.models import alexnet

    torch.manual_seed(0)
    (tmp_path / "hub/checkpoints").mkdir(parents=True, exist_ok=True)
    torch.save(alexnet().state_dict(), tmp_path / "hub/checkpoints/alexnet-owt-7be5be79.pth")
    network = load_perceptual("lpips")
    a, b = torch.rand(1, 3, 64, 64) * 2 - 1, torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        ours = feature_distance(network.activations(a), network.activations(b), network.layer_weights)
    torch.testing.assert_close(ours[0], learned_perceptual_image_patch_similarity(a, b, net_type="alex"))


@pytest.mark.parametrize("name", ["toyfaces-judge", "toyfaces-labeller", "toyfaces-identity"])
def test_observers_serve_in_its_place(name):
    network = load_perceptual(name)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    layers = network.activations(images)
    assert len(layers) >= 3 and len({x.shape[-1] for x in layers}) == len(layers)
    assert feature_distance(layers, layers).tolist() == [0.0, 0.0]
    near = feature_distance(layers, network.activations(images + 0.02 * torch.randn_like(images)))
    far = feature_distance(layers, network.activations(images.flip(0)))
    assert (near < far).all() and (near > 0).all()


def test_an_observer_without_stages_is_refused():
    with pytest.raises(ValueError, match="perceptual='toyfaces-parser' has no stages"):
        load_perceptual("toyfaces-parser")
