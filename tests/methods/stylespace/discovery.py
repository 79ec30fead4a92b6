"""Small discoveries on tiny networks, and in what two of them differ."""

import torch
from lightning.pytorch import Trainer

from sat3d.data import StyleCodeDataModule
from sat3d.methods import StyleSpaceDiscovery
from sat3d.methods.stylespace import Examples
from sat3d.perception import RegionSource

DATA = {"batch": "codes", "batch_size": 5, "epoch_size": 40, "val_size": 4, "test_size": 4, "truncation": 1.0}
NAMES = ["hat/cap", "-smile"]


def module(toys, **changes):
    settings = {
        "regions": RegionSource(parser=toys.parser),
        "grid": 8,
        "pictures": 6,
        "scorer": toys.scorer,
        "attributes": NAMES,
        "scored": 30,
        "positives": 4,
        "examples": {"mine": Examples(indices=(1, 5, 9)), "shown": Examples(seeds=(0, 2))},
        "ranked": 3,
        "graded_codes": 4,
        "strengths": (5.0, 20.0),
        "render_batch": 3,
    }
    return StyleSpaceDiscovery(toys.generator, **{**settings, **changes})


def fit(model, folder, ckpt=None, **options):
    data = StyleCodeDataModule(model.hparams["generator"], **DATA)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, default_root_dir=folder, **{**quiet, **options})
    trainer.fit(model, datamodule=data, ckpt_path=ckpt)
    return trainer, data


def differing(one, other):
    """Return which results of two discoveries are not the same bit by bit."""
    names = ("population", "rate", "theta", "direction")
    pairs = {name: (getattr(one, name).nan_to_num(-1.0), getattr(other, name).nan_to_num(-1.0)) for name in names}
    return [name for name, (a, b) in pairs.items() if not torch.equal(a, b)]
