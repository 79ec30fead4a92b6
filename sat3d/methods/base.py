"""What every method leaves behind: an editor, small enough to send by mail and loadable without Lightning."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, Self, cast

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file
from torch import Tensor, nn

from sat3d.generators import Generator

WEIGHTS, CARD = "editor.safetensors", "card.json"


class Editor(nn.Module, ABC):
    """Move codes of one space so that an attribute changes.

    Subclasses implement `_edit` and `config`. Strength 0 returns the codes bit by bit, whatever the subclass does.

    Args:
        attributes: what can be edited.

    Attributes:
        space: `w` or `s`, the codes that are edited.
        needs_reference: whether an edit takes its target from a reference's codes.
        card: what is known about the editor: generator, training, metrics.

    Raises:
        ValueError: for an unknown attribute, or a missing or misshapen reference.
    """

    space: Literal["w", "s"] = "s"
    needs_reference: bool = False

    def __init__(self, attributes: Sequence[str]) -> None:
        super().__init__()
        self.attributes = tuple(attributes)
        self.card: dict[str, Any] = {}

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data; tensors belong into buffers."""
        return {"attributes": list(self.attributes)}

    def knows(self, attribute: str) -> bool:
        """Tell whether an attribute can be edited."""
        return attribute in self.attributes

    def known_names(self) -> str:
        """Tell in words what can be edited."""
        return ", ".join(self.attributes)

    def edit(
        self,
        codes: Float[Tensor, "b ..."],
        attribute: str | Sequence[str],
        strength: float | Float[Tensor, " b"] = 1.0,
        *,
        reference: Tensor | None = None,
        values: Tensor | None = None,
    ) -> Float[Tensor, "b ..."]:
        """Return edited codes of the same shape.

        Args:
            codes: codes of `space`, (B, …).
            attribute: one attribute, or several that change together.
            strength: editing intensity; 0 is the identity.
            reference: codes that show the wanted attribute, one or B of them.
            values: the codes' current attributes, for editors that condition on them.
        """
        names = [attribute] if isinstance(attribute, str) else list(attribute)
        unknown = [name for name in names if not self.knows(name)]
        if unknown:
            raise ValueError(f"attribute: unknown {', '.join(unknown)}; this editor knows {self.known_names()}")
        if self.needs_reference:
            if reference is None:
                raise ValueError(f"reference: {type(self).__name__} transfers attributes and needs a reference's codes")
            if reference.shape[-1] != codes.shape[-1]:
                raise ValueError(f"reference: {tuple(reference.shape)} does not fit codes {tuple(codes.shape)}")
            reference = reference.expand_as(codes)
        amount = torch.as_tensor(strength, dtype=codes.dtype, device=codes.device)
        amount = amount.reshape(-1, *[1] * (codes.ndim - 1)) if amount.ndim else amount
        edited = self._edit(codes, names, amount, reference, values)
        return torch.where(amount == 0, codes, edited)

    @abstractmethod
    def _edit(
        self, codes: Tensor, attributes: list[str], strength: Tensor, reference: Tensor | None, values: Tensor | None
    ) -> Tensor:
        """Move codes; strengths broadcast against them."""

    # On disk ----------------------------------------------------------------------------------------------------------

    def describe(self, generator: Generator | None, **facts: Any) -> dict[str, Any]:
        """Return the card: what rebuilds the editor, the generator that it belongs to, and facts about its training."""
        return {
            "format": 1,
            "editor": f"{type(self).__module__}.{type(self).__qualname__}",
            "space": self.space,
            "attributes": list(self.attributes),
            "config": self.config(),
            "generator": None if generator is None else {"name": generator.name, "hash": generator.hash},
            **facts,
        }

    def save(self, folder: str | Path, generator: Generator | None, **facts: Any) -> Path:
        """Write `editor.safetensors` and `card.json`; both appear whole or not at all.

        Args:
            folder: where they go; made if it is missing, replaced if it holds an editor.
            generator: the generator that the editor was made for; `None` where the codes came without one.
            facts: entries of the card, e.g. `method`, `training`, `metrics`.

        Raises:
            OSError: if the folder cannot be written.
        """
        folder = Path(folder)
        card = self.describe(generator, **facts)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            tensors = {key: value.detach().cpu().contiguous() for key, value in self.state_dict().items()}
            save_file(tensors, Path(temporary) / WEIGHTS)
            (Path(temporary) / CARD).write_text(json.dumps(card, indent=2, allow_nan=False) + "\n")
            folder.mkdir(exist_ok=True)
            for name in (WEIGHTS, CARD):
                shutil.move(Path(temporary) / name, folder / name)
        self.card = card
        return folder

    @classmethod
    def restore(cls, card: Mapping[str, Any], tensors: Mapping[str, Tensor], generator: Generator | None) -> Self:
        """Rebuild an editor from its card and tensors, and check that it belongs to a generator."""
        editor = cast(Self, _editor_class(str(card["editor"]))(**card["config"]))
        editor.load_state_dict(dict(tensors))
        editor.card = dict(card)
        made_for = card["generator"]
        if generator is not None and made_for is None:
            warnings.warn(
                f"editor: made from codes that name no generator; nothing tells whether {generator.name} fits"
            )
        elif generator is not None and generator.hash != made_for["hash"]:
            raise ValueError(
                f"editor: made for generator {made_for['name']!r} (hash {made_for['hash'][:12]}), not for "
                f"{generator.name!r} (hash {generator.hash[:12]}); take that one, or train an editor on this"
            )
        return editor.eval()


class Codes(Protocol):
    """Anything with codes of both spaces: `CodeBatch` of a stream, `PictureCodes` of an inversion."""

    @property
    def ws(self) -> Tensor:
        """(B, num_ws, w_dim)."""

    @property
    def styles(self) -> Tensor:
        """(B, C)."""


def edited_styles(
    generator: Generator,
    editor: Editor,
    codes: Codes,
    attribute: str | Sequence[str],
    strength: float | Float[Tensor, " b"] | Sequence[float] = 1.0,
    *,
    reference: Codes | None = None,
    values: Tensor | None = None,
) -> Float[Tensor, "b c"]:
    """Return the styles of edited codes, (B, C), whichever space the editor moves; see `Editor.edit`.

    Where styles are not those of their ws, as after an inversion into S, what an editor of w changes is added to them.
    A list of strengths has one for each attribute, and the attributes are then edited one after the other.

    Raises:
        ValueError: if there are not as many strengths as attributes, or values are given, which later edits change.
    """
    steps: list[tuple[str | Sequence[str], float | Tensor]]
    if isinstance(strength, Sequence):
        if isinstance(attribute, str) or len(attribute) != len(strength):
            raise ValueError(f"strength: {len(strength)} numbers do not fit the attributes {attribute}")
        if values is not None and len(strength) > 1:
            raise ValueError("values: those of the first edit are none of the next; give one strength for all")
        steps = list(zip(attribute, strength, strict=True))
    else:
        steps = [(attribute, strength)]

    def edit(moved: Tensor, given: Tensor | None) -> Tensor:
        for name, amount in steps:
            moved = editor.edit(moved, name, amount, reference=given, values=values)
        return moved

    if editor.space == "s":
        return edit(codes.styles, None if reference is None else reference.styles)
    edited = generator.styles(edit(codes.ws, None if reference is None else reference.ws))
    own = generator.styles(codes.ws)
    return torch.where(own == codes.styles, edited, codes.styles + (edited - own))


def _editor_class(path: str) -> type[Editor]:
    """Find an editor by its dotted path. A file may name what runs, but never make anything be imported but methods."""
    module, _, name = path.rpartition(".")
    if module.startswith("sat3d.methods."):
        import_module(module)
    found = getattr(sys.modules.get(module), name, None)
    if not (isinstance(found, type) and issubclass(found, Editor)):
        raise ValueError(
            f"editor: the card names {path}, which is no editor of this package; import its module first (--modules)"
        )
    return found


def load_editor(path: str | Path, generator: Generator | None = None) -> Editor:
    """Load an editor from the folder that `Editor.save` wrote, or from a training checkpoint (`.ckpt`).

    Args:
        path: folder, one of its two files, or a checkpoint.
        generator: the generator it shall edit; another one than it was made for is refused. An editor that was made
            for none, from codes of unknown origin, is taken with a warning.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged or holds no editor, or the generator is another one.

    Example:
        >>> editor = load_editor("runs/sat3d/0/editor", load_generator("toyfaces64"))
        >>> edited = editor.edit(source, "glasses", 1.0, reference=reference)
    """
    path = Path(path)
    if path.suffix == ".ckpt":
        card, tensors = _from_checkpoint(path)
    else:
        card, tensors = _from_folder(path.parent if path.name in (WEIGHTS, CARD) else path)
    try:
        return Editor.restore(card, tensors, generator)
    except (KeyError, RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(f"editor: {path} does not describe an editor of this version ({error})") from error


def _from_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    for name in (WEIGHTS, CARD):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"editor: no file {folder / name}; give a folder with {WEIGHTS} and {CARD}")
    try:
        return json.loads((folder / CARD).read_text()), load_tensors((folder / WEIGHTS).read_bytes())
    except (SafetensorError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"editor: {folder} is truncated or damaged ({error}); export it again") from error


def _from_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise FileNotFoundError(f"editor: no file {path}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, EOFError, … for a damaged file
        raise ValueError(f"editor: {path} is truncated or damaged ({type(error).__name__})") from error
    if "editor" not in checkpoint:
        raise ValueError(f"editor: {path} is a checkpoint without an editor; methods of this package store one")
    return checkpoint["editor"]["card"], checkpoint["editor"]["tensors"]
