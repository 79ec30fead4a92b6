"""Toy heads of cats, lions and dogs: 14 attributes to edit, 6 that make an individual."""

from __future__ import annotations

from collections.abc import Sequence

from sat3d.ops.camera import CameraDistribution
from sat3d.world.animals.measures import RECORD, TABLE, measure
from sat3d.world.captions import Captioner
from sat3d.world.domain import Domain

PATTERNS = {"spotted": "spotted ", "striped": "striped "}


class AnimalCaptioner(Captioner):
    """Describe animals."""

    subjects = ("an animal", "an animal", "an animal's head", "a pet", "a toy animal", "a creature", "a stuffed animal")
    worn = ("collar", "collar_colour")
    joined = (
        ("fur_pattern", "fur_colour"),
        ("collar", "collar_colour"),
        ("muzzle_length", "muzzle_width"),
        ("nose_size", "nose_colour"),
        ("ear_size", "ear_shape"),
        ("eye_size", "eye_colour"),
    )

    def hidden(self, facts: dict[str, str]) -> set[str]:
        return {"collar_colour"} if facts["collar"] == "none" else set()

    def join(self, names: Sequence[str], facts: dict[str, str]) -> str:
        if "fur_colour" in names:
            return PATTERNS.get(facts["fur_pattern"], "plain ") + facts["fur_colour"] + " fur"
        if "collar" in names:
            colour = facts["collar_colour"]
            if facts["collar"] == "bow_tie":
                return f"a {colour} bow tie"
            return f"a {colour} collar" + (" with a bell" if facts["collar"] == "bell" else "")
        words = " ".join(facts[n] for n in names)
        if "muzzle_length" in names:
            return f"a {words} muzzle"
        if "nose_colour" in names:
            return f"a {words} nose"
        return words + (" ears" if "ear_shape" in names else " eyes")


DOMAIN = Domain(
    name="animals",
    noun="an animal",
    generator="toyanimals",
    table=TABLE,
    shapes="sat3d.world.animals.shapes",
    record=RECORD,
    measure=measure,
    captioner=AnimalCaptioner,
    cameras=CameraDistribution(yaw=(-0.8, 0.8), pitch=(-0.35, 0.35), radius=2.7, fov=30.0),
    depths=(2.19, 3.21),
    small_parts=("nose", "eyes", "mouth"),
    front=0.6,
)
