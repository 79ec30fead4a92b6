"""Every training of an observer, through the door, on a few pictures."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from sat3d.commands.trainer import SatCLI
from sat3d.data.generated import GeneratedPictures
from sat3d.data.world import WorldPictures
from sat3d.generators import build_generator, save_generator, tiny_generator
from sat3d.perception import QMM, load_clip, load_observer
from sat3d.perception.clip import WORDS
from sat3d.pretraining.base import check_world
from sat3d.pretraining.observers import AttributePretraining, ParserPretraining
from sat3d.shipped import manifest, sha256_of, shipped_path
from sat3d.world import load_world

FOLDER = Path(__file__).parents[2] / "experiments" / "pretraining"
NAMES = ("clip", "labeller", "judge", "parser", "identity")
HEADLINE = {
    "clip": "mean",
    "labeller": "accuracy/categorical",
    "judge": "accuracy/categorical",
    "parser": "iou/mean",
    "identity": "auc",
}


@pytest.fixture(scope="session")
def generator_file(tmp_path_factory, world):
    """A generator of random weights that takes the world's codes."""
    tiny = tiny_generator(0)
    generator = build_generator({**tiny.config, "z_dim": world.z_dim})
    generator.cameras = tiny.cameras
    path = tmp_path_factory.mktemp("generator") / "tiny.safetensors"
    save_generator(generator, path)
    return path


@pytest.fixture
def door(tmp_path, cache, monkeypatch, generator_file):
    """Run a verb on one of our configs, made small; pictures are shared between tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAT3D_CACHE", str(cache))

    def run(verb, name, *more, generator=True, exported=True):
        where = ("--model.init_args.export.folder", str(tmp_path / "checkpoints")) if exported else ()
        return SatCLI.open(
            [
                *(verb, "--config", str(FOLDER / f"{name}.yaml"), "--trainer.accelerator=cpu"),
                *("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
                *where,
                *("--data.init_args.generator", str(generator_file) if generator else "null"),
                *("--data.init_args.first_seed=3", "--data.init_args.count=96", "--data.init_args.batch_size=16"),
                *("--data.init_args.generated_count=20", "--data.init_args.val_count=24"),
                *("--data.init_args.test_count=24", "--data.init_args.render_workers=1"),
                *("--trainer.max_steps=2", "--trainer.val_check_interval=2", *more),
            ]
        )

    return run


@pytest.mark.parametrize("name", NAMES)
def test_fit_exports_what_loads_and_test_grades_it(door, name, tmp_path):
    fitted = door("fit", name)
    record = json.loads((tmp_path / "checkpoints" / "manifest.json").read_text())[f"toyfaces-{name}"]
    assert record["command"].startswith("lightning fit --config")
    assert record["seconds"] > 0
    for source in ("world", "generator"):
        assert 0 <= record["metrics"][f"{source}/{HEADLINE[name]}"] <= 1
    file = tmp_path / "checkpoints" / f"toyfaces-{name}.safetensors"
    assert file.stat().st_size == record["bytes"] < 10e6

    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    trained = fitted.model.observer.eval()
    with torch.no_grad():
        if name == "clip":
            loaded = load_clip("toyfaces-clip", pretrained=str(file))
            # stored in half precision: three digits
            torch.testing.assert_close(
                loaded.encode_image(images),
                trained.encode_image(loaded.preprocess(images), normalize=True),
                atol=5e-3,
                rtol=0,
            )
            assert QMM(loaded)(images).shape == (2, 43)
        else:
            torch.testing.assert_close(load_observer(file)(images), trained(images), atol=2e-2, rtol=2e-2)

    graded = door("test", name)
    assert f"test/world/{HEADLINE[name]}" in graded.trainer.callback_metrics
    read = graded.model.observer.state_dict()
    for key, value in trained.state_dict().items():
        if key == WORDS:  # those of no caption are not stored
            known = fitted.model.known_words
            assert 50 < known.sum() < 1000 and not read[key][~known].any()
            value, read[key] = value[known], read[key][known]
        torch.testing.assert_close(read[key], value, atol=1e-3, rtol=1e-3, msg=key)


def test_worlds_pictures_suffice(door, tmp_path):
    shipped = sha256_of(shipped_path("toyfaces-labeller"))
    door("fit", "labeller", "--run.dir=run", generator=False, exported=False)
    metrics = manifest(tmp_path / "run/export")["toyfaces-labeller"]["metrics"]  # not where the shipped ones are
    assert {key.partition("/")[0] for key in metrics} == {"world"}
    assert sha256_of(shipped_path("toyfaces-labeller")) == shipped


@pytest.mark.parametrize("name", ["judge", "clip"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(door, tmp_path, name):
    # 3 steps an epoch, graded and kept in the middle of the second
    steps = ("--trainer.max_steps=6", "--trainer.val_check_interval=2")
    keep = ("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=4")
    whole = door("fit", name, *steps, *keep, "--trainer.callbacks.save_top_k=-1", "--run.dir", str(tmp_path / "whole"))
    (middle,) = (tmp_path / "whole" / "checkpoints").glob("*step=4.ckpt")
    resumed = door("fit", name, *steps, "--run.dir", str(tmp_path / "rest"), "--ckpt_path", str(middle))
    assert whole.trainer.global_step == resumed.trainer.global_step == 6
    kept = torch.load(middle, weights_only=False)["state_dict"]
    assert kept.keys() == whole.model.state_dict().keys()
    for key, value in whole.model.observer.state_dict().items():
        assert torch.equal(value, resumed.model.observer.state_dict()[key]), key


def test_labeller_and_judge_share_neither_pictures_nor_architecture():
    labeller, judge = (yaml.safe_load((FOLDER / f"{name}.yaml").read_text()) for name in ("labeller", "judge"))
    assert labeller["model"]["init_args"]["trunk"] != judge["model"]["init_args"]["trunk"]
    assert labeller["model"]["init_args"]["seed"] != judge["model"]["init_args"]["seed"]
    assert labeller["data"]["init_args"]["every"] == judge["data"]["init_args"]["every"] == 2
    assert labeller["data"]["init_args"]["offset"] != judge["data"]["init_args"]["offset"]


def test_another_world_has_networks_of_its_own(door, tmp_path):
    both = "--model.init_args.world=cars", "--data.init_args.world=cars"
    door("fit", "labeller", *both, generator=False)
    record = json.loads((tmp_path / "checkpoints" / "manifest.json").read_text())["toycars-labeller"]
    assert " ".join(both) in record["command"] and 0 <= record["metrics"]["world/accuracy/categorical"] <= 1
    loaded = load_observer(tmp_path / "checkpoints" / "toycars-labeller.safetensors")
    assert loaded.attributes == load_world("cars").names


def test_an_observer_starts_from_that_of_another_world():
    known = load_observer("toyfaces-labeller").state_dict()
    alone, started = (
        AttributePretraining("labeller", seed=4, world="cars", init=init).observer.state_dict()
        for init in (None, "toyfaces-labeller")
    )
    for key, value in started.items():
        taken = not key.startswith(("head.", "column_std"))
        assert torch.equal(value, known[key] if taken else alone[key]), key
    with pytest.raises(ValueError, match="init='toyfaces-labeller': no weight of it fits toycars-parser"):
        ParserPretraining(world="cars", init="toyfaces-labeller")


@pytest.mark.parametrize(
    ("pictures", "refused"), [("heads", False), ("cars", True), (None, False)], ids=["same", "other", "unknown"]
)
def test_model_and_pictures_are_of_one_world(pictures, refused):
    data = SimpleNamespace(train=SimpleNamespace(world=load_world(pictures))) if pictures else None
    module = SimpleNamespace(world=load_world("heads"), trainer=SimpleNamespace(datamodule=data))
    with (
        pytest.raises(ValueError, match="model world='heads' and data world='cars' differ")
        if refused
        else nullcontext()
    ):
        check_world(module)


def test_a_training_on_pictures_of_another_world_is_refused(door):
    with pytest.raises(ValueError, match="model world='cars' and data world='heads' differ"):
        door("fit", "labeller", "--model.init_args.world=cars", generator=False)


def test_refusals(door, cache, pictures, tmp_path):
    with pytest.raises(ValueError, match=r"latent numbers, the world's codes have 21: choose a generator"):
        GeneratedPictures(tiny_generator(0), pictures)
    with pytest.raises(FileNotFoundError, match="toyfaces-parser"):
        door("test", "parser", generator=False)


def test_generated_pictures_are_the_generators(cache, pictures, generator_file, tmp_path):
    from sat3d.generators import load_generator
    from sat3d.ops.camera import Camera

    generator = load_generator(generator_file)
    made = GeneratedPictures(generator, pictures, count=70, root=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"call render\(\) first"):
        made.batch([0])
    made.render(progress=False)
    batch, known = made.batch([69, 2]), pictures.batch([69, 2])
    camera = Camera.from_label(known.camera_label)
    wanted = generator.synthesize(generator.styles(generator.map(known.z)), camera=camera).image.clamp(-1, 1)
    torch.testing.assert_close(batch.rgb, wanted, atol=1.01 / 255, rtol=0)
    assert torch.equal(batch.segmentation, known.segmentation)

    # one block is lost: only that is drawn again
    marks = tmp_path / made.folder.name / "blocks.bin"
    marks.write_bytes(b"\x01\x00")
    drawn = []
    again = GeneratedPictures(generator, WorldPictures(pictures.folder.parent, 96, 3), count=70, root=tmp_path)
    draw, again._draw = again._draw, lambda rows: drawn.append(rows[0]) or draw(rows)
    again.render(progress=False)
    assert drawn == [64]
    assert torch.equal(again.batch([69, 2]).rgb, batch.rgb)
