"""The methods of the page: editors from their folders, and one that needs none, for single channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sat3d.commands.sources import CHANNELS, every_channel
from sat3d.generators import Generator
from sat3d.inversion import PictureCodes
from sat3d.methods import ChannelEditor, Editor, load_editor
from sat3d.methods.base import edited_styles
from sat3d.methods.coordinates import CoordinateEditor
from sat3d.methods.styleclip import TextDirectionEditor


@dataclass(frozen=True)
class Method:
    """Hold an editor and what the page needs to know of it.

    Args:
        name: on the page.
        editor: that edits.
        given: what `sat3d edit --editor` takes.
        span: strengths that its sliders reach; an edit may go beyond.
        trouble: why it cannot edit here; empty where it can.
    """

    name: str
    editor: Editor
    given: str
    span: tuple[float, float]
    trouble: str = ""


def load_methods(folders: Sequence[str], generator: Generator) -> dict[str, Method]:
    """Load editors by their folders; of two of one method the second gets a number.

    Args:
        folders: folders or checkpoints, see `load_editor`.
        generator: that they edit.

    Returns:
        Methods by name, single channels last.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one is damaged, holds no editor, or that of another generator.
    """
    methods: dict[str, Method] = {}
    for folder in folders:
        editor = load_editor(folder, generator).to(generator.device)
        plain = str(editor.card.get("method") or type(editor).__name__.removesuffix("Editor"))
        number = 1 + sum(name == plain or name.rpartition(" ")[0] == plain for name in methods)
        name = plain if number == 1 else f"{plain} {number}"
        methods[name] = Method(name, editor, folder, span_of(editor), trouble_of(generator, editor))
    editor = every_channel(generator)
    return {**methods, CHANNELS: Method(CHANNELS, editor, CHANNELS, span_of(editor))}


def span_of(editor: Editor) -> tuple[float, float]:
    """Return the strengths that are usual: the reference is 1; single channels take the paper's 5 to 20 deviations."""
    if editor.needs_reference:
        return 0.0, 1.5
    if isinstance(editor, ChannelEditor | TextDirectionEditor):
        return -20.0, 20.0
    return (-2.0, 2.0) if isinstance(editor, CoordinateEditor) else (-5.0, 5.0)


@torch.no_grad()
def trouble_of(generator: Generator, editor: Editor) -> str:
    """Try an edit, and say in words why it fails; empty if it does not."""
    ws = generator.map(torch.zeros(1, generator.z_dim, device=generator.device))
    codes = PictureCodes(ws, generator.styles(ws))
    try:
        edited_styles(generator, editor, codes, editor.attributes[0], 1.0, reference=codes)
    except (ValueError, ImportError, RuntimeError) as error:
        return str(error).splitlines()[0]
    except IndexError:
        return "it has no attributes"
    return ""
