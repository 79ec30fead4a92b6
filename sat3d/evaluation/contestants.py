"""Editors that are held against each other: what they cost, and which attributes they share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.generators.batches import CodeBatch
from sat3d.methods.base import Editor
from sat3d.perception import Scorer


@dataclass(frozen=True)
class Contestant:
    """Name an editor.

    Args:
        name: of its method.
        seed: which of the method's trainings.
        editor: of w or of s.
        values: labels of the protocol's codes, scaled as the editor's training had them, (B, K).
        labels: turns a labeller's log-odds into such labels, where codes are labelled as they come.
    """

    name: str
    seed: str
    editor: Editor
    values: Float[Tensor, "b k"] | None = None
    labels: Callable[[Tensor], Tensor] | None = None

    def facts(self, codes: CodeBatch) -> dict[str, str]:
        """Return parameters, and milliseconds of an edit, of one code and of each in a batch (median of five)."""
        one = self._milliseconds(codes[:1])
        parameters = sum(p.numel() for p in self.editor.parameters())
        parameters += sum(b.numel() for b in self.editor.buffers() if b.is_floating_point())
        each = self._milliseconds(codes) / len(codes)
        return {"parameters": f"{parameters:,}", "ms per edit": f"{one:.2f}", "ms, batch": f"{each:.3f}"}

    def _milliseconds(self, codes: CodeBatch) -> float:
        target = self.editor.attributes[0]
        known = None if self.values is None else self.values[: len(codes)]

        given = codes.ws if self.editor.space == "w" else codes.styles
        reference = given.flip(0) if self.editor.needs_reference else None

        def edit() -> None:
            self.editor.edit(given, target, 0.5, reference=reference, values=known)

        _seconds(edit)  # what the first one prepares is not counted
        return 1000 * median(_seconds(edit) for _ in range(5))


@torch.no_grad()
def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def shared_attributes(editors: Sequence[Editor], *scorers: Scorer) -> list[str]:
    """Return the attributes that all editors and scorers know, in the first's order.

    Of categorical ones all classes are known, but by editors that transfer them from references.

    Raises:
        ValueError: if there are none.
    """
    found = []
    for name in scorers[0].attributes:
        groups = scorers[0].slices[name]
        columns = scorers[0].columns[groups[0].start : groups[0].stop]
        targets = [name] if len(columns) == 1 else columns
        known = all(name in s.slices and set(columns) <= set(s.columns) for s in scorers[1:])
        asked = {editor: [name] if editor.needs_reference else targets for editor in editors}
        if len(groups) == 1 and known and all(editor.knows(t) for editor, ts in asked.items() for t in ts):
            found.append(name)
    if not found:
        raise ValueError("attributes: editors, labeller and judge share none")
    return found
