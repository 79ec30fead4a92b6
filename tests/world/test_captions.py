import re

import pytest
import torch

from sat3d.world import load_world
from sat3d.world.heads import HeadCaptioner


@pytest.fixture(scope="module")
def world():
    return load_world("heads")


@pytest.fixture(scope="module")
def told(world):
    z, _ = world.sample(0, range(1500))
    u = world.coordinates(z)
    return u, world.labels(u), world.captions(u)


def test_captions_tell_only_what_is_true(world, told):
    u, labels, captions = told
    for k, caption in enumerate(captions):
        for i, a in enumerate(world.attributes):
            for c, name in enumerate(a.classes):
                words = [*a.phrases[name], *a.adjectives.get(name, ())]
                said = any(re.search(rf"(?<![\w-]){re.escape(w)}(?![\w-])", caption) for w in words)
                assert not said or c == labels[k, i], f"{caption!r}: {a.name} is not {name}"
                assert not said or a.kind == "categorical" or not 0.4 < u[k, i] < 0.6, caption


def test_what_cannot_be_seen_is_not_mentioned(world, told):
    _, labels, captions = told
    hat, hair, shades = world.index("hat"), world.index("hair_length"), world.index("glasses")
    for k, caption in enumerate(captions):
        if labels[k, hat] == 0:
            assert not re.search(r"\b(red|yellow|green|blue|purple) (hat|headwear|cap|beanie|brimmed)", caption)
        if labels[k, hair] == 0:
            assert "curl" not in caption and "straight" not in caption
        if labels[k, shades] == 3:
            assert not re.search(r"\b(brown|blue|green|big|small|large|tiny) eyes", caption)


def test_every_plain_phrase_is_in_use(world, told):
    text = "\n".join(told[2])
    for a in world.attributes:
        for name in a.classes:
            assert any(phrase in text for phrase in a.phrases[name]), (a.name, name)


def test_captions_vary_and_are_pure(world, told):
    u, _, captions = told
    assert len(set(captions)) > 0.9 * len(captions)
    assert world.captions(u[[5, 2]], [5, 2]) == [captions[5], captions[2]]
    assert world.captions(u, seed=1) != captions
    lengths = torch.tensor([len(c.split()) for c in captions])
    assert lengths.min() <= 4 and lengths.max() >= 20


def test_compounds_join_what_shares_a_noun(world, told):
    text = "\n".join(told[2])
    assert re.search(r"(short|long|medium) (straight|curly) (black|brown|red|blond|grey) hair", text)
    assert re.search(r"a (red|yellow|green|blue|purple) (beanie|cap|brimmed hat)", text)


def test_bald_heads_have_hair_colour_only_in_the_beard(world):
    z, _ = world.sample(3, range(400))
    z = world.intervene(world.intervene(z, "hair_length", "bald"), "beard", "none")
    u = world.coordinates(z)
    facts = [
        HeadCaptioner(world.attributes).facts(r, s) for r, s in zip(u.numpy(), world.labels(u).numpy(), strict=True)
    ]
    assert not any("hair_colour" in f or "hair_curl" in f for f in facts)
    assert not re.search(r"\b(black|brown|red|blond|grey|ginger|chestnut) hair", "\n".join(world.captions(u)))


def test_a_caption_about_one_attribute_names_that_alone_where_it_shows(world, told):
    u, labels, _ = told
    for name in ("smile", "hat_colour"):
        captions = world.captions(u, about=name)
        column = world.index(name)
        assert {bool(c) for c in captions} == {True, False}
        for k, caption in enumerate(captions):
            if caption and name == "smile":
                assert not 0.4 < u[k, column] < 0.6
                assert not re.search(r"\b(hair|glasses|hat|shirt|background)\b", caption)
            if not caption and name == "hat_colour":
                assert world.attribute("hat").classes[labels[k, world.index("hat")]] == "none"
    with pytest.raises(ValueError, match="no attribute 'smyle'"):
        world.captions(u, about="smyle")
