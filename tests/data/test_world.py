import math

import numpy as np
import pytest
import torch

from sat3d.data.shuffled import ShuffledLoader
from sat3d.data.world import BLOCK, WorldDataModule, WorldPictures
from sat3d.world import World, load_world

pytest.importorskip("numba")

SMALL = {"resolution": 16}
FIELDS = ("rgb", "segmentation", "depth", "z", "u", "camera_label", "blocks")


def files(pictures):
    return {name: (pictures.folder / f"{name}.bin").read_bytes() for name in FIELDS}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    pictures = WorldPictures(tmp_path_factory.mktemp("made"), count=BLOCK + 10, seed=3, **SMALL)
    pictures.render(workers=1, progress=False)
    return pictures


def test_pictures_are_those_of_the_world(made):
    batch = made.batch([0, BLOCK + 9, 5])
    world = load_world("heads")
    z, camera = world.sample(3, batch.index)
    picture = world.render(world.coordinates(z), camera, resolution=16)
    assert (batch.rgb - picture.rgb).abs().max() <= 1 / 255 + 1e-6
    assert torch.equal(batch.segmentation, picture.segmentation)
    assert torch.equal(torch.isinf(batch.depth), torch.isinf(picture.depth))
    head = batch.segmentation > 0
    assert (batch.depth - picture.depth)[head].abs().max() < 2e-3
    assert torch.equal(batch.z, z) and torch.equal(batch.camera_label, camera.label())
    assert torch.allclose(batch.u.double(), world.coordinates(z), atol=1e-6)
    assert made.captions(batch.index) == world.captions(world.coordinates(z), batch.index, seed=3)


def test_bytes_do_not_depend_on_workers(made, tmp_path):
    other = WorldPictures(tmp_path, count=BLOCK + 10, seed=3, **SMALL)
    other.render(workers=3, progress=False)
    assert files(other) == files(made)


@pytest.mark.parametrize("damage", ["garbled", "interrupted", "truncated", "deleted"])
def test_rendering_resumes_and_repairs(made, tmp_path, damage, monkeypatch):
    pictures = WorldPictures(tmp_path, count=BLOCK + 10, seed=3, **SMALL)
    pictures.folder.mkdir(parents=True)
    for name, content in files(made).items():
        (pictures.folder / f"{name}.bin").write_bytes(content)
    rgb = pictures.folder / "rgb.bin"
    if damage == "garbled":
        rgb.write_bytes(rgb.read_bytes()[:-50] + bytes(50))
    elif damage == "interrupted":  # the last block's bytes half written, its checksum not yet
        rgb.write_bytes(rgb.read_bytes()[:-5000] + bytes(5000))
        marks = pictures.folder / "blocks.bin"
        marks.write_bytes(marks.read_bytes()[:-4] + bytes(4))
        assert not pictures.is_complete()
    elif damage == "truncated":
        rgb.write_bytes(rgb.read_bytes()[:-5000])
        assert not pictures.is_complete()
    else:
        (pictures.folder / "u.bin").unlink()
    rendered = []
    draw = World.draw
    monkeypatch.setattr(World, "draw", lambda self, u, *rest: rendered.append(len(u)) or draw(self, u, *rest))
    pictures.render(workers=1, progress=False)
    assert files(pictures) == files(made)
    assert len(rendered) == (2 if damage == "deleted" else 1)


def test_a_small_set_is_the_beginning_of_a_large_one(made, tmp_path):
    pictures = WorldPictures(tmp_path, count=20, seed=3, **SMALL)
    pictures.render(progress=False)
    assert len(pictures) == 20 == len(pictures.arrays["rgb"])
    WorldPictures(tmp_path, count=BLOCK + 10, seed=3, **SMALL).render(progress=False)
    assert files(pictures) == files(made)
    assert np.array_equal(pictures.arrays["rgb"], made.arrays["rgb"][:20])


def test_missing_pictures_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"render\(\)"):
        WorldPictures(tmp_path, count=5).batch([0])
    with pytest.raises(ValueError, match="count"):
        WorldPictures(tmp_path, count=0)


def test_an_unwritable_root_is_explained(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match="SAT3D_CACHE"):
        WorldPictures(tmp_path / "file", count=5, **SMALL).render(progress=False)


def test_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SAT3D_CACHE", str(tmp_path))
    assert tmp_path in WorldPictures(count=5).folder.parents


def test_epochs_shuffle_purely_and_go_on_from_any_place():
    class Numbers:
        def __getitems__(self, indices):
            return indices

    def loader(seed=1):
        return ShuffledLoader(Numbers(), torch.arange(50), 10, seed)

    whole = loader()
    first, second = ([number for batch in whole for number in batch] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(50)) and first != second
    assert [number for batch in loader(seed=2) for number in batch] != first
    stopped, again = loader(), loader()
    batches = iter(stopped)
    seen = [next(batches), next(batches)]
    again.load_state_dict(stopped.state_dict())
    assert [number for batch in (*seen, *again) for number in batch] == first
    assert [number for batch in again for number in batch] == second


def test_datamodule_feeds_disjoint_sets(tmp_path):
    data = WorldDataModule(count=40, val_count=10, test_count=5, batch_size=8, root=str(tmp_path), **SMALL)
    data.prepare_data()
    train, val, test = (
        list(loader) for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    )
    assert [len(b) for b in train] == [8] * 5 and [len(b) for b in val] == [8, 2] and [len(b) for b in test] == [5]
    assert sorted(torch.cat([b.index for b in train]).tolist()) == list(range(40))
    codes = torch.cat([b.z for b in train + val + test])
    assert len(torch.unique(codes, dim=0)) == 55
    batch = train[0].to("cpu")
    assert batch.rgb.dtype == torch.float32 and -1 <= batch.rgb.min() < batch.rgb.max() <= 1
    assert batch.depth.max() == math.inf


def test_lightning_moves_batches_and_shuffles_by_epoch(tmp_path):
    from lightning import LightningModule, Trainer

    class Collector(LightningModule):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.seen = []

        def training_step(self, batch, batch_index):
            self.seen.append(tuple(batch.index.tolist()))
            return self.weight * batch.rgb.mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = WorldDataModule(
        count=16, val_count=4, test_count=4, batch_size=8, root=str(tmp_path), num_workers=0, **SMALL
    )
    model = Collector()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    Trainer(max_epochs=2, accelerator="cpu", default_root_dir=tmp_path, **quiet).fit(model, data)
    assert sorted(sum(model.seen[:2], ())) == list(range(16)) == sorted(sum(model.seen[2:], ()))
    assert model.seen[:2] != model.seen[2:]
