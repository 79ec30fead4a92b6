"""What methods share that look at the pictures of streamed codes, and at regions of them, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from sat3d.generators import Rendering
from sat3d.generators.batches import CodeBatch, PairBatch
from sat3d.methods.one_pass import OnePass
from sat3d.perception.regions import Regions

Batch = TypeVar("Batch", CodeBatch, PairBatch)


def fit_regions(
    regions: Regions, seen: Iterable[Mapping[str, Tensor]], seed: int, broadcast: Callable[[Any], Any]
) -> None:
    """Find clusters of activations; every device takes those of the first.

    Devices label the same regions then, also where rounding would lead them to different clusters.

    Args:
        regions: to be fitted.
        seen: activations by layer, a few pictures at a time.
        seed: of the clustering.
        broadcast: gives everybody what the first device has.
    """
    parts = list(seen)
    regions.fit({name: torch.cat([part[name] for part in parts]) for name in regions.features}, seed)
    regions.load_state_dict(broadcast({key: value.cpu() for key, value in regions.state_dict().items()}))


class StreamedPictures(OnePass):
    """Render streamed codes a few at a time, and find clusters for regions before the first of them.

    Subclasses take the options `render_batch`, and where they look at regions `regions`, `seed` and
    `neural_resolution`, as `StyleSpaceDiscovery` does.

    Attributes:
        regions: what labels pictures, if anything does.

    Raises:
        ValueError: for data that are no stream of codes.
    """

    regions: Regions | None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the centres of feature clusters, too: what is counted is counted of them."""
        centres = {k: v for k, v in checkpoint["state_dict"].items() if k == "regions.centres"}
        super().on_save_checkpoint(checkpoint)
        checkpoint["state_dict"] |= centres

    @torch.no_grad()
    def find_regions(self) -> None:
        """Fit what regions need on the first codes of the stream, once; every device does the same."""
        if self.regions is None or self.regions.is_fitted:
            return
        codes = self._data().probe(self.hparams["regions"]["codes"], self.device)
        seen = (self._render(part, self.regions.features).features for part in self._split(codes))
        fit_regions(self.regions, seen, self.hparams["seed"], self.trainer.strategy.broadcast)

    def _render(self, codes: CodeBatch, features: tuple[str, ...] = (), styles: Tensor | None = None) -> Rendering:
        options: dict[str, Any] = {"features": features} if features else {}
        if self.generator.is_3d:
            options["neural_resolution"] = self.hparams["neural_resolution"]
        styles = codes.styles if styles is None else styles
        return self.generator.synthesize(styles, camera=codes.camera, **options)

    def _split(self, codes: Batch) -> list[Batch]:
        """Return codes or pairs in parts of as many as are rendered at a time."""
        step = self.hparams["render_batch"]
        return [codes[start : start + step] for start in range(0, len(codes), step)]

    def _data(self) -> Any:
        """Return the stream of codes."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if not hasattr(data, "probe") or data.batch != "codes":
            raise ValueError(f"data: {type(self).__name__} needs StyleCodeDataModule with batch: codes")
        return data
