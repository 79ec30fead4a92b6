"""Small fits of Editing in Style on tiny networks."""

import torch
from lightning.pytorch import Trainer

from sat3d.data import StyleCodeDataModule
from sat3d.methods import EditingInStyle
from sat3d.perception import RegionSource

DATA = {"batch": "codes", "batch_size": 4, "epoch_size": 12, "val_size": 4, "test_size": 4, "truncation": 1.0}
CLUSTERS = RegionSource(clusters=3, layer="renderer", codes=4)


def module(toys, **changes):
    settings = {
        "regions": CLUSTERS,
        "attributes": {"hat": ["head"], "smile": ["background"]},
        "named_by": toys.parser,
        "labeller": toys.scorer,
        "judge": toys.judge,
        "query": {"budget": 2.0},
        "render_batch": 3,
    }
    return EditingInStyle(**{"generator": toys.generator, **settings, **changes})


def fit(model, folder, ckpt=None, **options):
    data = StyleCodeDataModule(model.hparams["generator"], **DATA)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, default_root_dir=folder, **{**quiet, **options})
    trainer.fit(model, datamodule=data, ckpt_path=ckpt)
    return trainer, data


def same(one, other):
    """Tell whether two fits found the same bit by bit."""
    return torch.equal(one.found, other.found) and torch.equal(one.counts, other.counts)
