"""Directions between texts in the space of a text-image model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from sat3d.perception import ClipModel, DescriptorGroups

Phrases = str | Sequence[str]
Pair = tuple[tuple[str, ...], tuple[str, ...]]
"""Target and neutral phrases."""


def imagenet_templates() -> tuple[str, ...]:
    """Return the prompt templates that CLIP's authors chose for ImageNet, from open_clip, with `{}` for the phrase."""
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

    return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)


def checked_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Return templates that can be used.

    Raises:
        ValueError: there is none, or one without exactly one place for the phrase.
    """
    if not templates or any(template.count("{}") != 1 for template in templates):
        raise ValueError(f"templates={list(templates)} must be texts with one {{}} each, where the phrase goes")
    return tuple(templates)


def as_pair(name: str, target: Phrases, neutral: Phrases) -> Pair:
    """Return the phrases of an attribute as tuples.

    Raises:
        ValueError: one is empty, or both are the same.
    """
    sides = tuple((side,) if isinstance(side, str) else tuple(side) for side in (target, neutral))
    for side in sides:
        if not side or not all(isinstance(phrase, str) and phrase.strip() for phrase in side):
            raise ValueError(f"texts: {name}: {list(side)} must be a phrase, or a list of phrases")
    if set(sides[0]) == set(sides[1]):
        raise ValueError(f"texts: {name}: target and neutral are the same, so that there is no direction between them")
    return sides[0], sides[1]


def checked_texts(texts: Mapping[str, Sequence[Phrases]]) -> dict[str, Pair]:
    """Return the pairs of all attributes, see `as_pair`.

    Raises:
        ValueError: what an attribute has is no pair.
    """
    for name, pair in texts.items():
        if isinstance(pair, str) or len(pair) != 2:
            raise ValueError(f"texts: {name}: {pair!r} must be a list of two: target and neutral phrases")
    return {name: as_pair(name, *pair) for name, pair in texts.items()}


def pairs_of(groups: DescriptorGroups) -> dict[str, Pair]:
    """Return a pair for every phrase of descriptor groups, under its own name: it, and the others of its group.

    Raises:
        ValueError: a phrase stands in two groups.
    """
    pairs: dict[str, Pair] = {}
    for phrases in (phrases for attribute in groups.attributes for phrases in groups.groups[attribute]):
        for phrase in phrases:
            if phrase in pairs:
                raise ValueError(f"{groups.source}: {phrase!r} stands in two groups; name it in texts instead")
            pairs[phrase] = ((phrase,), tuple(other for other in phrases if other != phrase))
    return pairs


def embed(clip: ClipModel, phrases: Sequence[str], templates: Sequence[str]) -> Float[Tensor, " d"]:
    """Embed phrases as one unit vector: the mean over templates, made unit, and over phrases likewise, (D,)."""
    texts = [template.replace("{}", phrase) for phrase in phrases for template in templates]
    embedded = clip.encode_text(texts).unflatten(0, (len(phrases), len(templates)))
    return normalize(normalize(embedded.mean(1), dim=-1).mean(0), dim=-1)


def text_direction(
    clip: ClipModel, target: Phrases, neutral: Phrases, templates: Sequence[str] = ("{}",)
) -> Float[Tensor, " d"]:
    """Return Δt = unit(E_t(target) − E_t(neutral)) (Patashnik et al. 2021, arXiv 2103.17249, §6.1), (D,).

    Args:
        clip: text-image model.
        target: what shall be seen: a phrase, or several, of which the mean is taken.
        neutral: what is seen instead, now.
        templates: texts with `{}` for the phrase; the mean over them is less noisy.

    Example:
        >>> text_direction(load_clip(), "a smile", "a frown", ["a head with {}", "a face with {}"])
    """
    wanted, usual = as_pair("target, neutral", target, neutral)
    return normalize(embed(clip, wanted, templates) - embed(clip, usual, templates), dim=0)


def text_directions(clip: ClipModel, pairs: Mapping[str, Pair], templates: Sequence[str]) -> Float[Tensor, "a d"]:
    """Return the direction of every attribute, (A, D)."""
    return torch.stack([text_direction(clip, *pair, templates) for pair in pairs.values()])
