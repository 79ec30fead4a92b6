"""The embedded ground-truth world: procedural 3-D heads of which everything is known.

A *code* z (B, 21), standard normal, is what a generator gets. A fixed map, non-linear and exactly invertible, gives
its *coordinates* u, uniform in (0, 1) and correlated on purpose, one for each of 21 attributes (13 to edit, 8 that
make a person). Coordinates and a camera give a *picture*: colours, part numbers, depth. So every z has a true picture,
a true caption, and true edits:

    >>> from sat3d.world import HeadWorld
    >>> world = HeadWorld()
    >>> z, camera = world.sample(seed=0, indices=range(8))          # pure in (seed, i)
    >>> u = world.coordinates(z)
    >>> picture = world.render(u, camera, resolution=128)           # needs numba: pip install 'sat3d[world]'
    >>> world.captions(u)
    >>> others_held = world.intervene(z, "glasses", "round")        # the ideal edit
    >>> others_follow = world.condition(z, "beard", "long")         # moustaches grow along

| file | holds |
|---|---|
| `attributes.yaml`, `attributes.py` | names, classes, phrases, correlations, colours |
| `codes.py` | the map z ↔ u |
| `anatomy.py` | attribute values → measures and colours of a head |
| `surface.py`, `paint.py`, `tracing.py` | signed distances, colours, sphere tracing (compiled by numba) |
| `captions.py` | English |
| `heads.py` | `HeadWorld`, which joins them |

Heads stay inside the cube [-0.5, 0.5]³, look along +z, and are lit by lights that stand still, without highlights that
move with the camera: what a radiance field can learn. `sat3d.data.WorldPictures` keeps pictures on disk.
"""

from sat3d.world.attributes import PARTS, Attribute
from sat3d.world.heads import HeadWorld, Picture

__all__ = ["PARTS", "Attribute", "HeadWorld", "Picture"]
