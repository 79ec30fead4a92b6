"""Captions of pictures: true, in varied English, a pure function of the coordinates, the seed and the number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from sat3d.world.attributes import Attribute, Floats
from sat3d.world.codes import counted_uniform

UNSURE = (0.4, 0.6)  # a continuous attribute between these is not mentioned


class Captioner:
    """Write captions from the phrases of attributes, naming a random part of what can be seen.

    A world's own captioner sets the words below, and what its attributes have to do with each other.

    Args:
        attributes: all attributes of the world, in the order of their coordinates.
    """

    subjects: tuple[str, ...] = ("a thing",)
    """What is described, drawn at random; twice for twice as often."""
    plain: ClassVar[Mapping[str, str]] = {}
    """Other words for subjects that take no adjective."""
    openings: tuple[str, ...] = (
        "", "", "", "a picture of ", "a photo of ", "a render of ", "an image of ", "a portrait of ",
    )  # fmt: skip
    """What comes before the subject."""
    worn: tuple[str, ...] = ()
    """Attributes whose phrases also follow "wearing"."""
    joined: tuple[tuple[str, ...], ...] = ()
    """Attributes that share a noun, in the order in which `join` says them."""

    def __init__(self, attributes: Sequence[Attribute]) -> None:
        self.attributes = {a.name: a for a in attributes}

    def facts(self, u: Floats, labels: np.ndarray) -> dict[str, str]:
        """Choose what may be said: the class of every attribute that shows clearly, by name.

        Args:
            u: coordinates, (A,).
            labels: its class indices, (A,).
        """
        facts = {
            a.name: a.classes[label]
            for a, value, label in zip(self.attributes.values(), u, labels, strict=True)
            if a.kind == "categorical" or not UNSURE[0] < value < UNSURE[1]
        }
        hidden = self.hidden(facts)
        return {name: label for name, label in facts.items() if name not in hidden}

    # -- for each world -----------------------------------------------------------------------------------------------

    def hidden(self, facts: dict[str, str]) -> set[str]:
        """Name the attributes that cannot be told, given the others: the colour of a hat that is not there."""
        return set()

    def completed(self, chosen: list[str], facts: dict[str, str]) -> list[str]:
        """Add the attributes without which the chosen ones cannot be said."""
        return chosen

    def leads(self, name: str, chosen: Sequence[str]) -> bool:
        """Tell whether an attribute may be said by an adjective in front."""
        return True

    def bound(self, name: str, chosen: Sequence[str], facts: dict[str, str]) -> tuple[Sequence[str], str]:
        """Say an attribute together with others, where it cannot be said otherwise: their names, and the phrase."""
        return (), ""

    def join(self, names: Sequence[str], facts: dict[str, str]) -> str:
        """Say several facts with one noun ("long curly red hair"); empty if they do not go together."""
        return ""

    # -- writing ------------------------------------------------------------------------------------------------------

    def caption(self, u: Floats, labels: np.ndarray, seed: int, index: int, about: str | None = None) -> str:
        """Write the caption of one picture.

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
        chosen = self.completed(chosen, facts)

        lead: list[str] = []
        for name in list(chosen):
            words = self.attributes[name].adjectives.get(facts[name], ())
            if words and len(lead) < 2 and dice.next() < 0.35 and self.leads(name, chosen):
                lead.append(dice.choice(words))
                chosen.remove(name)
        subject = dice.choice(self.subjects)
        if lead:
            subject = self.plain.get(subject, subject)
            noun = subject.split(" ", 1)[1]
            subject = f"{_article(lead[0])} {', '.join(lead)} {noun}"
        opening = dice.choice(self.openings)
        kept, worn = self._phrases(chosen, facts, dice)
        return (opening + _sentence(subject, kept, worn, dice)).strip()

    def _phrases(self, chosen: list[str], facts: dict[str, str], dice: _Dice) -> tuple[list[str], list[str]]:
        """Turn facts into noun phrases, joining those that share a noun; returns what is had and what is worn."""
        kept: list[str] = []
        worn: list[str] = []
        left = list(chosen)
        while left:
            name = left.pop(0)
            group = next((names for names in self.joined if name in names), ())
            together = [n for n in group if n == name or n in left]
            bound, phrase = self.bound(name, chosen, facts)
            if phrase:
                together = list(bound)
            elif len(together) > 1 and dice.next() < 0.7:
                phrase = self.join(together, facts)
            if phrase:
                left = [n for n in left if n not in together]
            else:
                phrase = dice.choice(self.attributes[name].phrases[facts[name]])
            wearable = name in self.worn and facts[name] != "none"
            (worn if wearable and dice.next() < 0.5 else kept).append(phrase)
        return kept, worn


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
