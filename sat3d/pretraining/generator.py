"""Train the embedded tri-plane generator by comparison with the world's true pictures."""

from __future__ import annotations

import copy
import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from sat3d import shipped
from sat3d.data.world import PictureBatch
from sat3d.generators import build_generator, load_generator, save_generator
from sat3d.generators.eg3d import EG3D
from sat3d.ops import Camera
from sat3d.ops.schedules import known_steps
from sat3d.pretraining.base import TrainingClock, check_world, typed_command
from sat3d.pretraining.generator_figures import GeneratorFigures, linear_probe
from sat3d.pretraining.generator_settings import GeneratorRates, ToyGeneratorConfig, rate_kind
from sat3d.pretraining.mapping import attribute_network, fit, join, late_layers, stage_networks
from sat3d.pretraining.picture_loss import PictureLoss, PictureLossWeights
from sat3d.shipped import ExportConfig
from sat3d.world import World, load_world, world_of

RECOVERY_RATE = 0.02  # however gently a generator is refined, the w of its attributes is found from random weights


class GeneratorPretraining(LightningModule):
    """Learn pictures of the world from its codes.

    The world's map from z to attributes is fixed and invertible, so every z has a true picture. For the first part of
    the run w comes from the attributes by a small network, which converges about twice as fast. Then the mapping
    network learns to give the same w from z (see `sat3d.pretraining.mapping`), and for the rest of the run synthesis
    goes on with the w that it gives.

    Args:
        name: of the result, its file and its entry in the manifest; `None` for the world's own (`toycars64`).
        config: sizes.
        rates: learning rates.
        weights: of the losses.
        attribute_share: share of the steps that learn from the attributes.
        mapping_batch: codes a step, when the mapping network learns.
        mapping_steps: steps on which it learns each stage of the world's map from codes to normal scores, once.
        recovery_steps: batches of `mapping_batch` codes on which the attributes' w is fitted to that of `init`.
        ema: decay of the averaged weights, which are what is graded and exported.
        init: a generator to continue from (a shipped name or file); its sizes replace `config`, but for the mapping
            network, which is learned anew. One of this world is refined: the attributes' w is first fitted to that of
            its mapping network. One of another world gives all other weights.
        export: where the result goes.
        seed: of initial weights and ray samples.
        world: name of the world; the data module's must be the same.

    Raises:
        ValueError: if the mapping network is too shallow or narrow for the world.
    """

    def __init__(
        self,
        name: str | None = None,
        config: ToyGeneratorConfig | None = None,
        rates: GeneratorRates | None = None,
        weights: PictureLossWeights | None = None,
        attribute_share: float = 2 / 3,
        mapping_batch: int = 512,
        mapping_steps: int = 32_000,
        recovery_steps: int = 2_000,
        ema: float = 0.998,
        init: str | None = None,
        export: ExportConfig | None = None,
        seed: int = 0,
        world: str = "heads",
    ) -> None:
        super().__init__()
        if not 0 <= attribute_share < 1:
            raise ValueError(f"attribute_share lies in [0, 1), not at {attribute_share}")
        self.world = load_world(world)
        self.name = name or f"{self.world.domain.generator}64"
        self.rates, self.ema, self.seed = rates or GeneratorRates(), ema, seed
        self.attribute_share, self.mapping_batch = attribute_share, mapping_batch
        self.mapping_steps, self.recovery_steps, self.init = mapping_steps, recovery_steps, init
        self.caught_up = False
        self.strict_loading = False
        self.export = export or ExportConfig()
        self.loss = PictureLoss(self.world.parts, self.world.domain.small_parts, weights or PictureLossWeights())
        config = config or ToyGeneratorConfig()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = config.build(self.world) if init is None else continued(init, config, self.world)
            assert isinstance(generator, EG3D)
            self.from_attributes = attribute_network(self.world, generator.w_dim)
        known = None if init is None else world_of(load_generator(init).name)
        self.recovered = known is None or known.name != world
        stage_networks(generator.backbone.mapping.requires_grad_(False), self.world, seed)  # is there room for them?
        self.generator = generator
        self.average = copy.deepcopy(generator).requires_grad_(False)
        self.average_from_attributes = copy.deepcopy(self.from_attributes).requires_grad_(False)
        self.figures = GeneratorFigures(self.world.parts)
        self.measured: dict[str, float] = {}
        self.clock = TrainingClock()

    # -- training -----------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        kinds: dict[str, list[nn.Parameter]] = {}
        for name, p in self.named_parameters():
            if p.requires_grad:
                kinds.setdefault(rate_kind(name), []).append(p)
        groups = [{"params": ps, "lr": getattr(self.rates, kind)} for kind, ps in kinds.items()]
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        steps = known_steps(self.trainer.estimated_stepping_batches)

        def rate(step: int) -> float:
            rise = min(1.0, (step + 1) / max(1, self.rates.warmup))
            return rise * (
                self.rates.floor + (1 - self.rates.floor) * 0.5 * (1 + math.cos(math.pi * min(1, step / steps)))
            )

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_fit_start(self) -> None:
        self.clock.start()
        # In the planes' empty corners squared gradients are subnormal numbers, which cost a CPU a factor of ten.
        torch.set_flush_denormal(True)
        if not self.recovered:
            self._recover()

    @property
    def _learns_from_attributes(self) -> bool:
        """Whether w still comes from the attributes; in the last step it never does."""
        steps = known_steps(self.trainer.estimated_stepping_batches)
        return self.global_step < min(self.attribute_share * steps, steps - 1)

    def training_step(self, batch: PictureBatch, batch_idx: int) -> Tensor:
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        if self._learns_from_attributes:
            w = self.from_attributes(self._features(batch))
        else:
            if not self.caught_up:
                self._catch_up()
            w = self.generator.map(batch.z)[:, 0]
        s = self.generator.styles(w.unsqueeze(1).expand(-1, self.generator.num_ws, -1))
        camera = Camera.from_label(batch.camera_label)
        rendering, marched = self.generator.trace(self.generator.planes(s), s, camera, jitter=random)
        parts = self.loss(rendering, marched, batch)
        total = torch.stack(list(parts.values())).sum()
        self.log_dict({f"train/{k}": v for k, v in parts.items()}, batch_size=len(batch))
        self.log("train/loss", total, prog_bar=True, batch_size=len(batch))
        return total

    def _features(self, batch: PictureBatch) -> Float[Tensor, "b f"]:
        return self.world.features(batch.u).to(batch.rgb)

    def _recover(self) -> None:
        """Train the network from attributes alone until it gives the w that a refined generator's mapping gives."""
        assert self.init is not None
        first = load_generator(self.init).to(self.device)

        def loss(step: int) -> Tensor:
            z = self._codes(step)
            features = self.world.features(self.world.coordinates(z)).float().to(self.device)
            with torch.no_grad():
                target = first.map(z.to(self.device))[:, 0]
            return (self.from_attributes(features) - target).square().mean()

        fit(self.from_attributes, RECOVERY_RATE, self.recovery_steps, loss, "attributes give w", self._quiet)
        self.average_from_attributes.load_state_dict(self.from_attributes.state_dict())
        self.recovered = True

    def _catch_up(self) -> None:
        """Make the mapping network give the w that the attributes give, once."""
        mapping = self.generator.backbone.mapping
        networks = stage_networks(mapping, self.world, self.seed)
        for i, network in enumerate(networks):
            network.to(self.device)

            def loss(step: int, i: int = i, network: nn.Sequential = network) -> Tensor:
                z = self._codes(step)
                stages = [z, *self.world.stages(z)]
                return (network(stages[i].to(self.device)) - stages[i + 1].to(self.device)).abs().mean()

            doing = f"mapping, stage {i + 1} of {len(networks)}"
            fit(network, self.rates.mapping, self.mapping_steps, loss, doing, self._quiet)
        join(mapping, [*networks, late_layers(self.world, self.average_from_attributes)], self.seed)
        self.average.backbone.mapping.load_state_dict(mapping.state_dict())
        self.caught_up = True

    @property
    def _quiet(self) -> bool:
        return self.trainer.progress_bar_callback is None

    def _codes(self, step: int) -> Float[Tensor, "b z"]:
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + 10**9 + step)
        return torch.randn(self.mapping_batch, self.generator.z_dim, generator=random)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take the step, and at once the averages after it: checkpoints are saved before modules' own batch ends."""
        super().optimizer_step(*args, **kwargs)
        step = self.global_step + 1  # counted when this returns
        decay = min(self.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for average, trained in (
                (self.average, self.generator),
                (self.average_from_attributes, self.from_attributes),
            ):
                for mean, p in zip(average.parameters(), trained.parameters(), strict=True):
                    mean.lerp_(p, 1 - decay)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["seconds"] = self.clock.read()
        checkpoint["caught_up"], checkpoint["recovered"] = self.caught_up, self.recovered

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.clock.seconds = float(checkpoint.get("seconds", 0.0))
        self.caught_up = bool(checkpoint.get("caught_up", False))
        self.recovered = bool(checkpoint.get("recovered", True))

    # -- grading ------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        check_world(self)
        if stage in ("validate", "test") and not self.trainer.ckpt_path:
            exported = load_generator(shipped.shipped_path(self.name, self.export.read()))
            assert isinstance(exported, EG3D)
            self.average = copy.deepcopy(exported)

    def validation_step(self, batch: PictureBatch, batch_idx: int) -> None:
        self._grade(batch, early=self.trainer.state.fn == TrainerFn.FITTING and not self.caught_up)

    def test_step(self, batch: PictureBatch, batch_idx: int) -> None:
        self._grade(batch)

    def _grade(self, batch: PictureBatch, early: bool = False) -> None:
        """Grade the average as it will be used, in float32; early, with the w that attributes give."""
        with torch.autocast(self.device.type, enabled=False):
            w = self.average_from_attributes(self._features(batch)) if early else self.average.map(batch.z)[:, 0]
            s = self.average.styles(w.unsqueeze(1).expand(-1, self.average.num_ws, -1))
            self.figures.update(self.average.synthesize(s, Camera.from_label(batch.camera_label)), batch)

    def on_validation_epoch_end(self) -> None:
        self._close("val")

    def on_test_epoch_end(self) -> None:
        self._close("test")

    def _close(self, stage: str) -> None:
        self.measured = self.figures.compute()
        self.figures.reset()
        self.log_dict({f"{stage}/{k}": v for k, v in self.measured.items()}, prog_bar=stage == "val")
        if stage == "test":
            self.log_dict({f"test/{k}": v for k, v in linear_probe(self.average, self.world).items()})

    # -- the result ---------------------------------------------------------------------------------------------------

    def on_fit_end(self) -> None:
        if self.export.enabled and self.trainer.is_global_zero and not getattr(self.trainer, "fast_dev_run", False):
            self.export_generator()

    @torch.no_grad()
    def export_generator(self) -> Path:
        """Write the averaged weights in half precision, with their entry in the manifest; return the file."""
        average = copy.deepcopy(self.average).cpu()
        average.name = self.name
        z = torch.randn(10_000, average.z_dim, generator=torch.Generator().manual_seed(self.seed))
        average.backbone.mapping.w_avg.copy_(average.map(z)[:, 0].mean(dim=0))
        metrics = {**self.measured, **linear_probe(average, self.world)}
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / f"{self.name}.safetensors"
            save_generator(average, file, dtype=torch.float16)
            return shipped.register(
                self.name,
                file,
                kind="generator",
                command=typed_command("generator", self.world.name),
                seconds=self.clock.read(),
                metrics={k: round(v, 4) for k, v in metrics.items()},
                folder=self.export.written(self.trainer.default_root_dir),
            )


def continued(init: str, sizes: ToyGeneratorConfig, world: World) -> EG3D:
    """Return a trainable generator of a world with the weights of another, all but its mapping network's.

    Args:
        init: name or file of the other.
        sizes: of the mapping network.
        world: whose codes it takes; its cameras and depths replace the other's.

    Raises:
        ValueError: if it is no embedded generator.
    """
    other = load_generator(init)
    if not isinstance(other, EG3D):
        raise ValueError(f"init={init!r} is no EG3D generator")
    config = {**other.config, "z_dim": world.z_dim, "mapping": sizes.mapping}
    near, far = world.domain.depths
    config["rendering"] = {**config["rendering"], "ray_start": near, "ray_end": far}
    generator = build_generator(config)
    assert isinstance(generator, EG3D)
    known = {name: t for name, t in other.state_dict().items() if ".mapping." not in name}
    generator.load_state_dict({**generator.state_dict(), **known})
    generator.cameras = world.domain.cameras
    generator.train().requires_grad_(True)
    return generator
