"""Training of an encoder on its generator's own pictures, as a LightningModule."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from sat3d import shipped
from sat3d.generators import load_generator
from sat3d.generators.batches import CodeBatch
from sat3d.inversion.encoder import KIND, Encoder, EncoderConfig, load_encoder
from sat3d.inversion.losses import LossOptions, PictureDistance
from sat3d.inversion.pose import view_angle
from sat3d.inversion.spaces import CodeStatistics
from sat3d.metrics.pictures import masked_psnr
from sat3d.ops.augment import Augmentation
from sat3d.ops.camera import Camera
from sat3d.ops.schedules import known_steps, one_cycle
from sat3d.shipped import ExportConfig

FILE = "encoder.safetensors"


class EncoderTraining(LightningModule):
    """Teach an encoder to read w and the camera from a frozen generator's pictures, of which both are known.

    L = mean ((w − ŵ)/σ_w)² + p·mean ((angles − their own)/half their range)², and from `picture_from` of the steps on
    also what `loss` says of the picture that the encoder's answer makes, as encoders of real pictures have it
    (pSp, Richardson et al. 2021, arXiv 2008.00951, §3.1, without its W+).

    Needs a datamodule of single codes: `StyleCodeDataModule(batch="codes", truncation=1.0)`.

    Args:
        generator: name or file for `load_generator`.
        trunk: of the encoder: `plain` (knows where things are) or `residual`.
        widths: channels of the trunk's stages.
        resolution: side of the pictures that the encoder looks at; `null` for the generator's.
        pose: p.
        loss: of pictures; its `code` is left out.
        picture: weight of that loss.
        picture_from: share of the steps after which it counts: it is dear.
        augmentation: changes to training pictures, so that the encoder does not hold on to what only this generator's
            pictures have.
        lr: largest learning rate of AdamW; one cycle.
        weight_decay: of AdamW.
        name: of the shipped encoder, which `lightning test` without a checkpoint grades; `null` where there is none.
        export: with a folder (`checkpoints`), the result is put there, too, under that name.
        seed: of initial weights and changes to pictures.

    Example:
        >>> Trainer(max_steps=4000).fit(EncoderTraining("toyfaces64"), StyleCodeDataModule("toyfaces64", batch="codes"))
    """

    def __init__(
        self,
        generator: str,
        *,
        trunk: str = "plain",
        widths: tuple[int, ...] = (32, 64, 128, 192),
        resolution: int | None = None,
        pose: float = 1.0,
        loss: LossOptions | None = None,
        picture: float = 1.0,
        picture_from: float = 0.7,
        augmentation: Augmentation | None = None,
        lr: float = 2e-3,
        weight_decay: float = 0.01,
        name: str | None = None,
        export: ExportConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= picture_from <= 1:
            raise ValueError(f"picture_from={picture_from} is a share of the steps, between 0 and 1")
        self.strict_loading = False
        self.generator = net = load_generator(generator)
        self.pose, self.picture, self.picture_from = pose, picture, picture_from
        self.loss, self.augmentation = loss or LossOptions(code=0.0), augmentation or Augmentation(shift=0)
        self.lr, self.weight_decay, self.name, self.seed = lr, weight_decay, name, seed
        self.export = export or ExportConfig()
        config = EncoderConfig.of(net, trunk, tuple(widths), resolution or net.resolution)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = Encoder(config, CodeStatistics.of(net))
        self._distance: list[PictureDistance] = []  # in a list: no part of the module
        self._seen: dict[str, list[Tensor]] = {}
        self.figures: dict[str, float] = {}
        self._seconds, self._started = 0.0, time.monotonic()

    @property
    def distance(self) -> PictureDistance:
        """What pictures are compared by."""
        if not self._distance:
            self._distance.append(PictureDistance(self.loss, self.generator.name, self.device))
        return self._distance[0]

    # Training ---------------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """Return AdamW with one cycle of the learning rate."""
        optimizer = torch.optim.AdamW(self.encoder.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        steps = known_steps(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def setup(self, stage: str) -> None:
        """Take the shipped weights where they are to be graded: validate and test without a checkpoint.

        Raises:
            FileNotFoundError: if there are none yet.
        """
        if stage in ("validate", "test") and not self.trainer.ckpt_path and self.name is not None:
            shipped_one = load_encoder(self.name, self.generator)
            self.encoder.load_state_dict(shipped_one.state_dict())

    def on_fit_start(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def training_step(self, batch: CodeBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch of codes."""
        net = self.generator
        with torch.no_grad():
            pictures = net.synthesize(batch.styles, camera=batch.camera).image.float()
            changed = self._changed(pictures, batch.index)
        ws, angles = self.encoder(changed)
        terms = {"code": ((ws[:, 0] - batch.ws[:, 0]) / self.encoder.statistics[1]).square().mean()}
        if angles is not None and batch.camera is not None:
            terms["pose"] = self.pose * ((angles - batch.camera.angles()) / self._half_range()).square().mean()
        steps = known_steps(self.trainer.estimated_stepping_batches)
        if self.picture and self.global_step >= self.picture_from * steps:
            made = net.synthesize(net.styles(ws), camera=self._camera(angles)).image
            with torch.autocast(self.device.type, enabled=False):
                with torch.no_grad():
                    target = self.distance.seen(pictures)
                for name, value in self.distance(made.float(), target).items():
                    terms[name] = self.picture * value.mean()
        loss = torch.stack(list(terms.values())).sum()
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, batch_size=len(batch))
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        return loss

    def _changed(self, pictures: Float[Tensor, "b 3 h w"], index: Tensor) -> Float[Tensor, "b 3 h w"]:
        """Change pictures, each by its number: not by its batch, its process, or how often the run was stopped."""
        rows = []
        for picture, number in zip(pictures.split(1), index.tolist(), strict=True):
            random = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
            rows.append(self.augmentation(picture, None, random)[0])
        return torch.cat(rows)

    def _half_range(self) -> Tensor:
        config = self.encoder.config
        assert config.yaw is not None and config.pitch is not None
        return torch.tensor([config.yaw[1] - config.yaw[0], config.pitch[1] - config.pitch[0]], device=self.device) / 2

    def _camera(self, angles: Tensor | None) -> Camera | None:
        cameras = self.generator.cameras
        return None if angles is None or cameras is None else cameras.at(angles[:, 0], angles[:, 1])

    # Grading ----------------------------------------------------------------------------------------------------------

    def validation_step(self, batch: CodeBatch, batch_idx: int) -> None:
        """Grade on held-out codes: error of w in σ, PSNR of the pictures, error of the cameras in degrees."""
        net = self.generator
        with torch.autocast(self.device.type, enabled=False):
            pictures = net.synthesize(batch.styles, camera=batch.camera).image
            ws, angles = self.encoder(pictures)
            camera = self._camera(angles)
            made = net.synthesize(net.styles(ws), camera=camera).image
            error = ((ws[:, 0] - batch.ws[:, 0]) / self.encoder.statistics[1]).square().mean(1).sqrt()
            self._note("w_error", error)
            self._note("psnr", masked_psnr(made.clamp(-1, 1), pictures.clamp(-1, 1)))
            if camera is not None and batch.camera is not None:
                self._note("pose_degrees", view_angle(camera, batch.camera))

    def test_step(self, batch: CodeBatch, batch_idx: int) -> None:
        """Grade on the test codes."""
        self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Log `val/*`."""
        self._report("val")

    def on_test_epoch_end(self) -> None:
        """Log `test/*`."""
        self._report("test")

    def predict_step(self, batch: CodeBatch, batch_idx: int) -> Float[Tensor, "b 3 h w"]:
        """Return the pictures that the encoder's answers make."""
        net = self.generator
        ws, angles = self.encoder(net.synthesize(batch.styles, camera=batch.camera).image)
        return net.synthesize(net.styles(ws), camera=self._camera(angles)).image

    def _note(self, name: str, values: Tensor) -> None:
        self._seen.setdefault(name, []).append(values)

    def _report(self, stage: str) -> None:
        means = {name: torch.cat(values).mean() for name, values in self._seen.items()}
        self.log_dict({f"{stage}/{name}": value for name, value in means.items()}, prog_bar=True, sync_dist=True)
        self.figures = {name: round(float(value), 4) for name, value in means.items()}
        self._seen.clear()

    # The result -------------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what is frozen, and keep the seconds that the training took."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith("generator.")}
        checkpoint["seconds"] = self._seconds + time.monotonic() - self._started

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the clock."""
        self._seconds = float(checkpoint.get("seconds", 0.0))

    def on_fit_end(self) -> None:
        """Export the encoder to the run folder, and to the folder of `export`."""
        folder = Path(self.trainer.log_dir or self.trainer.default_root_dir)  # every process asks: it is broadcast
        if not self.trainer.is_global_zero or getattr(self.trainer, "fast_dev_run", False):
            return
        path = self.encoder.save(folder / FILE)
        rank_zero_info(f"encoder: {path}; sat3d invert PICTURE --encoder {path}")
        if self.name is not None and self.export.folder is not None and self.export.enabled:
            with tempfile.TemporaryDirectory() as scratch:
                shipped.register(
                    self.name,
                    self.encoder.save(Path(scratch) / f"{self.name}.safetensors"),
                    kind=KIND,
                    command=f"lightning fit --config experiments/inversion/{self.name}.yaml",
                    seconds=self._seconds + time.monotonic() - self._started,
                    metrics=self.figures,
                    folder=Path(self.export.folder),
                )
