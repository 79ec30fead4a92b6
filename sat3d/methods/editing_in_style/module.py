"""Editing in Style as a LightningModule: contributions of style channels to regions, in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from sat3d.generators import load_generator
from sat3d.generators.batches import CodeBatch
from sat3d.generators.eg3d import EG3D
from sat3d.generators.stylegan2 import StyledGenerator
from sat3d.methods.editing_in_style.editor import PartEditor, layers_of
from sat3d.methods.editing_in_style.grading import GradedTransfers
from sat3d.methods.editing_in_style.memberships import (
    picture_members,
    plane_members,
    region_gradients,
    resized_labels,
    scaled_activations,
    surface,
)
from sat3d.methods.editing_in_style.naming import Catalogue
from sat3d.methods.editing_in_style.query import Query
from sat3d.metrics import ChannelContribution, RegionAgreement, RegionResponse
from sat3d.perception import RegionSource
from sat3d.perception.regions import ParserRegions

Memberships = Literal["picture", "planes", "gradients"]


class EditingInStyle(GradedTransfers):
    """Find which style channels make which part of the picture, and take parts over from a reference by them.

    Collins, Bala, Price & Süsstrunk 2020, arXiv 2004.14367: regions U are clusters of activations (§3.1), the
    contribution M_{k,c} = (1/NHW) Σ A² U says how much of channel c lies in region k (§3.2), and an edit interpolates
    the channels of a query (§3.3). All streamed codes count. Instead of clusters a part parser may tell regions.

    Leaves an editor that keeps M, and `catalogue.csv`: the regions, their names, shares and purity.

    Args:
        generator: name or file for `load_generator`.
        regions: where regions come from. Groups name them by hand.
        attributes: by name, what it is made of: groups, parts of `named_by`, or regions; `null` takes one for each
            name that there is.
        named_by: part parser by which clusters are called: by the part that has most of their pixels.
        memberships: what tells whose a position of a layer is. `picture`: the picture's regions, resized to the layer;
            for layers that see the picture's pixels. `planes`: 3-D only, in the backbone the picture's regions carried
            to the planes by the rendered depth. `gradients`: in the place of activations, how strongly a channel moves
            the pixels of each region, by random signs; sees through whatever lies behind the layer. `null` takes
            `gradients` in 3-D and `picture` in 2-D.
        kinds: kinds of style channels that take part, of `conv` and `torgb`; the paper's StyleGAN has `conv` only.
        parts: parts of the generator that take part, of `backbone` and `superresolution`.
        query: how contributions turn into weights.
        queries: settings in which an attribute's query differs.
        labeller: attribute predictor behind `val/*`, beside the locality of edits, which needs none.
        judge: attribute predictor behind `test/*`; it is not loaded before.
        render_batch: pictures that are made at a time.
        neural_resolution: 3-D only: side of the ray-marched picture, pixels.
        seed: of feature clusters and random signs.

    Raises:
        ValueError: for settings that exclude each other, and unknown names.

    Example:
        >>> module = EditingInStyle("toyfaces64", regions=RegionSource(parser="toyfaces-parser"))
        >>> Trainer(max_epochs=1).fit(module, datamodule=StyleCodeDataModule("toyfaces64", batch="codes"))
        >>> module.editor().edit(s, "hat", 1.0, reference=t)
    """

    found: Tensor
    counts: Tensor

    def __init__(
        self,
        generator: str,
        *,
        regions: RegionSource,
        attributes: dict[str, list[str]] | None = None,
        named_by: str | None = None,
        memberships: Memberships | None = None,
        kinds: tuple[str, ...] = ("conv",),
        parts: tuple[str, ...] = ("backbone", "superresolution"),
        query: Query = Query(),  # noqa: B008 - frozen
        queries: dict[str, dict[str, Any]] | None = None,
        labeller: str | None = None,
        judge: str | None = None,
        render_batch: int = 16,
        neural_resolution: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        regions = RegionSource.of(regions) if isinstance(regions, Mapping) else regions
        query = Query.of(query)
        settings = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        # Plain data only: a checkpoint must load with weights_only=True.
        self.save_hyperparameters({**settings, "regions": asdict(regions), "query": asdict(query)})
        self.generator = load_generator(generator)
        space = self.generator.style_space
        self.memberships: Memberships = memberships or ("gradients" if self.generator.is_3d else "picture")
        if self.memberships == "planes" and not isinstance(self.generator, EG3D):
            raise ValueError("memberships='planes' is for tri-plane generators; take picture")
        self.participates = space.mask(kinds, parts)
        if not bool(self.participates.any()):
            raise ValueError(f"kinds={list(kinds)}, parts={list(parts)}: this generator has no such channels")
        self.layers = [y for y in space.layers if y.kind in kinds and y.part in parts]
        regions.build()  # refuses groups that do not fit
        self.regions = replace(regions, groups=None).build()  # M is of single regions, so that groups can change
        self.classes, self.groups = tuple(self.regions.names), dict(regions.groups or {})
        self.namer = ParserRegions(named_by) if named_by else None
        self.part_names = self.namer.names if self.namer else ()
        self.attributes = self._checked(attributes)
        PartEditor(dict.fromkeys(self.attributes, ()), self.classes, layers_of(space), query, queries)  # refuses
        k, u = len(self.classes), sum(y.size for y in self.layers)
        self.statistics = (
            RegionResponse(u, k)
            if self.memberships == "gradients"
            else ChannelContribution([y.size for y in self.layers], k)
        )
        self.named = RegionAgreement(k, max(len(self.part_names), 1))
        self.register_buffer("found", torch.zeros(k, space.size, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros_like(self.named.counts))

    def _checked(self, attributes: dict[str, list[str]] | None) -> dict[str, list[str]]:
        names = list(dict.fromkeys((*self.groups, *self.part_names, *self.classes)))
        if attributes is None:
            return {name: [name] for name in self.groups or self.part_names or self.classes}
        for name, members in attributes.items():
            if unknown := sorted(set(members) - set(names)):
                raise ValueError(f"attributes: {name} is made of unknown parts {unknown}; there are {', '.join(names)}")
        return {name: list(members) for name, members in attributes.items()}

    # Collecting -------------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Find the clusters; every device takes the same."""
        self._data()
        self.find_regions()

    def collect(self, batch: CodeBatch) -> None:
        """Add codes to the contributions and to the names of the regions."""
        assert self.regions is not None and isinstance(self.generator, StyledGenerator)
        for codes in self._split(batch):
            gradients = self.memberships == "gradients"
            with torch.set_grad_enabled(gradients):
                styles = codes.styles.detach().clone().requires_grad_(gradients)
                with scaled_activations(self.generator, [] if gradients else [y.name for y in self.layers]) as seen:
                    out = self._render(codes, self.regions.features, styles)
            labels = self.regions.segment(out.image.detach(), {k: v.detach() for k, v in out.features.items()})
            if isinstance(self.statistics, RegionResponse):
                self.statistics.update(self._gradients(codes, out.image, styles, labels))
            else:
                activations = [torch.cat(seen[y.name]) for y in self.layers]
                self.statistics.update(activations, self._members(codes, out, labels, activations))
            if self.namer is None:
                self.named.update(labels, torch.zeros_like(labels))
            else:
                parts = self.namer.segment(out.image.detach())
                self.named.update(resized_labels(labels, parts.shape[-1]), parts)

    def _members(self, codes: CodeBatch, out: Any, labels: Tensor, activations: list[Tensor]) -> list[Tensor]:
        """Return the regions' shares in every layer, each computed once a resolution."""
        known: dict[tuple[bool, int], Tensor] = {}
        k, found = len(self.classes), []
        for layer, a in zip(self.layers, activations, strict=True):
            planes, side = self.memberships == "planes" and layer.part == "backbone", a.shape[-1]
            if (planes, side) not in known and planes:
                assert isinstance(self.generator, EG3D) and codes.camera is not None
                renderer = self.generator.renderer
                points = surface(out, labels, codes.camera)
                known[planes, side] = plane_members(*points, k, side, renderer.axes, renderer.options.box_warp)
            elif (planes, side) not in known:
                known[planes, side] = picture_members(labels, k, side)
            found.append(known[planes, side])
        return found

    def _gradients(self, codes: CodeBatch, image: Tensor, styles: Tensor, labels: Tensor) -> Tensor:
        """Return gradients of signed regions; the signs are a function of the code's number alone."""
        rows = []
        for index in codes.index.tolist():
            random = torch.Generator().manual_seed(self.hparams["seed"] * 1_000_003 + index)
            rows.append(torch.randint(0, 2, image.shape[1:], generator=random) * 2.0 - 1)
        members = picture_members(labels, len(self.classes), image.shape[-1])
        found = region_gradients(image, styles, members, torch.stack(rows).to(image))
        return found[:, :, self.participates.to(found.device)]

    def basis(self) -> dict[str, Any]:
        """Return what contributions are of."""
        hp = self.hparams
        names = {"regions": list(self.classes), "named": list(self.part_names), "memberships": self.memberships}
        plain = {"generator": self.generator.hash, "layer": hp["regions"]["layer"], **names}
        return {**plain, **{key: list(hp[key]) for key in ("kinds", "parts")}, "resolution": hp["neural_resolution"]}

    # Solving ----------------------------------------------------------------------------------------------------------

    def solve(self) -> None:
        """Turn the sums into contributions, and count what regions are called."""
        self.found[:, self.participates.to(self.found.device)] = self.statistics.compute()
        self.counts.copy_(self.named.compute().counts)

    @property
    def catalogue(self) -> Catalogue:
        """The regions and their names.

        Raises:
            RuntimeError: before the epoch's end.
        """
        self.require_fit()
        return Catalogue(self.classes, self.groups, self.part_names, self.counts.cpu())

    def editor(self) -> PartEditor:
        """Return the editor of the attributes."""
        hp, catalogue = self.hparams, self.catalogue
        members = {
            name: sorted({region for part in parts for region in catalogue.members(part)}, key=self.classes.index)
            for name, parts in self.attributes.items()
        }
        layers = layers_of(self.generator.style_space)
        tensors = {"contribution": self.found.cpu(), "participates": self.participates}
        editor = PartEditor(members, self.classes, layers, hp["query"], hp["queries"], **tensors)
        return editor.to(self.device).eval()

    def export(self, folder: Path) -> None:
        """Write the editor and the catalogue."""
        super().export(folder)
        self.catalogue.write(folder)
