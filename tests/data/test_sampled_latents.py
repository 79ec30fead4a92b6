"""Labelling of a stream against the same done plainly."""

import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch

from sat3d.data import SampledLatents, StyleCodeDataModule
from sat3d.generators import load_generator
from sat3d.perception import QMM, AttributePredictor, DescriptorGroups, load_clip, load_observer


def source(toys, root, **options):
    settings = {"scorer": toys.scorer, "count": 60, "seed": 4, "truncation": 0.6, "root": str(root), **options}
    return SampledLatents(toys.generator, **settings)


@pytest.fixture
def calls(monkeypatch):
    """Count the pictures that predictors look at."""
    seen = []
    logits = AttributePredictor.logits
    monkeypatch.setattr(AttributePredictor, "logits", lambda self, x: (seen.append(len(x)), logits(self, x))[1])
    return seen


@torch.no_grad()
def plainly(toys, scorer, rows):
    """Render and score one code after the other."""
    generator, stream = load_generator(toys.generator), StyleCodeDataModule(toys.generator, seed=4).stream("train")
    codes, scores = [], []
    for row in rows:
        ws = generator.map(stream.z([row]), truncation=0.6)
        image = generator.synthesize(generator.styles(ws), camera=stream.camera([row])).image
        codes.append(ws[:, 0])
        scores.append(scorer(image))
    return torch.cat(codes), torch.cat(scores)


def test_codes_and_scores_are_those_of_the_stream(toys, tmp_path, calls):
    labelled = source(toys, tmp_path)
    with pytest.raises(FileNotFoundError, match="has 0 of 60 rows"):
        labelled.codes  # noqa: B018
    labelled.prepare(progress=False)
    assert sum(calls) == 100 and labelled.codes.shape == (60, 16) and len(labelled) == 60  # whole blocks of 50
    rows = [0, 7, 49, 50, 59]
    codes, scores = plainly(toys, load_observer(toys.scorer), rows)
    assert torch.allclose(torch.from_numpy(labelled.codes[rows]), codes, atol=1e-5)
    assert torch.allclose(torch.from_numpy(labelled.values[rows]).sigmoid(), scores, atol=1e-4)
    assert labelled.schema.columns == load_observer(toys.scorer).columns
    assert {k: (a.kind, a.classes) for k, a in labelled.schema.attributes.items()} == {
        "hat": ("categorical", ("none", "cap", "beanie")),
        "smile": ("continuous", ("value",)),
        "beard": ("categorical", ("no", "yes")),
    }
    camera = StyleCodeDataModule(toys.generator, seed=4).stream("train").camera(torch.tensor(rows))
    assert torch.equal(labelled.camera(torch.tensor(rows)).label(), camera.label())


def test_a_second_run_takes_what_is_kept_and_more_codes_go_on(toys, tmp_path, calls, caplog):
    with caplog.at_level("INFO"):
        source(toys, tmp_path).prepare(progress=False)
        done = len(calls)
        source(toys, tmp_path, count=20).prepare(progress=False)
    assert len(calls) == done
    first, second = (record.getMessage() for record in caplog.records if "labelled" in record.getMessage())
    assert first.startswith("100 codes labelled, 60 in use: ") and second.startswith("20 labelled codes found: ")
    source(toys, tmp_path, count=140).prepare(progress=False)
    assert sum(calls[done:]) == 50
    fresh = source(toys, tmp_path / "fresh", count=140)
    fresh.prepare(progress=False)
    grown = source(toys, tmp_path, count=140)
    assert np.array_equal(fresh.codes, grown.codes) and np.array_equal(fresh.values, grown.values)


def test_what_changes_the_labels_has_a_place_of_its_own(toys, tmp_path, clip_file):
    clip = {"scorer": None, "clip": "toyfaces-clip", "clip_pretrained": str(clip_file), "descriptors": "toyfaces"}
    variants = [
        {}, {"scorer": toys.judge}, {"seed": 5}, {"truncation": 0.7}, {"yaw": (-0.1, 0.1)}, {"space": "s"},
        {"space": "z"}, clip, {**clip, "temperature": 10.0}, {**clip, "descriptors": "faces"},
    ]  # fmt: skip
    folders = [source(toys, tmp_path, **options).store.folder for options in variants]
    folders.append(SampledLatents(toys.flat, toys.scorer, seed=4, truncation=0.6, root=str(tmp_path)).store.folder)
    assert len(set(folders)) == len(folders)
    assert source(toys, tmp_path, count=7, render_batch=3).store.folder == folders[0]


def test_the_root_of_the_cache_is_the_default(toys, tmp_path, monkeypatch):
    monkeypatch.setenv("SAT3D_CACHE", str(tmp_path))
    assert SampledLatents(toys.generator, toys.scorer).store.folder.parent == tmp_path / "latents"


@pytest.mark.parametrize("space, width", [("z", 16), ("s", None)])
def test_other_spaces(toys, tmp_path, space, width):
    labelled = source(toys, tmp_path, space=space, count=5)
    labelled.prepare(progress=False)
    batch = labelled.stream.codes("train", range(5))
    expected = {"z": batch.z, "s": batch.styles}[space]
    assert torch.allclose(torch.from_numpy(labelled.codes), expected, atol=1e-5)
    assert width in (None, labelled.codes.shape[1])


def test_a_flat_generator_has_no_cameras(toys, tmp_path):
    labelled = SampledLatents(toys.flat, toys.scorer, count=3, root=str(tmp_path))
    labelled.prepare(progress=False)
    assert labelled.camera(torch.arange(3)) is None and labelled.codes.shape == (3, 16)


def test_descriptors_label_too(toys, tmp_path, clip_file):
    options = {"scorer": None, "clip": "toyfaces-clip", "clip_pretrained": str(clip_file), "descriptors": "toyfaces"}
    labelled = source(toys, tmp_path, **options, temperature=20.0, count=2)
    labelled.prepare(progress=False)
    groups = DescriptorGroups.from_yaml("toyfaces")
    _, scores = plainly(toys, QMM(load_clip("toyfaces-clip", str(clip_file)), groups, 20.0), [0, 1])
    assert torch.allclose(torch.from_numpy(labelled.values).sigmoid(), scores, atol=1e-4)
    assert labelled.schema.attributes["smile"].classes == ("a frown", "a smile")
    assert "smile/a frown" in labelled.schema.columns


def test_groups_of_one_attribute_are_labels_of_their_own(toys, tmp_path, clip_file, tmp_path_factory):
    file = tmp_path / "groups.yaml"
    file.write_text(
        "attributes: {hair: [[short hair, long hair], [straight hair, curly hair]], hat: [[no hat, a hat]]}"
    )
    options = {"scorer": None, "clip": "toyfaces-clip", "clip_pretrained": str(clip_file), "descriptors": str(file)}
    schema = source(toys, tmp_path, **options).schema
    assert {k: a.columns for k, a in schema.attributes.items()} == {"hair_1": (0, 1), "hair_2": (2, 3), "hat": (4, 5)}
    assert schema.columns[2] == "hair_2/straight hair"


def label_and_die(toys, root, pictures):
    seen, logits = [], AttributePredictor.logits

    def count(self, x):
        seen.extend(x)
        if len(seen) > pictures:
            os.kill(os.getpid(), signal.SIGKILL)
        return logits(self, x)

    AttributePredictor.logits = count
    source(toys, root, count=150).prepare(progress=False)


def test_a_killed_labelling_goes_on_to_the_same_labels(toys, tmp_path, calls):
    whole = source(toys, tmp_path / "whole", count=150)
    whole.prepare(progress=False)
    child = multiprocessing.get_context("fork").Process(target=label_and_die, args=(toys, tmp_path / "part", 80))
    child.start()
    child.join(timeout=120)
    assert child.exitcode == -signal.SIGKILL
    done = sum(calls)
    resumed = source(toys, tmp_path / "part", count=150)
    resumed.prepare(progress=False)
    assert sum(calls) - done == 100  # the first block of 50 was kept
    assert np.array_equal(whole.codes, resumed.codes) and np.array_equal(whole.values, resumed.values)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"scorer": None}, "give either clip and descriptors, or scorer"),
        ({"clip": "toyfaces-clip"}, "give either clip and descriptors, or scorer"),
        ({"count": 0}, "count=0"),
        ({"render_batch": 0}, "render_batch=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(toys, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        source(toys, tmp_path, **options)


def test_scores_that_are_not_finite_are_refused(toys, tmp_path, monkeypatch):
    logits = AttributePredictor.logits
    monkeypatch.setattr(AttributePredictor, "logits", lambda self, x: logits(self, x) + torch.nan)
    with pytest.raises(ValueError, match="log_odds of code 0 are not finite"):
        source(toys, tmp_path).prepare(progress=False)


def test_the_space_of_the_codes_does_not_make_other_samples(toys, tmp_path):
    def source(**options):
        return SampledLatents(toys.generator, scorer=toys.scorer, count=4, root=str(tmp_path), **options)

    w, s = source(), source(space="s")
    assert w.samples == s.samples and w.store.folder != s.store.folder
    assert w.samples != source(seed=1).samples != source(truncation=1.0).samples
