"""InterFaceGAN: linear boundaries between the codes that show an attribute and those that do not."""

from sat3d.methods.interfacegan.editor import BoundaryEditor
from sat3d.methods.interfacegan.imported import Effect, boundary_effects, read_boundaries
from sat3d.methods.interfacegan.module import InterFaceGAN

__all__ = ["BoundaryEditor", "Effect", "InterFaceGAN", "boundary_effects", "read_boundaries"]
