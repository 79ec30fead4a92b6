"""What turns tensors into files that people look at: grids, clips, depth in colours, meshes."""

from sat3d.replacing import replacing
from sat3d.visualization.clips import PathClip, coloured_depths, morph_pages
from sat3d.visualization.edits import edit_clip, edit_grid, strip_grid
from sat3d.visualization.files import to_uint8, write_clip, write_picture
from sat3d.visualization.geometry import (
    GeometryDifference,
    difference_grid,
    draw_mesh,
    geometry_difference,
    signed_distance,
)
from sat3d.visualization.grids import difference, picture_grid, resized
from sat3d.visualization.heatmaps import heat_map
from sat3d.visualization.meshes import MeshReport, extract_mesh, need_mesh, write_mesh
from sat3d.visualization.raycasting import cast
from sat3d.visualization.views import Look, colour_depth, frames_beside, look, views
from sat3d.visualization.volumes import DensityField, density_field, surface_level

__all__ = [
    "DensityField",
    "GeometryDifference",
    "Look",
    "MeshReport",
    "PathClip",
    "cast",
    "colour_depth",
    "coloured_depths",
    "density_field",
    "difference",
    "difference_grid",
    "draw_mesh",
    "edit_clip",
    "edit_grid",
    "extract_mesh",
    "frames_beside",
    "geometry_difference",
    "heat_map",
    "look",
    "morph_pages",
    "need_mesh",
    "picture_grid",
    "replacing",
    "resized",
    "signed_distance",
    "strip_grid",
    "surface_level",
    "to_uint8",
    "views",
    "write_clip",
    "write_mesh",
    "write_picture",
]
