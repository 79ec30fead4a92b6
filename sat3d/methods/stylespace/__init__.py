"""StyleSpace: channels of S and what they move (Wu et al. 2021, arXiv 2011.12799)."""

from sat3d.methods.stylespace.jacobian import GradientMaps

__all__ = ["GradientMaps"]
