"""Editing methods: each a LightningModule and the editor that it leaves behind. Names are loaded at first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sat3d.methods.base import Editor, load_editor
    from sat3d.methods.directions import DirectionEditor
    from sat3d.methods.editing_in_style import EditingInStyle, PartEditor
    from sat3d.methods.ganspace import GANSpace
    from sat3d.methods.interfacegan import BoundaryEditor, InterFaceGAN
    from sat3d.methods.plugen import PluGeN, PluGeNEditor
    from sat3d.methods.sat3d import SAT3D, MaskEditor
    from sat3d.methods.sefa import SeFa
    from sat3d.methods.styleae import AutoencoderEditor, StyleAE
    from sat3d.methods.styleclip import StyleCLIPDirections, TextDirectionEditor
    from sat3d.methods.styleflow import StyleFlow, StyleFlowEditor
    from sat3d.methods.stylespace import ChannelEditor, StyleSpaceDiscovery

__all__ = [
    "SAT3D",
    "AutoencoderEditor",
    "BoundaryEditor",
    "ChannelEditor",
    "DirectionEditor",
    "EditingInStyle",
    "Editor",
    "GANSpace",
    "InterFaceGAN",
    "MaskEditor",
    "PartEditor",
    "PluGeN",
    "PluGeNEditor",
    "SeFa",
    "StyleAE",
    "StyleCLIPDirections",
    "StyleFlow",
    "StyleFlowEditor",
    "StyleSpaceDiscovery",
    "TextDirectionEditor",
    "load_editor",
]

_HOME = {
    "Editor": "sat3d.methods.base",
    "load_editor": "sat3d.methods.base",
    "DirectionEditor": "sat3d.methods.directions",
    "GANSpace": "sat3d.methods.ganspace",
    "BoundaryEditor": "sat3d.methods.interfacegan",
    "InterFaceGAN": "sat3d.methods.interfacegan",
    "EditingInStyle": "sat3d.methods.editing_in_style",
    "PartEditor": "sat3d.methods.editing_in_style",
    "MaskEditor": "sat3d.methods.sat3d",
    "SAT3D": "sat3d.methods.sat3d",
    "PluGeN": "sat3d.methods.plugen",
    "PluGeNEditor": "sat3d.methods.plugen",
    "SeFa": "sat3d.methods.sefa",
    "AutoencoderEditor": "sat3d.methods.styleae",
    "StyleAE": "sat3d.methods.styleae",
    "StyleCLIPDirections": "sat3d.methods.styleclip",
    "TextDirectionEditor": "sat3d.methods.styleclip",
    "StyleFlow": "sat3d.methods.styleflow",
    "StyleFlowEditor": "sat3d.methods.styleflow",
    "ChannelEditor": "sat3d.methods.stylespace",
    "StyleSpaceDiscovery": "sat3d.methods.stylespace",
}


def __getattr__(name: str) -> Any:
    # Loading an editor shall not pay for importing Lightning.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
