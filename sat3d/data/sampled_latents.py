"""Codes of a stream, labelled by looking at the pictures a generator makes of them."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from sat3d.data.codes import StyleCodeDataModule
from sat3d.data.latent_sources import LatentSource, Space, code_width
from sat3d.data.rows import RowStore
from sat3d.data.schema import Schema
from sat3d.folders import cache_folder
from sat3d.generators import CodeStream
from sat3d.ops.camera import Camera, Range
from sat3d.perception import Scorer
from sat3d.perception.scorers import check_choice, training_scorer


class SampledLatents(LatentSource):
    """Label the first codes of a training stream, once: what is kept on disk is not made again.

    Pictures are scored by an attribute predictor, or by CLIP with descriptor groups. Code and log-odds of the scores
    are kept, under the hashes of generator and observer and the settings of the stream; `count` is not among these, so
    that more codes go on from fewer. The codes and cameras are those of `StyleCodeDataModule` with the same settings.

    Args:
        generator: name or file for `load_generator`.
        scorer: attribute predictor that labels.
        clip: text-image model that labels, in place of `scorer`; with `descriptors`.
        clip_pretrained: its weights, where open_clip offers several.
        descriptors: descriptor groups, a bundled name or a YAML file.
        temperature: of the descriptors' softmax; `null` takes CLIP's own scale.
        count: codes.
        seed: of the stream.
        truncation: ψ of the mapping.
        yaw: camera range in radians; `null` takes the generator's own.
        pitch: camera range in radians; `null` takes the generator's own.
        space: what is kept of a code: `w`, `z`, or `s`, the flat styles.
        render_batch: pictures made at a time.
        root: folder that holds labelled codes; by default within `cache_folder()`.

    Raises:
        ValueError: for both or none of `scorer` and `clip`, and sizes below 1.

    Example:
        >>> source = SampledLatents("toyfaces64", scorer="toyfaces-labeller", count=200)
        >>> source.prepare()
        >>> source.codes.shape, source.values.shape
    """

    def __init__(
        self,
        generator: str,
        scorer: str | None = None,
        clip: str | None = None,
        clip_pretrained: str | None = None,
        descriptors: str | None = None,
        temperature: float | None = None,
        count: int = 10_000,
        seed: int = 0,
        truncation: float = 0.7,
        yaw: Range = "near",
        pitch: Range = "near",
        space: Space = "w",
        render_batch: int = 25,
        root: str | None = None,
    ) -> None:
        check_choice(clip, descriptors, scorer)
        for name, value in {"count": count, "render_batch": render_batch}.items():
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        self._observer = (clip, clip_pretrained, descriptors, temperature, scorer)
        self.stream = StyleCodeDataModule(
            generator, batch="codes", seed=seed, truncation=truncation, yaw=yaw, pitch=pitch
        )
        self.count, self.space, self.render_batch, self.root = count, space, render_batch, root
        self._prepared = False

    def __len__(self) -> int:
        return self.count

    @cached_property
    def scorer(self) -> Scorer:
        """The observer that labels."""
        return training_scorer(*self._observer)

    @cached_property
    def schema(self) -> Schema:
        """What the observer scores."""
        return Schema.of_scorer(self.scorer)

    @property
    def samples(self) -> dict[str, Any]:
        """What says which pictures are labelled, and by whom; the space in which their codes are kept does not."""
        cameras = self.stream.cameras
        return {
            "generator": self.stream.generator.hash,
            "scorer": self.scorer.hash,
            "seed": self.stream.seed,
            "truncation": self.stream.truncation,
            "cameras": None if cameras is None else asdict(cameras),
        }

    @cached_property
    def store(self) -> RowStore:
        """What is kept, in a folder of its own for these networks and this stream."""
        generator = self.stream.generator
        settings = {key: self.samples[key] for key in ("seed", "truncation", "cameras")} | {"space": self.space}
        key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        about = {"generator": generator.name, **settings, "columns": self.schema.columns}
        name = "-".join(digest[:16] for digest in (generator.hash, self.scorer.hash, key))
        widths = {"codes": code_width(generator, self.space), "log_odds": len(self.scorer.columns)}
        return RowStore(Path(self.root or cache_folder() / "latents") / name, widths, about)

    def prepare(self, device: torch.device | str | None = None, progress: bool = True) -> None:
        """Label the codes that are not yet labelled, sharing the work with other processes that do so.

        Args:
            device: of the networks; by default where the generator is.
            progress: show a bar.

        Raises:
            OSError: if nothing can be kept.
            ValueError: if a code or score is not finite.
        """
        if self._prepared:
            return
        start = time.monotonic()
        made = self.store.make(
            self.count, lambda rows: self._label(rows, device), f"labelling {self.stream.generator.name}", progress
        )
        self._prepared = True
        done = f"{made} codes labelled, {self.count} in use" if made else f"{self.count} labelled codes found"
        rank_zero_info(f"{done}: {time.monotonic() - start:.1f} s, {self.store.folder}")

    @torch.no_grad()
    def _label(self, rows: range, device: torch.device | str | None) -> dict[str, np.ndarray]:
        codes, scores = [], []
        for start in range(rows.start, rows.stop, self.render_batch):
            batch = self.stream.codes("train", range(start, min(start + self.render_batch, rows.stop)), device)
            image = self.stream.generator.synthesize(batch.styles, camera=batch.camera).image
            codes.append({"w": batch.ws[:, 0], "z": batch.z, "s": batch.styles}[self.space].float().cpu())
            scores.append(self.scorer.to(image.device).log_odds(image.float()).cpu())
        made = {"codes": torch.cat(codes).numpy(), "log_odds": torch.cat(scores).numpy()}
        for name, array in made.items():
            finite = np.isfinite(array).all(1)
            if not finite.all():
                raise ValueError(f"the {name} of code {rows[int(finite.argmin())]} are not finite")
        return made

    @property
    def codes(self) -> np.ndarray:
        """(N, D), float32, on disk."""
        return self.store.read(self.count)["codes"]

    @property
    def values(self) -> np.ndarray:
        """Log-odds of the scores, (N, P), float32, on disk."""
        return self.store.read(self.count)["log_odds"]

    def camera(self, index: Int[Tensor, " b"]) -> Camera | None:
        """Return the cameras that the codes were looked at from; `None` for a 2-D generator."""
        if self._sampler.cameras is None:
            return None
        new = index[self._cameras.cam2world[index, 0, 0].isnan()]
        if len(new):
            drawn = self._sampler.camera(new)
            assert drawn is not None
            self._cameras.cam2world[new], self._cameras.intrinsics[new] = drawn.cam2world, drawn.intrinsics
        return self._cameras[index]

    @cached_property
    def _sampler(self) -> CodeStream:
        return self.stream.stream("train")

    @cached_property
    def _cameras(self) -> Camera:
        """Those drawn so far, NaN elsewhere: a generator of random numbers is made for each of them."""
        return Camera(torch.full((self.count, 4, 4), torch.nan), torch.full((self.count, 3, 3), torch.nan))
