import re

import pytest
import torch

from sat3d.world import load_world
from sat3d.world.heads import HeadCaptioner

COMPOUNDS = {
    "heads": [
        "{hair_length}? ?{hair_curl}? ?{hair_colour}? ?hair",
        "a {hat_colour} {hat}",
        "{eye_size} {eye_colour} eyes",
        "a {beard} {hair_colour} beard",
    ],
    "animals": [
        "{fur_pattern} {fur_colour} fur",
        "a {collar_colour} {collar}",
        "a {muzzle_length} {muzzle_width} muzzle",
        "a {nose_size} {nose_colour} nose",
        "{ear_size} {ear_shape} ears",
        "{eye_size} {eye_colour} eyes",
    ],
    "cars": [
        "a {body_colour} {body_type}'s body",
        "{wheel_size} wheels with {rim_colour} rims",
        "{roof_rack} on a {roof_colour} roof",
        "{bumper_colour} bumpers and a {grille} grille",
    ],
}
"""How attributes that share a noun are said together, for each world: by the names of their classes, or these words."""

WORDS = {"brimmed": "brimmed hat", "solid": "plain", "bow_tie": "bow tie", "bell": "collar with a bell"}
WORDS |= {"sports": "sports car", "suv": "SUV", "bars": "a rack"}
CLASSES = {words: name for name, words in WORDS.items()}

GLUE = {"a", "an", "and", "with", "that", "has", "having", "wearing"}


@pytest.fixture(scope="session")
def told(world):
    z, _ = world.sample(0, range(1500))
    u = world.coordinates(z)
    return u, world.labels(u), world.captions(u)


@pytest.fixture(scope="session")
def compounds(world):
    def group(match):
        classes = (WORDS.get(name, name) for name in world.attribute(match[1]).classes)
        return f"(?P<{match[1]}>{'|'.join(sorted(classes, key=len, reverse=True))})"

    written = (re.sub(r"\{(\w+)\}", group, compound) for compound in COMPOUNDS[world.name])
    return [re.compile(rf"(?<![\w-]){pattern}(?![\w-])") for pattern in written]


@pytest.fixture(scope="session")
def read(world, compounds):
    """Read what a caption says, as attributes and their classes, and what is left of it."""
    sayings = [
        (words, a.name, c)
        for a in world.attributes
        for c in a.classes
        for words in (*a.phrases[c], *a.adjectives.get(c, ()))
    ]
    sayings.sort(key=lambda saying: len(saying[0]), reverse=True)

    def said(caption):
        facts = []
        for compound in compounds:
            for match in compound.finditer(caption):
                groups = {name: words for name, words in match.groupdict().items() if words}
                if len(groups) > 1:
                    facts += [(name, CLASSES.get(words, words)) for name, words in groups.items()]
                    caption = caption.replace(match[0], "|")
        for words, name, c in sayings:
            left = re.sub(rf"(?<![\w-]){re.escape(words)}(?![\w-])", "|", caption)
            if left != caption:
                facts.append((name, c))
                caption = left
        return facts, caption

    return said


def test_captions_tell_only_what_is_true_and_nothing_besides(world, told, read):
    captioner = world.domain.captioner
    glue = GLUE.union(*(words.split() for words in (*captioner.subjects, *captioner.openings)))
    for u, labels, caption in zip(*told, strict=True):
        facts, left = read(caption)
        assert set(re.sub(r"[|,]", " ", left).split()) <= glue, caption
        assert len({name for name, _ in facts}) == len(facts), caption
        for name, c in facts:
            a, column = world.attribute(name), world.index(name)
            assert a.classes[labels[column]] == c, f"{caption!r}: {name} is not {c}"
            assert a.kind == "categorical" or not 0.4 < u[column] < 0.6, caption


@pytest.mark.parametrize(
    ("name", "shown", "pattern"),
    [
        ("heads", {"hat": "none"}, r"\b(red|yellow|green|blue|purple) (hat|headwear|cap|beanie|brimmed)"),
        ("heads", {"hair_length": "bald"}, r"\b(curl|curls|curly|straight|smooth)\b"),
        ("heads", {"hair_length": "bald", "beard": "none"}, r"\b(black|brown|red|blond|grey|ginger|chestnut) hair"),
        ("heads", {"hair_length": "long"}, r"\bears\b"),
        ("heads", {"glasses": "sunglasses"}, r"\b(?<!uncovered )eyes\b"),
        ("heads", {"beard": "short"}, r"\b(chin|jaw)\b"),
        ("animals", {"collar": "none"}, r"\b(neckwear|bow|bell|purple|something)\b|(?<!no) collar"),
        ("cars", {"body_type": "convertible"}, r"\b(roof|rack|rails|luggage|suitcases)\b|(black|white) top|roofed"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_not_mentioned(name, shown, pattern):
    world = load_world(name)
    z, _ = world.sample(3, range(400))
    for attribute, value in shown.items():
        z = world.intervene(z, attribute, value)
    captions = world.captions(world.coordinates(z))
    assert len(set(captions)) > 200
    assert not [caption for caption in captions if re.search(pattern, caption)]


def test_every_phrase_and_every_compound_is_in_use(world, told, compounds):
    text = "\n".join(told[2])
    for a in world.attributes:
        for name in a.classes:
            assert any(phrase in text for phrase in a.phrases[name]), (a.name, name)
    for compound in compounds:
        assert any(all(match.groups()) for match in compound.finditer(text)), compound


def test_articles_fit_the_words_behind_them(told):
    text = "\n".join(told[2])
    assert not re.search(r"\ba ([aeiou]|SUV)|\ban (?![aeiou]|SUV)", text)
    assert re.search(r"\ban [aeiou]", text)
    assert not re.search(r"  | ,|\b(\w+) \1\b", text)


def test_captions_vary_and_are_pure(world, told):
    u, _, captions = told
    assert len(set(captions)) > 0.9 * len(captions)
    assert world.captions(u[[5, 2]], [5, 2]) == [captions[5], captions[2]]
    assert world.captions(u, seed=1) != captions
    lengths = torch.tensor([len(c.split()) for c in captions])
    assert lengths.min() <= 4 and lengths.max() >= 20


def test_bald_heads_have_hair_colour_only_in_the_beard():
    world = load_world("heads")
    z, _ = world.sample(3, range(400))
    z = world.intervene(world.intervene(z, "hair_length", "bald"), "beard", "none")
    u = world.coordinates(z)
    facts = [
        HeadCaptioner(world.attributes).facts(r, s) for r, s in zip(u.numpy(), world.labels(u).numpy(), strict=True)
    ]
    assert not any("hair_colour" in f or "hair_curl" in f for f in facts)


def test_a_caption_about_one_attribute_names_that_alone_where_it_shows(world, told, read):
    u, labels = told[0][:120], told[1][:120]
    captioner = world.domain.captioner(world.attributes)
    shown = [captioner.facts(row.numpy(), classes.numpy()) for row, classes in zip(u, labels, strict=True)]
    for name in world.names:
        for caption, facts in zip(world.captions(u, about=name), shown, strict=True):
            if name in facts:
                bearded = name == "hair_colour" and facts["hair_length"] == "bald"
                assert {known for known, _ in read(caption)[0]} == {name} | ({"beard"} if bearded else set()), caption
            else:
                assert caption == ""
    with pytest.raises(ValueError, match="no attribute 'smyle'"):
        world.captions(u, about="smyle")
