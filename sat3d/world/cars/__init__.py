"""Toy cars, seen from all around: 14 attributes to edit, 6 that make a car."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sat3d.ops.camera import CameraDistribution
from sat3d.world.captions import Captioner
from sat3d.world.cars.measures import RECORD, TABLE, measure
from sat3d.world.domain import Domain, Lights

BODY_NOUNS = {
    "sports": "sports car's body",
    "convertible": "convertible's body",
    "sedan": "sedan's body",
    "hatchback": "hatchback's body",
    "suv": "SUV's body",
    "pickup": "pickup's body",
}


class CarCaptioner(Captioner):
    """Describe cars."""

    subjects = ("a car", "a car", "a car", "a toy car", "a toy car", "a vehicle", "an automobile", "a model car")
    openings = ("", "", "", "a picture of ", "a photo of ", "a render of ", "an image of ", "a shot of ")
    joined = (
        ("body_colour", "body_type"),
        ("wheel_size", "rim_colour"),
        ("roof_colour", "roof_rack"),
        ("bumper_colour", "grille"),
    )

    def hidden(self, facts: dict[str, str]) -> set[str]:
        hidden: set[str] = set()
        if facts["body_type"] == "convertible":
            hidden |= {"roof_colour", "roof_rack"}
        return hidden

    def join(self, names: Sequence[str], facts: dict[str, str]) -> str:
        if "body_type" in names:
            return f"a {facts['body_colour']} {BODY_NOUNS[facts['body_type']]}"
        if "rim_colour" in names:
            return f"{facts['wheel_size']} wheels with {facts['rim_colour']} rims"
        if "roof_rack" in names:
            if facts["roof_colour"] == "painted" or facts["roof_rack"] == "none":
                return ""
            load = "a rack" if facts["roof_rack"] == "bars" else "luggage"
            return f"{load} on a {facts['roof_colour']} roof"
        return f"{facts['bumper_colour']} bumpers and a {facts['grille']} grille"


DOMAIN = Domain(
    name="cars",
    noun="a car",
    generator="toycars",
    table=TABLE,
    shapes="sat3d.world.cars.shapes",
    record=RECORD,
    measure=measure,
    captioner=CarCaptioner,
    # from level to 40 degrees above
    cameras=CameraDistribution(yaw=(-math.pi, math.pi), pitch=(-1.01, 0.0), radius=2.7, fov=30.0, view=(0.65, -0.55)),
    depths=(2.18, 3.22),
    lights=Lights(key=(-0.349, 0.831, 0.432), rim=(0.55, 0.32, -0.771), sky=(0.52, 0.20, 0.03)),
    small_parts=("rims", "headlights", "taillights", "grille", "bumpers", "roof_rack", "spoiler"),
    front=None,
    version=2,
)
