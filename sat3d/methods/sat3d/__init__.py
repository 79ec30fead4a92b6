"""SAT3D: image-driven semantic attribute transfer by a learned mask over style channels (arXiv 2408.01664)."""

from sat3d.methods.interpolation import transfer
from sat3d.methods.sat3d.background import Background
from sat3d.methods.sat3d.editor import MaskEditor
from sat3d.methods.sat3d.losses import LossWeights, background_loss, remaining_loss, target_loss
from sat3d.methods.sat3d.mask import MaskMatrix, target_mask
from sat3d.methods.sat3d.module import SAT3D
from sat3d.methods.sat3d.selection import channel_relevance, preselect
from sat3d.methods.sat3d.targets import balancing_weights, choose_targets

__all__ = [
    "SAT3D",
    "Background",
    "LossWeights",
    "MaskEditor",
    "MaskMatrix",
    "background_loss",
    "balancing_weights",
    "channel_relevance",
    "choose_targets",
    "preselect",
    "remaining_loss",
    "target_loss",
    "target_mask",
    "transfer",
]
