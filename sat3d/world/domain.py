"""What makes one embedded world: its table, its measures, its shapes, its words, its cameras and its lights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sat3d.ops.camera import CameraDistribution
from sat3d.world.attributes import AttributeTable, Floats
from sat3d.world.captions import Captioner

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Lights:
    """Say where the lights are. They stand still in the world, so that pictures from several sides agree.

    Args:
        key: unit vector to the strongest light, which casts shadows.
        rim: unit vector to the light from behind.
        sky: light from everywhere: the same for all normals, more for those that look up, more for those that look to
            the front.
    """

    key: Vector = (-0.46, 0.62, 0.635)
    rim: Vector = (0.62, 0.30, -0.725)
    sky: Vector = (0.46, 0.20, 0.10)


@dataclass(frozen=True)
class Domain:
    """Describe an embedded world.

    Args:
        name: of the world and its folder, a plural ("heads").
        noun: what one of them is called, with its article ("a head").
        generator: the name that what is trained on it starts with ("toyfaces"): of `toyfaces64`, `toyfaces-judge`.
        table: its attributes.
        shapes: the module of its compiled `distance` and `paint`; imported when the first picture is made.
        record: the type of one record of measures, whose fields as a whole no other world has.
        measure: turns attribute values (B, A) into records (B,) and palettes (B, colours, 3), linear RGB.
        captioner: writes its captions.
        cameras: where cameras stand.
        depths: the nearest and the farthest distance from a camera at which rays look for it, world units.
        lights: where the lights are.
        small_parts: segmentation parts that are small and tell much: they weigh more when pictures are compared.
        front: figures of observers count cameras within this yaw from the front, radians; `None` counts all.
        version: raised when pictures change, so that pictures kept on disk are made anew.
    """

    name: str
    noun: str
    generator: str
    table: AttributeTable
    shapes: str
    record: np.dtype[np.void]
    measure: Callable[[Floats], tuple[npt.NDArray[np.void], Floats]]
    captioner: type[Captioner]
    cameras: CameraDistribution
    depths: tuple[float, float]
    lights: Lights = field(default_factory=Lights)
    small_parts: tuple[str, ...] = ()
    front: float | None = None
    version: int = 1
