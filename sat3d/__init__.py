"""Attribute editing in the style space of 2-D and 3-D-aware generators.

A frozen generator is factored as ``z → w → s → image``; every editing method moves a code between the second and the
third arrow; every judgement of an edit is made by a frozen observer that looks at the image.

Example:
    >>> import sat3d
    >>> G = sat3d.load_generator("toyfaces64")
    >>> s = G.styles(G.map(torch.randn(1, G.z_dim)))
    >>> G.synthesize(s, camera=G.cameras.frontal()).image.shape
    torch.Size([1, 3, 64, 64])
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# The names of everyday use and where they live. Read on first use, so that `import sat3d` and `--help` cost nothing.
_HOMES = {
    "Camera": "sat3d.ops.camera",
    "load_generator": "sat3d.generators",
    "from_official": "sat3d.generators",
    "load_observer": "sat3d.perception",
    "load_clip": "sat3d.perception",
    "load_editor": "sat3d.methods",
    "load_world": "sat3d.world",
    "shipped_path": "sat3d.shipped",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sat3d' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
