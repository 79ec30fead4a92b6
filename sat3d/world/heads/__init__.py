"""Toy heads of people: 13 attributes to edit, 8 that make a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from sat3d.ops.camera import CameraDistribution
from sat3d.world.captions import Captioner
from sat3d.world.domain import Domain
from sat3d.world.heads.measures import RECORD, TABLE, measure

HAT_NOUNS = {"beanie": "beanie", "cap": "cap", "brimmed": "brimmed hat"}


class HeadCaptioner(Captioner):
    """Describe heads."""

    subjects = ("a head", "a head", "a face", "a person", "a toy head", "a figure", "somebody", "a toy face")
    plain: ClassVar[Mapping[str, str]] = {"somebody": "a person"}
    worn = ("glasses", "hat", "hat_colour", "shirt_colour")
    joined = (("hair_length", "hair_curl", "hair_colour"), ("hat", "hat_colour"), ("eye_size", "eye_colour"))

    def hidden(self, facts: dict[str, str]) -> set[str]:
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
        return hidden

    def completed(self, chosen: list[str], facts: dict[str, str]) -> list[str]:
        bald = facts["hair_length"] == "bald"
        if bald and "hair_colour" in chosen and "beard" not in chosen:
            return [*chosen, "beard"]  # the colour is the beard's
        return chosen

    def leads(self, name: str, chosen: Sequence[str]) -> bool:
        return not (name == "hair_curl" and "hair_colour" in chosen)

    def bound(self, name: str, chosen: Sequence[str], facts: dict[str, str]) -> tuple[Sequence[str], str]:
        if facts["hair_length"] == "bald" and name in ("hair_colour", "beard") and "hair_colour" in chosen:
            return ("beard", "hair_colour"), f"a {facts['beard']} {facts['hair_colour']} beard"
        return (), ""

    def join(self, names: Sequence[str], facts: dict[str, str]) -> str:
        if "hat" in names:
            return f"a {facts['hat_colour']} {HAT_NOUNS[facts['hat']]}"
        if "hair_colour" in names or "hair_length" in names:
            return "" if facts["hair_length"] == "bald" else " ".join(facts[n] for n in names) + " hair"
        return " ".join(facts[n] for n in names) + " eyes"


DOMAIN = Domain(
    name="heads",
    noun="a head",
    generator="toyfaces",
    table=TABLE,
    shapes="sat3d.world.heads.shapes",
    record=RECORD,
    measure=measure,
    captioner=HeadCaptioner,
    cameras=CameraDistribution(yaw=(-0.8, 0.8), pitch=(-0.35, 0.35), radius=2.7, fov=30.0),
    depths=(2.23, 3.13),
    small_parts=("nose", "eyes", "eyebrows", "mouth", "moustache", "glasses"),
    front=0.6,
    version=3,
)
