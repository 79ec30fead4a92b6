"""What turns tensors into files that people look at: grids, clips, depth in colours."""

from sat3d.visualization.edits import edit_clip, edit_grid
from sat3d.visualization.files import replacing, to_uint8, write_clip, write_picture
from sat3d.visualization.grids import difference, picture_grid
from sat3d.visualization.views import colour_depth, depth_pictures, frames_beside, orbit_cameras, views

__all__ = [
    "colour_depth",
    "depth_pictures",
    "difference",
    "edit_clip",
    "edit_grid",
    "frames_beside",
    "orbit_cameras",
    "picture_grid",
    "replacing",
    "to_uint8",
    "views",
    "write_clip",
    "write_picture",
]
