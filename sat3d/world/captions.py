"""Captions of heads: true, in varied English, a pure function of the head, the seed and its number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sat3d.world.attributes import Attribute, Floats
from sat3d.world.codes import counted_uniform

SUBJECTS = ["a head", "a head", "a face", "a person", "a toy head", "a figure", "somebody", "a toy face"]
OPENINGS = ["", "", "", "a picture of ", "a photo of ", "a render of ", "an image of ", "a portrait of "]
WORN = ("glasses", "hat", "hat_colour", "shirt_colour")
HAT_NOUNS = {"beanie": "beanie", "cap": "cap", "brimmed": "brimmed hat"}
JOINED = (("hair_length", "hair_curl", "hair_colour"), ("hat", "hat_colour"), ("eye_size", "eye_colour"))
UNSURE = (0.4, 0.6)  # a continuous attribute between these is not mentioned


class Captioner:
    """Write captions from the phrases of attributes, naming a random part of what can be seen.

    Args:
        attributes: all attributes of the world, in the order of their coordinates.
    """

    def __init__(self, attributes: Sequence[Attribute]) -> None:
        self.attributes = {a.name: a for a in attributes}

    def facts(self, u: Floats, labels: np.ndarray) -> dict[str, str]:
        """Choose what may be said of a head: the class of every attribute that shows clearly, by name.

        Args:
            u: coordinates of one head, (A,).
            labels: its class indices, (A,).
        """
        facts = {
            a.name: a.classes[label]
            for a, value, label in zip(self.attributes.values(), u, labels, strict=True)
            if a.kind == "categorical" or not UNSURE[0] < value < UNSURE[1]
        }
        hidden: set[str] = set()
        if facts["hat"] == "none":
            hidden |= {"hat_colour"}
        if facts["hair_length"] == "bald":
            hidden |= {"hair_curl"}
            if facts["beard"] == "none":
                hidden |= {"hair_colour"}
        elif facts["hair_length"] != "short":
            hidden |= {"ear_size"}
        if facts["glasses"] == "sunglasses":
            hidden |= {"eye_colour", "eye_size", "eye_spacing"}
        if facts["beard"] != "none":
            hidden |= {"jaw"}
        return {name: label for name, label in facts.items() if name not in hidden}

    def caption(self, u: Floats, labels: np.ndarray, seed: int, index: int, about: str | None = None) -> str:
        """Write the caption of one head.

        Args:
            u: its coordinates, (A,).
            labels: its class indices, (A,).
            seed: of the wording.
            index: its number, which draws the wording.
            about: the one attribute to name; the caption is empty where it does not show clearly.
        """
        dice = _Dice(counted_uniform(seed, np.array([index]), 96, stream=2)[0])
        facts = self.facts(u, labels)
        if about is not None and about not in facts:
            return ""
        names = dice.shuffled(sorted(facts))
        # editable attributes are what captions are for: identity comes first half as often
        names.sort(key=lambda name: self.attributes[name].role == "identity" and dice.next() < 0.5)
        chosen = names[: 1 if dice.next() < 0.3 else 2 + dice.below(5)]
        if about is not None:
            chosen = [about]
        bald = facts["hair_length"] == "bald"
        if bald and "hair_colour" in chosen and "beard" not in chosen:
            chosen.append("beard")  # the colour is the beard's

        lead: list[str] = []
        for name in list(chosen):
            words = self.attributes[name].adjectives.get(facts[name], ())
            if words and len(lead) < 2 and dice.next() < 0.35 and not (name == "hair_curl" and "hair_colour" in chosen):
                lead.append(dice.choice(words))
                chosen.remove(name)
        subject = dice.choice(SUBJECTS)
        if lead and subject == "somebody":
            subject = "a person"
        if lead:
            noun = subject.split(" ", 1)[1]
            subject = f"{_article(lead[0])} {', '.join(lead)} {noun}"
        opening = dice.choice(OPENINGS)
        kept, worn = self._phrases(chosen, facts, dice)
        return (opening + _sentence(subject, kept, worn, dice)).strip()

    def _phrases(self, chosen: list[str], facts: dict[str, str], dice: _Dice) -> tuple[list[str], list[str]]:
        """Turn facts into noun phrases, joining those that share a noun; returns what is had and what is worn."""
        kept: list[str] = []
        worn: list[str] = []
        left = list(chosen)
        while left:
            name = left.pop(0)
            group = next((names for names in JOINED if name in names), ())
            together = [n for n in group if n == name or n in left]
            phrase = ""
            if facts["hair_length"] == "bald" and name in ("hair_colour", "beard") and "hair_colour" in chosen:
                together = ["beard", "hair_colour"]
                phrase = f"a {facts['beard']} {facts['hair_colour']} beard"
            elif len(together) > 1 and dice.next() < 0.7:
                phrase = _joined(together, facts)
            if phrase:
                left = [n for n in left if n not in together]
            else:
                phrase = dice.choice(self.attributes[name].phrases[facts[name]])
            wearable = name in WORN and facts[name] != "none"
            (worn if wearable and dice.next() < 0.5 else kept).append(phrase)
        return kept, worn


def _joined(names: Sequence[str], facts: dict[str, str]) -> str:
    """Name several facts with one noun ("long curly red hair"); empty if they do not go together."""
    if "hat" in names:
        return f"a {facts['hat_colour']} {HAT_NOUNS[facts['hat']]}"
    if "hair_colour" in names or "hair_length" in names:
        return "" if facts["hair_length"] == "bald" else " ".join(facts[n] for n in names) + " hair"
    return " ".join(facts[n] for n in names) + " eyes"


def _sentence(subject: str, kept: list[str], worn: list[str], dice: _Dice) -> str:
    if not kept and not worn:
        return subject
    if kept and not worn and dice.next() < 0.12 and not kept[0].startswith("no "):
        return _listed(kept, dice)
    verb = dice.choice((" with ", " with ", " with ", " that has ", " having "))
    first = verb + _listed(kept, dice) if kept else ""
    second = " wearing " + _listed(worn, dice) if worn else ""
    if first and second:
        return subject + (first + "," + second if dice.next() < 0.5 else second + "," + first)
    return subject + first + second


def _listed(phrases: list[str], dice: _Dice) -> str:
    if len(phrases) == 1:
        return phrases[0]
    last = " and " if dice.next() < 0.8 else ", "
    return ", ".join(phrases[:-1]) + last + phrases[-1]


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


class _Dice:
    """Hand out random numbers of one caption in turn."""

    def __init__(self, numbers: Floats) -> None:
        self._numbers = iter(numbers.tolist())

    def next(self) -> float:
        return float(next(self._numbers))

    def below(self, count: int) -> int:
        return int(self.next() * count)

    def choice(self, options: Sequence[str]) -> str:
        return options[self.below(len(options))]

    def shuffled(self, options: Sequence[str]) -> list[str]:
        keys = [self.next() for _ in options]
        return [option for _, option in sorted(zip(keys, options, strict=True))]
