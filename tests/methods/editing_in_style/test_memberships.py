"""Whose the positions of a layer are, against cases made by hand and definitions written naively."""

import pytest
import torch

from sat3d.generators import load_generator, tiny_generator
from sat3d.methods.editing_in_style.memberships import (
    picture_members,
    plane_members,
    region_gradients,
    resized_labels,
    scaled_activations,
    surface,
)
from sat3d.ops.triplane import plane_axes


def styles(generator, count=2):
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(0))
    return generator.styles(generator.map(z)).detach()


def test_labels_are_taken_from_the_middle_of_a_cell():
    labels = torch.arange(64).view(1, 8, 8)
    assert resized_labels(labels, 2).tolist() == [[[18, 22], [50, 54]]]
    assert torch.equal(resized_labels(labels, 16)[0, ::2, ::2], labels[0])
    members = picture_members(torch.tensor([[[0, 1], [-1, 1]]]), 2, 2)
    assert members.tolist() == [[[[1, 0], [0, 0]], [[0, 1], [0, 1]]]]


def test_points_fall_on_the_planes_by_hand():
    """Planes (x, y), (x, z), (z, x) over a box of side 2, in 4 × 4 cells of side ½."""
    points = torch.tensor([[[-0.9, 0.1, 0.9], [0.3, 0.1, 0.3], [0.3, 0.1, 0.3], [0.3, 5.0, 9.0]]])
    labels = torch.tensor([[0, 1, -1, 1]])
    found = plane_members(points, labels, 2, 4, plane_axes(), box_warp=2.0)
    expected = torch.zeros(1, 2, 4, 4)
    expected[0, 0, 2, 0] = 1.0  # x y of the first point: column 0, row 2
    expected[0, 0, 3, 0] = 1.0  # x z: column 0, row 3
    expected[0, 0, 0, 3] = 1.0  # z x
    expected[0, 1, 2, 2] = 1.0  # the second point, on all three planes; the third has no region, the last is outside
    assert torch.equal(found, expected)
    crowd = torch.tensor([[[0.3, 0.3, 0.3], [0.3, 0.3, 0.3], [0.4, 0.4, 0.4]]])
    shares = plane_members(crowd, torch.tensor([[0, 1, 1]]), 2, 4, plane_axes(), box_warp=2.0)
    assert shares[0, :, 2, 2].tolist() == pytest.approx([1 / 3, 2 / 3]) and shares.sum() == pytest.approx(1)


def test_the_surface_lies_where_the_camera_sees_it():
    generator = tiny_generator(0)
    camera = generator.cameras.frontal()
    out = generator.synthesize(styles(generator), camera=camera)
    labels = torch.ones(2, 64, 64, dtype=torch.long)
    points, seen = surface(out, labels, camera)
    distance = (points - camera.cam2world[0, :3, 3]).norm(dim=-1)
    torch.testing.assert_close(distance, out.depth.flatten(1))
    assert torch.equal(seen, torch.where(out.opacity.flatten(1) > 0.5, 1, -1))


@pytest.mark.parametrize("kind", ["eg3d", "stylegan2"])
def test_a_style_scales_the_activation_that_is_collected(kind):
    """The layer, run alone on what was collected, gives what it gave within the network."""
    generator = tiny_generator(0) if kind == "eg3d" else tiny_generator(0, kind)
    camera = generator.cameras.frontal() if generator.is_3d else None
    space, s = generator.style_space, styles(generator)
    names = [y.name for y in space.layers if y.kind == "conv"]
    with scaled_activations(generator, space.names) as seen:
        out = generator.synthesize(s, camera=camera, features=names)
    modules = {name: layer for name, layer, *_ in generator.named_styled_layers()}
    for layer in space.layers:
        x = torch.cat(seen[layer.name])
        assert x.shape[1] == layer.size
        if layer.kind == "conv":
            again = modules[layer.name](x, s[:, layer.slice], "none" if layer.part == "superresolution" else "const")
            torch.testing.assert_close(again, out.features[layer.name])
    plain = generator.synthesize(s, camera=camera)
    torch.testing.assert_close(plain.image, out.image)
    assert not any(layer._forward_hooks for layer in modules.values())


def test_large_super_resolutions_come_in_parts(toys, monkeypatch):
    generator = load_generator(toys.generator)
    monkeypatch.setattr("sat3d.generators.eg3d._MOST_ACTIVATIONS", 1)
    name = "superresolution.block1.conv1"
    with torch.no_grad(), scaled_activations(generator, [name]) as seen:
        generator.synthesize(styles(generator, 3), camera=generator.cameras.frontal())
    assert len(seen[name]) == 3


def test_random_signs_estimate_the_energy_of_a_region():
    random = torch.Generator().manual_seed(0)
    matrix = torch.randn(3 * 4 * 4, 5, generator=random)
    s = torch.randn(1, 5, generator=random, requires_grad=True)
    members = torch.zeros(1, 2, 4, 4)
    members[:, 0, :2], members[:, 1, 2:] = 1, 1
    found = torch.zeros(2, 5)
    for _ in range(4000):
        signs = torch.randint(0, 2, (1, 3, 4, 4), generator=random) * 2.0 - 1
        found += region_gradients((s @ matrix.T).view(1, 3, 4, 4), s, members, signs)[0].square() / 4000
    rows = matrix.view(3, 4, 4, 5)
    exact = torch.stack([rows[:, :2].square().sum((0, 1, 2)), rows[:, 2:].square().sum((0, 1, 2))])
    torch.testing.assert_close(found, exact, rtol=0.1, atol=0)
