"""StyleSpace: channels of S and what they move (Wu et al. 2021, arXiv 2011.12799)."""

from sat3d.methods.stylespace.editor import ChannelEditor
from sat3d.methods.stylespace.jacobian import GradientMaps
from sat3d.methods.stylespace.module import StyleSpaceDiscovery
from sat3d.methods.stylespace.positives import Examples
from sat3d.methods.stylespace.relevance import Relevance, attribute_relevance
from sat3d.methods.stylespace.table import ChannelTable

__all__ = [
    "ChannelEditor",
    "ChannelTable",
    "Examples",
    "GradientMaps",
    "Relevance",
    "StyleSpaceDiscovery",
    "attribute_relevance",
]
