import re

import pytest
import torch

from sat3d.generators import tiny_generator
from sat3d.methods import ChannelEditor, load_editor

G = tiny_generator(0)
LAYER = G.style_space.layers[2]
FLAT = LAYER.start + 3


def editor(**options):
    std = torch.linspace(0.5, 2.0, G.style_space.size)
    channels, directions = torch.tensor([[4, 9], [9, -1]]), torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    return ChannelEditor.of(
        G.style_space, ("hat", "smile"), channels=channels, directions=directions, std=std, **options
    )


@pytest.fixture
def styles():
    return torch.randn(3, G.style_space.size, generator=torch.Generator().manual_seed(0))


def test_strength_counts_standard_deviations_of_the_channel_and_nothing_else_moves(styles):
    tool = editor(top=2)
    moved = tool.edit(styles, "hat", torch.tensor([2.0, -1.0, 0.0])) - styles
    expected = torch.zeros_like(styles)
    expected[:, 4], expected[:, 9] = (torch.tensor([2.0, -1.0, 0.0]) * x for x in (tool.std[4], -tool.std[9]))
    torch.testing.assert_close(moved, expected)
    assert torch.equal(editor().edit(styles, "hat", 2.0)[:, 9], styles[:, 9])  # top 1
    both = editor(top=2).edit(styles, ["hat", "smile"], 1.0) - styles
    torch.testing.assert_close(both[:, 9], torch.zeros(3))  # one lowers it, one raises it


def test_any_channel_by_name(styles):
    name = f"{LAYER.name}/3"
    moved = editor().edit(styles, name, 5.0) - styles
    assert moved.abs().gt(0).nonzero()[:, 1].unique().tolist() == [FLAT]
    torch.testing.assert_close(moved[:, FLAT], torch.full((3,), 5.0) * editor().std[FLAT])
    assert G.style_space.locate(FLAT) == (LAYER.name, 3)
    for wrong in (f"{LAYER.name}/{LAYER.size}", "b8.conv9/3", f"{LAYER.name}/x"):
        with pytest.raises(ValueError, match="attribute: unknown"):
            editor().edit(styles, wrong, 5.0)
    first = G.style_space.layers[0]
    named = f"every channel as layer/number, such as {first.name}/0 to {first.name}/{first.size - 1}"
    for tool, known in ((editor(), f"hat, smile, {named}"), (ChannelEditor.of(G.style_space, ()), named)):
        with pytest.raises(ValueError, match=re.escape(f"attribute: unknown hut; this editor knows {known}")):
            tool.edit(styles, "hut", 5.0)


@pytest.mark.parametrize("attribute", ["hat", "smile", f"{LAYER.name}/3"])
def test_strength_0_is_the_identity_bit_by_bit(styles, attribute):
    assert torch.equal(editor(top=2).edit(styles, attribute, 0.0), styles)


def test_saved_and_loaded_and_refused_on_another_generator(styles, tmp_path):
    tool = editor(top=2)
    tool.save(tmp_path / "editor", G, method="StyleSpaceDiscovery")
    loaded = load_editor(tmp_path / "editor", G)
    assert torch.equal(loaded.edit(styles, "hat", 3.0), tool.edit(styles, "hat", 3.0))
    assert loaded.with_top(1).channels_of("hat") == [(4, 1.0)]
    with pytest.raises(ValueError, match="not for"):
        load_editor(tmp_path / "editor", tiny_generator(1))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="top=3 must be between 1 and 2"):
        editor(top=3)
    with pytest.raises(ValueError, match="do not fit 1 attributes"):
        ChannelEditor.of(G.style_space, ("hat",), std=torch.ones(3))
