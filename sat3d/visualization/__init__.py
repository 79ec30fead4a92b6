"""What turns tensors into files that people look at: grids, clips, depth in colours."""

from sat3d.replacing import replacing
from sat3d.visualization.edits import edit_clip, edit_grid, strip_grid
from sat3d.visualization.files import to_uint8, write_clip, write_picture
from sat3d.visualization.grids import difference, picture_grid, resized
from sat3d.visualization.heatmaps import heat_map
from sat3d.visualization.views import Look, colour_depth, frames_beside, look, views

__all__ = [
    "Look",
    "colour_depth",
    "difference",
    "edit_clip",
    "edit_grid",
    "frames_beside",
    "heat_map",
    "look",
    "picture_grid",
    "replacing",
    "resized",
    "strip_grid",
    "to_uint8",
    "views",
    "write_clip",
    "write_picture",
]
