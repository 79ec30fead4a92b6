"""Pure functions on tensors, and `Camera` with its poses. Nothing here knows a network."""

from sat3d.ops.camera import Camera

__all__ = ["Camera"]
