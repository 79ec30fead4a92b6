import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sat3d.ops.camera import Camera
from sat3d.pretraining.truth import Grader, camera_yaw, part_pixels
from sat3d.world import World


def test_yaw_is_read_back_from_labels():
    yaw = torch.tensor([-0.8, -0.1, 0.0, 0.6, 0.79])
    camera = Camera.look_at(yaw, torch.linspace(-0.3, 0.3, 5), radius=2.7, fov=30.0)
    torch.testing.assert_close(camera_yaw(camera.label()), yaw, atol=1e-5, rtol=0)


def test_parts_are_counted(pictures):
    segmentation = pictures.batch(range(8)).segmentation
    counts = part_pixels(segmentation, 12)
    for row, picture in zip(counts, segmentation.numpy(), strict=True):
        assert row.tolist() == np.bincount(picture.ravel(), minlength=12).tolist()


def test_what_shows_is_what_has_pixels(pictures, world):
    batch = pictures.batch(range(96))
    truth = Grader(world)(batch)
    names = {name: number for number, name in enumerate(world.parts)}
    for i in range(96):
        counts = np.bincount(batch.segmentation[i].numpy().ravel(), minlength=len(names))
        for column, attribute in enumerate(world.attributes):
            assert truth.shows[i, column].item() == any(counts[names[part]] >= 10 for part in attribute.parts)
    hat, colour = world.index("hat"), world.index("hat_colour")
    none = truth.classes[:, hat] == world.attribute("hat").class_index("none")
    assert 10 < none.sum() < 90
    assert not truth.shows[none, colour].any()
    assert truth.shows[~none, colour].float().mean() > 0.9


def test_figures_leave_out_the_sides_and_the_middle(pictures, world):
    batch = pictures.batch(range(96))
    truth = Grader(World(replace(world.domain, front=0.5)), middle=0.4)(batch)
    yaw = camera_yaw(batch.camera_label).abs()
    assert 5 < (yaw > 0.5).sum() < 90
    assert not truth.graded[yaw > 0.5].any()
    smile = world.index("smile")
    value = batch.u[:, smile]
    sure = (value - 0.5).abs() >= 0.2
    graded = truth.graded[:, smile]
    assert torch.equal(graded, sure & (yaw <= 0.5) & truth.shows[:, smile])
    assert torch.equal(truth.classes[graded, smile] == 1, value[graded] > 0.5)


def test_captions_name_only_what_is_nameable(pictures, world):
    batch = pictures.batch(range(96))
    nameable = Grader(world).nameable(batch)
    captions = [world.captions(batch.u, batch.index, seed=seed) for seed in range(20)]
    curl = world.attribute("hair_curl")
    column, words = world.index("hair_curl"), ("curly", "straight")
    assert curl.classes == ("straight", "curly")
    for i in range(96):
        said = any(word in group[i] for group in captions for word in words)
        assert nameable[i, column] or not said
    assert math.isclose(nameable[:, column].float().mean().item(), 0.8, abs_tol=0.15)


@pytest.mark.parametrize("name", ["eye_colour", "hat_colour", "shirt_colour"])
def test_most_colours_can_be_graded_somewhere(pictures, world, name):
    truth = Grader(world)(pictures.batch(range(96)))
    assert truth.graded[:, world.index(name)].any()
