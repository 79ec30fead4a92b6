"""The editor: which channels a text moves, and by how much."""

import pytest
import torch
from torch.nn.functional import normalize

from sat3d.generators import load_generator
from sat3d.methods import TextDirectionEditor, load_editor
from sat3d.methods.styleclip import imagenet_templates, text_direction
from tests.methods.styleclip.planted import Eyes

RELEVANCE = [0.9, -0.3, 0.1, 0.0]


def editor(**changes):
    """Return an editor of 6 channels, of which 4 take part, with known relevance to `a`; `b` is the opposite."""
    effects = torch.stack([torch.tensor([r, (1 - r * r) ** 0.5]) for r in RELEVANCE])
    settings = {"effects": effects, "channels": torch.tensor([0, 2, 3, 5]), "std": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    texts = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    return TextDirectionEditor(("a", "b"), {"x": 2, "y": 4}, texts=texts, **{"threshold": 0.2, **settings, **changes})


def test_moves_what_is_relevant_enough():
    made = editor()
    torch.testing.assert_close(made.direction("a"), torch.tensor([1.0, 0, -2 * 0.3 / 0.9, 0, 0, 0]))
    torch.testing.assert_close(made.direction("b"), -made.direction("a"))
    torch.testing.assert_close(made.with_threshold(0.5).direction("a"), torch.tensor([1.0, 0, 0, 0, 0, 0]))
    torch.testing.assert_close(made.with_threshold(0.05).direction("a")[3], torch.tensor(3 * 0.1 / 0.9))
    named = [(layer, channel, round(r, 4)) for layer, channel, r in made.channels_of("a")]
    assert named == [("x", 0, 0.9), ("y", 0, -0.3)]


def test_a_number_of_channels_takes_the_place_of_a_threshold():
    made = editor(top=1)
    assert len(made.kept("a")) == 1 and len(made.with_top(3).kept("b")) == 3
    assert len(made.with_top(4).kept("a")) == 3  # the fourth has nothing to do with it
    assert len(made.with_threshold(0.2).kept("a")) == 2
    mixed = editor(top=1, thresholds={"b": 0.05})
    assert (len(mixed.kept("a")), len(mixed.kept("b"))) == (1, 3)
    assert len(editor(thresholds={"b": 0.05}).kept("a")) == 2


def test_a_threshold_that_leaves_nothing_is_an_error():
    made = editor(thresholds={"b": 0.95})
    with pytest.raises(ValueError, match=r"threshold=0.95: it leaves no channel for b, .* one has 0.900"):
        made.edit(torch.zeros(1, 6), "b", 1.0)
    made.edit(torch.zeros(1, 6), "a", 1.0)
    for changes, message in (
        ({"thresholds": {"c": 0.1}}, r"thresholds: \['c'\] are no attributes"),
        ({"threshold": 1.0}, "below 1"),
        ({"top": 0}, "top=0 must be at least 1"),
        ({"std": torch.ones(3)}, "do not fit"),
    ):
        with pytest.raises(ValueError, match=message):
            editor(**changes)


def test_edits_add_and_strength_0_is_the_identity():
    made, codes = editor(), torch.randn(3, 6)
    assert torch.equal(made.edit(codes, "a", 0.0), codes)
    strength = torch.tensor([0.0, 1.0, -2.0])
    torch.testing.assert_close(made.edit(codes, "a", strength), codes + strength[:, None] * made.direction("a"))
    torch.testing.assert_close(made.edit(codes, ["a", "b"], 3.0), codes)


def test_a_text_is_added_after_training(planted, eyes):
    made = planted.editor().with_text("more", "channel 7", ["channel 0", "channel 1"], eyes)
    assert made.attributes == ("wanted", "more")
    torch.testing.assert_close(made.direction("wanted"), planted.editor().direction("wanted"))
    zero_one = normalize(eyes.turn[0] + eyes.turn[1], dim=0)
    torch.testing.assert_close(made.texts[1], normalize(eyes.turn[7] - zero_one, dim=0))
    assert made.channels_of("more")[0][:2] == ("b4.conv1", 7)
    again = made.with_text("wanted", "channel 3", "channel 4", eyes)
    assert again.attributes == ("more", "wanted") and {c for _, c, _ in again.channels_of("wanted")[:2]} == {3, 4}
    with pytest.raises(ValueError, match="whose space is another"):
        made.with_text("more", "channel 1", "channel 0", Eyes(seed=1))
    with pytest.raises(ValueError, match="are the same"):
        made.with_text("more", "channel 1", "channel 1", eyes)


def test_text_direction_equals_a_loop(eyes):
    templates, sides = ("a photo of {}", "{} here"), (["an oak", "an elm"], ["a shrub"])
    means = []
    for phrases in sides:
        per_phrase = [normalize(sum(eyes._text(t.format(p)) for t in templates) / 2, dim=0) for p in phrases]
        means.append(normalize(sum(per_phrase) / len(phrases), dim=0))
    expected = (means[0] - means[1]) / (means[0] - means[1]).norm()
    torch.testing.assert_close(text_direction(eyes, *sides, templates), expected)
    usual = imagenet_templates()
    assert len(usual) == 80 and all(t.count("{}") == 1 for t in usual)


def test_is_kept_and_refused_on_another_generator(planted, pixels, tmp_path, toys, eyes):
    made = load_editor(tmp_path / "editor", pixels)
    codes = torch.randn(2, 12)
    assert torch.equal(made.edit(codes, "wanted", 4.0), planted.editor().edit(codes, "wanted", 4.0))
    assert made.card["method"] == "StyleCLIPDirections"
    made.with_text("more", "channel 7", "channel 1", eyes).with_threshold(0.3).save(tmp_path / "more", pixels)
    again = load_editor(tmp_path / "more", pixels)
    assert again.attributes == ("wanted", "more") and again.threshold == 0.3
    with pytest.raises(ValueError, match="made for generator"):
        load_editor(tmp_path / "editor", load_generator(toys.flat))
