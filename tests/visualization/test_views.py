import pytest
import torch

from sat3d.generators import tiny_generator
from sat3d.visualization import edit_clip, edit_grid, views


@pytest.fixture(scope="module")
def net():
    return tiny_generator(0)


def styles(net, count):
    return net.styles(net.map(torch.randn(count, net.z_dim, generator=torch.Generator().manual_seed(0))))


def test_views_are_what_synthesis_shows(net):
    s, cameras = styles(net, 2), net.cameras.at(torch.tensor([0.0, 0.4, -0.3]), 0.0)
    shown = views(net, s, cameras)
    for i in range(2):
        for v in range(3):
            assert torch.allclose(shown[i, v], net.synthesize(s[i : i + 1], camera=cameras[v]).image[0], atol=1e-5)


def test_flat_generator_has_one_view_and_no_orbit():
    flat = tiny_generator(0, "stylegan2")
    s = styles(flat, 2)
    assert views(flat, s, None).shape == (2, 1, 3, 32, 32)
    with pytest.raises(ValueError, match="no orbit"):
        edit_clip(flat, s[:1], s[1:], s[:1])
    assert edit_grid(flat, s[:1], s[1:], s[:1], ["hat"], None).shape[2] == 3


def test_unchanged_edit_has_a_white_difference(net):
    s = styles(net, 2)
    page = edit_grid(net, s[:1], s[1:], s[:1], ["hat"], net.cameras.frontal())
    assert (page[-68:-4, -68:-4] == 255).all()
    assert not (page[-68:-4, -136:-72] == 255).all()


def test_orbit_clip_closes(net):
    s = styles(net, 2)
    clip = edit_clip(net, s[:1], s[1:], torch.cat([s, s]), frames=4, scale=1)
    assert clip.shape == (4, 64, 64 * 6, 3) and (clip[0] != clip[1]).any()
