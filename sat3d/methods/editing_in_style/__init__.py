"""Editing in Style: parts taken over from a reference, by what channels contribute to them (arXiv 2004.14367)."""

from sat3d.methods.editing_in_style.editor import EVERYTHING, PartEditor, layers_of
from sat3d.methods.editing_in_style.module import EditingInStyle
from sat3d.methods.editing_in_style.naming import Catalogue
from sat3d.methods.editing_in_style.query import Query

__all__ = ["EVERYTHING", "Catalogue", "EditingInStyle", "PartEditor", "Query", "layers_of"]
