import json
from types import SimpleNamespace

import imageio.v2 as imageio
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger
from PIL import Image

from sat3d.callbacks import CatalogueFigures, ChannelFigures, EditGrid, EditStrips, Summary
from sat3d.callbacks.pictures import differing_rows
from sat3d.data import StyleCodeDataModule
from sat3d.methods import SAT3D
from sat3d.methods.sat3d import Background

QUICK = {"preselect": None, "balance": False, "test_strengths": (1.0,)}


class PictureLogger(Logger):
    """A logger that takes pictures as W&B's does."""

    name = version = "pictures"

    def __init__(self):
        self.seen = []

    def log_image(self, key, images, step):
        self.seen.append((key, step, images[0].shape))

    def log_metrics(self, *args, **kwargs):
        pass

    def log_hyperparams(self, *args, **kwargs):
        pass


@pytest.mark.parametrize("kind", ["generator", "flat"])
def test_run_leaves_pictures_a_clip_and_a_summary(toys, tmp_path, kind):
    name = getattr(toys, kind)
    region = Background("opacity" if kind == "generator" else "none")
    model = SAT3D(name, scorer=toys.scorer, labeller=toys.scorer, judge=toys.judge, background=region, **QUICK)
    data = StyleCodeDataModule(name, num_codes=8, num_cameras=1, block_size=4, batch_size=4, epoch_size=8, val_size=4)
    pictures = PictureLogger()
    trainer = Trainer(
        accelerator="cpu",
        max_steps=2,
        logger=[CSVLogger(tmp_path, name="", version=""), pictures],
        callbacks=[EditGrid(candidates=4, clip_frames=3), Summary()],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data)
    grid = Image.open(tmp_path / "pictures" / "edits.png")
    views = 2 if kind == "generator" else 1
    assert grid.width > 4 * views * model.generator.resolution and grid.height > 3 * model.generator.resolution
    assert (tmp_path / "pictures" / "edits-step000002.png").is_file()
    assert pictures.seen and pictures.seen[-1][0] == "edits"
    clips = list((tmp_path / "pictures").glob("orbit-*.mp4"))
    assert len(clips) == (kind == "generator")
    for clip in clips:
        assert len(imageio.mimread(clip)) == 3
    fit = json.loads((tmp_path / "fit.json").read_text())
    assert fit["steps"] == 2 and fit["seconds"] > 0 and "train/loss" in fit["metrics"]
    trainer.test(model, datamodule=data, verbose=False)
    test = json.loads((tmp_path / "test.json").read_text())
    assert set(test["curves"]["attributes"]) == {"hat", "smile", "beard"}


def test_rows_show_pairs_that_differ(toys):
    model = SAT3D(toys.generator, scorer=toys.scorer, **QUICK)
    pairs = StyleCodeDataModule(toys.generator).pairs("val", range(12))
    rows = differing_rows(model.generator, model.scorer, pairs, ["hat", "smile"])
    for row, name in zip(rows, ("hat", "smile"), strict=True):
        chosen = pairs[row[None]]
        scores = [
            model.scorer(model.generator.synthesize(s, camera=chosen.camera).image)
            for s in (chosen.source, chosen.reference)
        ]
        every = [
            model.scorer(model.generator.synthesize(s, camera=pairs.camera).image)
            for s in (pairs.source, pairs.reference)
        ]
        distance = float(model.scorer.distance(*scores, name))
        assert distance >= min(0.5, float(model.scorer.distance(*every, name).max()) - 1e-4)
        assert isinstance(row, torch.Tensor)


@pytest.mark.parametrize("callback", [EditStrips(), EditGrid(), ChannelFigures(), CatalogueFigures()])
def test_every_process_asks_for_the_folder_which_the_first_one_tells(callback, tmp_path):
    """What only one process asked for, it would wait for without end."""

    class Run:
        is_global_zero, sanity_checking, world_size, default_root_dir = False, False, 2, str(tmp_path)
        asked = 0

        @property
        def log_dir(self):
            Run.asked += 1
            return str(tmp_path)

    callback.on_fit_end(Run(), SimpleNamespace(is_fitted=torch.tensor(True), device=torch.device("cpu")))
    assert Run.asked == 1 and not any(tmp_path.iterdir())
