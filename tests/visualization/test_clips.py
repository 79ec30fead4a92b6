import numpy as np
import pytest
import torch

from sat3d.generators import tiny_generator
from sat3d.visualization import PathClip, coloured_depths, look, morph_pages, to_uint8


@pytest.fixture(scope="module")
def net():
    return tiny_generator(0)


def styles(net, count):
    with torch.no_grad():
        return net.styles(net.map(torch.randn(count, net.z_dim, generator=torch.Generator().manual_seed(0))))


def test_a_clip_shows_every_code_from_every_camera(net):
    s, track = styles(net, 2), net.cameras.orbit(3)
    clip = PathClip([look(net, one) for one in s.split(1)], track, net.resolution)
    frames = list(clip.pictures())
    assert len(frames) == 3
    for i, frame in enumerate(frames):
        for one, shown in zip(s.split(1), np.split(frame, 2, axis=1), strict=True):
            expected = to_uint8(net.synthesize(one, track[i]).image[0]).astype(int)
            assert np.abs(shown - expected).max() <= 1
    assert [page.shape for page in clip.depths()] == [(net.resolution, 2 * net.resolution, 3)] * 3


def test_colours_of_depth_are_shared_or_not():
    depth = torch.tensor([[[[1.0, 2.0]], [[2.0, 3.0]]], [[[2.0, 3.0]], [[4.0, 5.0]]]])  # 2 codes, 2 frames
    shared, own = (coloured_depths(depth, torch.ones_like(depth), flag).astype(int) for flag in (True, False))
    assert np.array_equal(shared[0, 1], shared[1, 0])
    assert (np.diff(np.unique(shared.reshape(-1, 3), axis=0), axis=0).any(1)).sum() == 4
    assert not np.array_equal(own[0, 1], own[1, 0])
    assert np.array_equal(own[0, 0, 0, 0], own[1, 0, 0, 0]) and np.array_equal(own[0, 1, 0, 1], own[1, 1, 0, 1])


def test_a_morph_grows_to_its_strength_and_goes_back(net):
    a, b = styles(net, 2).split(1)
    asked = []

    def edited(strength):
        asked.append(strength)
        return a + strength / 3.0 * (b - a)

    track = net.cameras.orbit(4)
    pages = list(morph_pages(net, edited, 3.0, track, net.resolution, 4))
    assert asked == pytest.approx([0, 1.5, 3, 1.5])
    for i, s in ((0, a), (2, b)):
        assert np.abs(pages[i] - to_uint8(net.synthesize(s, track[i]).image[0]).astype(int)).max() <= 1
    flat = tiny_generator(0, "stylegan2")
    s = styles(flat, 1)
    (page,) = morph_pages(flat, lambda _: s, 1.0, None, flat.resolution, 1)
    assert np.abs(page - to_uint8(flat.synthesize(s).image[0]).astype(int)).max() <= 1
