"""Frozen generators behind one interface, factored as `z → w → s → image`."""

from sat3d.generators.base import Generator, Rendering, StyleLayer, StyleSpace
from sat3d.generators.official import from_official
from sat3d.generators.pickles import CheckpointError
from sat3d.generators.sampling import TOY_CAMERAS, CodeStream
from sat3d.generators.zoo import build_generator, load_generator, save_generator, tiny_generator
from sat3d.ops.camera import CameraDistribution

__all__ = [
    "TOY_CAMERAS",
    "CameraDistribution",
    "CheckpointError",
    "CodeStream",
    "Generator",
    "Rendering",
    "StyleLayer",
    "StyleSpace",
    "build_generator",
    "from_official",
    "load_generator",
    "save_generator",
    "tiny_generator",
]
