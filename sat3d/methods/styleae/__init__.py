"""StyleAE: an autoencoder that gives each attribute its own coordinate (Bedychaj et al. 2024, arXiv 2412.20164)."""

from sat3d.methods.styleae.editor import AutoencoderEditor
from sat3d.methods.styleae.module import StyleAE
from sat3d.methods.styleae.network import LatentAutoencoder

__all__ = ["AutoencoderEditor", "LatentAutoencoder", "StyleAE"]
