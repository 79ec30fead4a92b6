"""StyleFlow: a continuous flow conditioned on labels (Abdal et al. 2021, arXiv 2008.02401)."""

from sat3d.methods.styleflow.editor import LabelRegressor, StyleFlowEditor
from sat3d.methods.styleflow.flow import ConditionalFlow, ContinuousFlow
from sat3d.methods.styleflow.layers import MovingNorm
from sat3d.methods.styleflow.module import StyleFlow

__all__ = ["ConditionalFlow", "ContinuousFlow", "LabelRegressor", "MovingNorm", "StyleFlow", "StyleFlowEditor"]
