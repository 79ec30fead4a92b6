"""The editor that StyleCLIP's global directions leave behind: it takes new texts after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sat3d.methods.directions import LinearEditor
from sat3d.methods.styleclip.texts import Phrases, text_direction
from sat3d.perception import ClipModel


class TextDirectionEditor(LinearEditor):
    """Move the channels whose effect on a picture goes where a text goes (Patashnik et al. 2021, arXiv 2103.17249, §6).

    R_c = Δi_c · Δt, 0 where |R_c| < β; Δs_c = σ_c R_c / max|R|; s' = s + strength · Δs. So strength is in standard
    deviations of the most relevant channel.

    Args:
        attributes: names, A.
        layers: names and sizes of the style layers, forward order.
        threshold: β; the paper's pictures take 0.08 to 0.3.
        thresholds: of single attributes, where it differs.
        top: this many of the most relevant channels in place of β, for attributes that `thresholds` does not name.
        templates: texts with `{}`, for texts that are added.
        clip: hash of the text-image model; texts of another are refused.
        effects: Δi, unit rows, (U, D).
        channels: flat indices of its rows, (U,).
        std: their σ, (U,).
        texts: Δt of each attribute, unit rows, (A, D).
        shape: (U, D), where no tensors are given.

    Raises:
        ValueError: for shapes that do not fit each other, thresholds of unknown attributes or outside [0, 1), `top`
            below 1; and in an edit where a threshold leaves no channel.

    Example:
        >>> editor = load_editor("runs/styleclip/0/editor", G)
        >>> edited = editor.with_text("wink", "a winking face", "a face", load_clip()).edit(s, "wink", 8.0)
    """

    space = "s"
    effects: Tensor
    channels: Tensor
    std: Tensor
    texts: Tensor

    def __init__(
        self,
        attributes: Sequence[str],
        layers: Mapping[str, int],
        threshold: float = 0.13,
        thresholds: Mapping[str, float] | None = None,
        top: int | None = None,
        templates: Sequence[str] = ("{}",),
        clip: str = "",
        effects: Float[Tensor, "u d"] | None = None,
        channels: Int[Tensor, " u"] | None = None,
        std: Float[Tensor, " u"] | None = None,
        texts: Float[Tensor, "a d"] | None = None,
        shape: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__(attributes)
        self.layers, self.threshold, self.thresholds, self.top = dict(layers), threshold, dict(thresholds or {}), top
        self.templates, self.clip = tuple(templates), clip
        check_cuts(self.attributes, threshold, self.thresholds, top)
        effects = torch.zeros(*shape) if effects is None else effects
        u, d = effects.shape
        given = {
            "effects": effects,
            "channels": torch.zeros(u, dtype=torch.long) if channels is None else channels,
            "std": torch.ones(u) if std is None else std,
            "texts": torch.zeros(len(self.attributes), d) if texts is None else texts,
        }
        if [*map(len, given.values())] != [u, u, u, len(self.attributes)] or given["texts"].shape[1] != d:
            told = ", ".join(f"{name} {tuple(value.shape)}" for name, value in given.items())
            raise ValueError(f"{told} do not fit each other and {len(self.attributes)} attributes")
        for name, value in given.items():
            self.register_buffer(name, value.detach().clone())

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments without the tensors."""
        return {
            **super().config(),
            "layers": self.layers,
            "threshold": self.threshold,
            "thresholds": self.thresholds,
            "top": self.top,
            "templates": list(self.templates),
            "clip": self.clip,
            "shape": list(self.effects.shape),
        }

    # Variants ---------------------------------------------------------------------------------------------------------

    def with_threshold(self, threshold: float) -> TextDirectionEditor:
        """Return an editor with this β for all attributes."""
        return self._changed(threshold=threshold, thresholds={}, top=None)

    def with_top(self, top: int) -> TextDirectionEditor:
        """Return an editor that moves this many channels for every attribute."""
        return self._changed(thresholds={}, top=top)

    def with_text(self, name: str, target: Phrases, neutral: Phrases, clip: ClipModel) -> TextDirectionEditor:
        """Return an editor that knows one attribute more, or another text for one that it knew.

        Args:
            name: of the attribute.
            target: what shall be seen: a phrase, or several.
            neutral: what is seen instead, now.
            clip: the text-image model that the editor was made with.

        Raises:
            ValueError: it is another one.
        """
        if self.clip and clip.hash != self.clip:
            raise ValueError(
                f"clip: the editor was made with the text-image model of hash {self.clip[:12]}, not with "
                f"{clip.name!r} (hash {clip.hash[:12]}), whose space is another"
            )
        kept = [row for row, known in enumerate(self.attributes) if known != name]
        text = text_direction(clip, target, neutral, self.templates).to(self.texts)
        names = (*(self.attributes[row] for row in kept), name)
        return self._changed(attributes=names, texts=torch.cat([self.texts[kept], text[None]]))

    def _changed(self, **changes: Any) -> TextDirectionEditor:
        tensors = {name: getattr(self, name) for name in ("effects", "channels", "std", "texts")}
        made = TextDirectionEditor(**{**self.config(), **tensors, **changes})
        made.card = dict(self.card)
        return made.eval()

    # Channels ---------------------------------------------------------------------------------------------------------

    def relevance(self, attribute: str) -> Float[Tensor, " u"]:
        """Return R of every channel, before any is left out, (U,)."""
        return self.effects @ self.texts[self.attributes.index(attribute)]

    def kept(self, attribute: str) -> Int[Tensor, " n"]:
        """Return the rows of the channels that an attribute moves, the most relevant first; maybe none."""
        size = self.relevance(attribute).abs()
        order = size.argsort(descending=True, stable=True)
        if self.top is not None and attribute not in self.thresholds:
            return order[: self.top][size[order[: self.top]] > 0]
        least = self.thresholds.get(attribute, self.threshold)
        return order[(size[order] >= least) & (size[order] > 0)]

    def channels_of(self, attribute: str) -> list[tuple[str, int, float]]:
        """Return (layer, channel, R) of the channels that an attribute moves, the most relevant first."""
        rows, relevance = self._some(attribute), self.relevance(attribute)
        return [(*self._place(int(self.channels[row])), float(relevance[row])) for row in rows.tolist()]

    def direction(self, attribute: str) -> Float[Tensor, " c"]:
        """Return what strength 1 adds to the styles, (C,)."""
        rows, relevance = self._some(attribute), self.relevance(attribute)
        offset = torch.zeros(sum(self.layers.values()), dtype=self.std.dtype, device=self.std.device)
        offset[self.channels[rows]] = self.std[rows] * relevance[rows] / relevance[rows[0]].abs()
        return offset

    def _some(self, attribute: str) -> Tensor:
        rows = self.kept(attribute)
        if len(rows) == 0:
            most, least = float(self.relevance(attribute).abs().max()), self.thresholds.get(attribute, self.threshold)
            raise ValueError(
                f"threshold={least}: it leaves no channel for {attribute}, whose most relevant one has {most:.3f}; "
                "take a smaller one (thresholds takes one for each attribute), or top"
            )
        return rows

    def _place(self, flat: int) -> tuple[str, int]:
        for name, size in self.layers.items():
            if flat < size:
                return name, flat
            flat -= size
        raise IndexError(f"flat style index is {flat} too large")


def check_cuts(attributes: Sequence[str], threshold: float, thresholds: Mapping[str, float], top: int | None) -> None:
    """Check which channels shall be kept.

    Raises:
        ValueError: for thresholds of unknown attributes or outside [0, 1), and `top` below 1.
    """
    if unknown := sorted({*thresholds} - {*attributes}):
        raise ValueError(f"thresholds: {unknown} are no attributes; those are {', '.join(attributes)}")
    for name, value in {"threshold": threshold, **thresholds}.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value} must be at least 0 and below 1: relevance is a cosine")
    if top is not None and top < 1:
        raise ValueError(f"top={top} must be at least 1")
