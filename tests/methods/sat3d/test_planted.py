"""SAT3D against a generator whose channels have known meanings: it must find them."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from sat3d.data import StyleCodeDataModule
from sat3d.data import codes as data_codes
from sat3d.generators import Generator, Rendering, StyleLayer, StyleSpace
from sat3d.methods import SAT3D
from sat3d.methods.sat3d import Background, module
from sat3d.perception import Scorer, scorers

# Channels 0-1 paint the top left patch, 2-3 the top right one, 4 the bottom left; 5-7 paint the bottom right patch,
# which is background.
OWNER = (0, 0, 1, 1, 2, 3, 3, 3)
NAMES = ("left", "right", "below")


class Planted(Generator):
    """Paint four patches, each by its own style channels."""

    z_dim = w_dim = 8
    num_ws, c_dim, resolution, name, config = 1, 0, 8, "planted", {"class": "planted"}

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.nn.functional.one_hot(torch.tensor(OWNER), 4).float(), requires_grad=False)

    @property
    def style_space(self):
        return StyleSpace((StyleLayer("synthesis.b8.conv1", 0, 8, "conv", "backbone", 8, 0),))

    def map(self, z, c=None, truncation=1.0, cutoff=None):
        return z[:, None]

    def styles(self, ws):
        return ws[:, 0]

    def synthesize(self, s, camera=None, **kwargs):
        patches = torch.tanh(s @ self.weight).view(-1, 1, 2, 2)
        return Rendering(nn.functional.interpolate(patches, scale_factor=4).expand(-1, 3, -1, -1))


class Pooled(Scorer):
    """Read a patch each, through a steep sigmoid."""

    attributes = NAMES
    slices = {name: [slice(k, k + 1)] for k, name in enumerate(NAMES)}  # noqa: RUF012
    columns = NAMES
    column_std = torch.full((3,), 0.3)

    def forward(self, images):
        return (3 * nn.functional.avg_pool2d(images, 4).mean(1).flatten(1)[:, :3]).sigmoid()


@pytest.fixture
def planted(monkeypatch):
    generator = Planted().freeze()
    for home in (module, data_codes):
        monkeypatch.setattr(home, "load_generator", lambda name: generator)
    monkeypatch.setattr(scorers, "load_observer", lambda name: Pooled().freeze())
    return generator


def fit(tmp_path, **settings):
    given = {"scorer": "pooled", "labeller": "pooled", "background": Background("none"), "preselect": None, "lr": 0.1}
    model = SAT3D("planted", **{**given, **settings})
    data = StyleCodeDataModule("planted", num_codes=128, num_cameras=1, batch_size=32, epoch_size=3200, val_size=128)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=120,
        logger=False,
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data)
    return model, {k: float(v) for k, v in trainer.callback_metrics.items()}


@pytest.mark.parametrize("settings", [{}, {"masks": "sigmoid"}, {"preselect": 0.5, "probe_codes": 64}])
def test_every_channel_finds_its_owner(planted, tmp_path, settings):
    model, metrics = fit(tmp_path, **settings)
    masks = model.editor().masks
    assert masks[:, :5].argmax(0).tolist() == list(OWNER[:5])
    assert bool((masks[OWNER[:5], range(5)] > 0.9).all())
    if "masks" not in settings:  # the background's channels are nobody's: with L_prob they may be anything, but one
        assert bool((masks.sum(0) <= 1 + 1e-5).all())
    assert metrics["val/gain"] > 0.9 and metrics["val/drift"] < 0.1


def test_rest_row_takes_what_no_attribute_needs_under_the_background_loss(planted, tmp_path, monkeypatch):
    class LastPatch:
        """A parser to which the bottom right patch is background."""

        parts = ("background", "object")

        def eval(self):
            return self

        def segment(self, images):
            labels = torch.ones(len(images), 8, 8, dtype=torch.long)
            labels[:, 4:, 4:] = 0
            return labels

    monkeypatch.setattr(module, "background_parser", lambda *_: (LastPatch(), "parser"))
    model, _ = fit(tmp_path)
    masks = model.editor().masks
    assert float(masks[:, 5:].sum(0).max()) < 0.1
    assert bool((masks[OWNER[:5], range(5)] > 0.9).all())
