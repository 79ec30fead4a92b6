"""StyleCLIP's global directions: any text moves the style channels that CLIP sees it in (arXiv 2103.17249, §6)."""

from sat3d.methods.styleclip.editor import TextDirectionEditor
from sat3d.methods.styleclip.module import StyleCLIPDirections
from sat3d.methods.styleclip.table import ChannelDirections, channel_directions
from sat3d.methods.styleclip.texts import imagenet_templates, text_direction

__all__ = [
    "ChannelDirections",
    "StyleCLIPDirections",
    "TextDirectionEditor",
    "channel_directions",
    "imagenet_templates",
    "text_direction",
]
