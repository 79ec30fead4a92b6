"""Embedded ground-truth worlds: procedural 3-D heads, animals and cars of which everything is known.

A *code* z (B, attributes), standard normal, is what a generator gets. A fixed map, non-linear and exactly invertible,
gives its *coordinates* u, uniform in (0, 1) and correlated on purpose, one for each attribute: those to edit, and those
that make an individual. Coordinates and a camera give a *picture*: colours, part numbers, depth. So every z has a true
picture, a true caption, and true edits:

    >>> from sat3d.world import load_world
    >>> world = load_world("heads")                                 # or "animals", "cars"
    >>> z, camera = world.sample(seed=0, indices=range(8))          # pure in (seed, i)
    >>> u = world.coordinates(z)
    >>> picture = world.render(u, camera, resolution=128)           # needs numba: pip install 'sat3d[world]'
    >>> world.captions(u)
    >>> others_held = world.intervene(z, "glasses", "round")        # the ideal edit
    >>> others_follow = world.condition(z, "beard", "long")         # moustaches grow along

What all worlds share stands here once; a world is a folder:

| file | holds |
|---|---|
| `base.py` | `World`: sampling, coordinates, ideal edits, pictures, captions |
| `domain.py`, `attributes.py` | what makes a world: `Domain`, its `AttributeTable`, cameras, lights |
| `codes.py` | the map z ↔ u |
| `tracing.py`, `primitives.py` | sphere tracing and shading, signed distances (compiled by numba) |
| `captions.py` | English |
| `heads/`, `animals/`, `cars/` | each world's own: `attributes.yaml` (names, classes, phrases, correlations), \
`measures.py` (attribute values → measures), `shapes.py` (signed distance, paint), `__init__.py` (words, cameras) |

Things stay inside the sphere of radius 0.497 around the origin, look along +z, and are lit by lights that stand still,
without highlights that move with the camera: what a radiance field can learn. `sat3d.data.WorldPictures` keeps pictures
on disk.
"""

from functools import cache
from importlib import import_module

from sat3d.world.attributes import Attribute
from sat3d.world.base import Picture, World
from sat3d.world.domain import Domain

WORLDS = ("heads", "animals", "cars")
"""Names of the worlds of this package, each a folder of `sat3d/world`."""

__all__ = ["WORLDS", "Attribute", "Domain", "Picture", "World", "known_world", "load_world", "world_of"]


@cache
def load_world(name: str = "heads") -> World:
    """Return a world by its name.

    Args:
        name: one of `WORLDS`.

    Raises:
        ValueError: if there is no such world; the message lists those there are.
    """
    if name not in WORLDS:
        raise ValueError(f"there is no world {name!r}: choose from {', '.join(WORLDS)}")
    return World(import_module(f"sat3d.world.{name}").DOMAIN)


def world_of(network: str) -> World | None:
    """Return the world that a shipped network was trained on, told by its name: heads for `toyfaces64`.

    Args:
        network: name of a generator or an observer.

    Returns:
        The world, or `None` if the name is of no shipped network.
    """
    worlds = (load_world(name) for name in WORLDS)
    return next((world for world in worlds if network.startswith(world.domain.generator)), None)


def known_world(generator: str) -> World:
    """Return the world of a generator whose ideal edits are asked for.

    Args:
        generator: its name.

    Raises:
        ValueError: if its pictures are of no embedded world.
    """
    world = world_of(generator)
    if world is None:
        raise ValueError(
            f"generator={generator!r} is of no embedded world, and ideal edits are known there only: "
            "choose toyfaces64, toyanimals64 or toycars64, or leave the ideal edit out"
        )
    return world
