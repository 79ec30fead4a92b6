"""Who scores, by name: CLIP with descriptor groups, or an attribute predictor."""

from __future__ import annotations

from sat3d.perception.clip import load_clip
from sat3d.perception.descriptor_groups import DescriptorGroups
from sat3d.perception.qmm import QMM
from sat3d.perception.scorer import Scorer
from sat3d.perception.storage import load_observer


def load_scorer(name: str, option: str = "scorer") -> Scorer:
    """Load an attribute predictor.

    Args:
        name: shipped name or file.
        option: what asked for it, for the message.

    Raises:
        ValueError: it is another observer.
    """
    observer = load_observer(name)
    if not isinstance(observer, Scorer):
        raise ValueError(f"{option}={name!r} is no attribute predictor")
    return observer


def check_choice(clip: str | None, descriptors: str | None, scorer: str | None) -> None:
    """Check, before anything is loaded, that one of the two kinds is asked for.

    Raises:
        ValueError: for both, neither, or half of the first.
    """
    if (scorer is None) == (clip is None) or (clip is None) != (descriptors is None):
        raise ValueError("give either clip and descriptors, or scorer (an attribute predictor in their place)")


def training_scorer(
    clip: str | None, pretrained: str | None, descriptors: str | None, temperature: float | None, scorer: str | None
) -> Scorer:
    """Load what teaches a method: `clip` and `descriptors`, or a `scorer` in their place.

    Args:
        clip: text-image model.
        pretrained: its weights, where open_clip offers several.
        descriptors: descriptor groups, a bundled name or a YAML file.
        temperature: of the descriptors' softmax; `None` takes CLIP's own scale.
        scorer: an attribute predictor.

    Raises:
        ValueError: for both, neither, or half of the first.
    """
    check_choice(clip, descriptors, scorer)
    if scorer is not None:
        return load_scorer(scorer)
    assert clip is not None and descriptors is not None
    return QMM(load_clip(clip, pretrained), DescriptorGroups.from_yaml(descriptors), temperature)
