"""A generator whose channels are pixels, a text-image model that knows them by name, and small fits of both."""

import hashlib

import torch
from lightning.pytorch import Trainer
from torch.nn.functional import interpolate, normalize

from sat3d.data import StyleCodeDataModule
from sat3d.generators import Rendering, StyleLayer, StyleSpace
from sat3d.generators.base import Generator
from sat3d.methods import StyleCLIPDirections
from sat3d.perception.observer import Observer

TEXTS = {"light": ["a lamp", "a shade"], "tree": [["an oak", "an elm"], "a shrub"]}
DATA = {"batch": "codes", "batch_size": 5, "epoch_size": 40, "val_size": 4, "test_size": 4, "truncation": 1.0}


class Pixels(Generator):
    """Paint channel j into pixel j; the last of the layers is toRGB's."""

    z_dim, c_dim, w_dim, num_ws, resolution, config = 6, 0, 6, 1, 4, {}
    name = "pixels"

    def __init__(self):
        super().__init__()
        self.affine = torch.nn.Linear(6, 12)
        torch.nn.init.normal_(self.affine.weight, generator=torch.Generator().manual_seed(0))

    @property
    def style_space(self):
        rows = [("b4.conv1", 0, 8, "conv", 4), ("b8.conv1", 8, 2, "conv", 8), ("b8.torgb", 10, 2, "torgb", 8)]
        return StyleSpace(tuple(StyleLayer(n, first, size, k, "backbone", r, 0) for n, first, size, k, r in rows))

    def map(self, z, c=None, truncation=1.0, cutoff=None):
        return z[:, None]

    def styles(self, ws):
        return self.affine(ws[:, 0])

    def synthesize(self, s, camera=None, **options):
        pixels = torch.cat([0.1 * s, s.new_ones(len(s), 4)], dim=1)
        return Rendering(pixels.unflatten(1, (1, 4, 4)).repeat(1, 3, 1, 1))


class Eyes(Observer):
    """See a picture's coarse pixels in a turned space, and know texts: `channel 3` is where pixel 3 goes."""

    name = "eyes"

    def __init__(self, seed=0):
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.register_buffer("turn", torch.linalg.qr(torch.randn(16, 16, generator=rng))[0])
        self.freeze()

    def encode_image(self, images):
        return normalize(interpolate(images.mean(1, keepdim=True), (4, 4), mode="area").flatten(1) @ self.turn, dim=1)

    def encode_text(self, texts):
        return torch.stack([self._text(text) for text in texts])

    def _text(self, text):
        if "channel" in text:
            return self.turn[int(text.split()[-1])]
        seed = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
        return normalize(torch.randn(16, generator=torch.Generator().manual_seed(seed)), dim=0)


def module(generator, **changes):
    settings = {"clip": "eyes", "texts": TEXTS, "templates": ["{}"], "pictures": 3, "population": 30, "threshold": 0.0}
    return StyleCLIPDirections(
        generator, **{**settings, "graded_codes": 4, "strengths": (5.0, 20.0), "render_batch": 7, **changes}
    )


def fit(model, folder, ckpt=None, data=None, **options):
    data = StyleCodeDataModule(model.hparams["generator"], **{**DATA, "yaw": None, "pitch": None, **(data or {})})
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, default_root_dir=folder, **{**quiet, **options})
    trainer.fit(model, datamodule=data, ckpt_path=ckpt)
    return data
