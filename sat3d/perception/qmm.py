"""The Quantitative Measurement Module: attributes scored by zero-shot classification."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.perception.clip import ClipModel, load_clip
from sat3d.perception.descriptor_groups import DescriptorGroups
from sat3d.perception.scorer import Scorer


class QMM(Scorer):
    """Score images by the probabilities of descriptor phrases, group by group.

    Section 3 of SAT3D (arXiv 2408.01664): D_ag(I) = softmax_k(tau cos(E_img(I), E_txt(t_agk))) for attribute a, group
    g and phrase k. A phrase's text embedding is the mean of its unit embeddings over the templates, made unit again.

    Args:
        clip: A text-image model, or the name of one for :func:`load_clip`.
        groups: Descriptor groups, or the file or bundled name they are read from.
        temperature: tau. ``None`` takes the model's own logit scale (about 100 in released models). The paper's value
            is unknown; a large one saturates, and 10-20 gives smoother gradients in training.

    Example:
        >>> qmm = QMM("toyfaces-clip", "toyfaces")
        >>> scores = qmm(images)                                       # (B, P)
        >>> qmm.distance(scores[:1], scores[1:2], "hair_length")       # (1,)

    Raises:
        ValueError: If the temperature is not positive.
    """

    text: Tensor

    def __init__(
        self,
        clip: ClipModel | str = "toyfaces-clip",
        groups: DescriptorGroups | str = "toyfaces",
        temperature: float | None = None,
    ) -> None:
        super().__init__()
        if temperature is not None and temperature <= 0:
            raise ValueError(f"temperature must be positive or null (the model's own), got {temperature}")
        self.clip = load_clip(clip) if isinstance(clip, str) else clip
        self.groups = DescriptorGroups.from_yaml(groups) if isinstance(groups, str) else groups
        self.attributes = self.groups.attributes
        self.temperature = self.clip.logit_scale if temperature is None else float(temperature)
        slices: dict[str, list[slice]] = {}
        columns: list[str] = []
        for attribute in self.attributes:
            slices[attribute] = []
            for phrases in self.groups.groups[attribute]:
                slices[attribute].append(slice(len(columns), len(columns) + len(phrases)))
                columns.extend(phrases)
        self.slices = slices
        self.columns = tuple(columns)
        # The text is fixed: it is embedded once, not at every step. Not stored: it follows from CLIP and the phrases.
        self.register_buffer("text", self._embed_phrases(), persistent=False)
        self.freeze()

    def describe(self) -> dict[str, Any]:
        """Return model, phrases and temperature: with other ones, what is kept of the scores is another's."""
        groups = {name: [list(phrases) for phrases in self.groups.groups[name]] for name in self.attributes}
        asked = {"templates": list(self.groups.templates), "groups": groups, "temperature": self.temperature}
        return {"kind": "qmm", "clip": self.clip.describe(), **asked}

    @torch.no_grad()
    def _embed_phrases(self) -> Float[Tensor, "p d"]:
        templates = self.groups.templates
        texts = [template.replace("{}", phrase) for phrase in self.columns for template in templates]
        embedded = self.clip.encode_text(texts).unflatten(0, (len(self.columns), len(templates)))
        return torch.nn.functional.normalize(embedded.mean(1), dim=-1)

    def logits(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch p"]:
        """Return similarities times temperature, ``(B, P)``."""
        return self.temperature * self.clip.encode_image(images) @ self.text.T

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch p"]:
        """Return every group's probabilities, concatenated, ``(B, P)``; differentiable with respect to the images."""
        logits = self.logits(images)
        return torch.cat([logits[:, g].softmax(-1) for a in self.attributes for g in self.slices[a]], dim=-1)
