from dataclasses import replace

import pytest
import torch

from sat3d.generators import load_generator
from sat3d.inversion import InversionOptions, LossOptions, PictureDistance, PictureInverter, Recipe, TuningOptions
from sat3d.inversion.encoder import Encoder, EncoderConfig
from sat3d.inversion.spaces import CodeStatistics
from sat3d.metrics import feature_distance
from sat3d.metrics.pictures import picture_errors
from sat3d.perception import load_observer, load_perceptual
from tests.inversion.conftest import options, pictures_of


def test_the_key_of_a_code_changes_with_all_that_decides_it_and_nothing_else(net, toys, tmp_path):
    pictures, _, camera = pictures_of(net, 2)
    recipe = Recipe(options(toys), encoder="none")

    def key(recipe=recipe, picture=pictures[:1], camera=None, net=net):
        return PictureInverter(net, recipe).key(picture, camera)

    assert key() == key(Recipe(options(toys), encoder="none"), pictures[:1].clone())
    encoders = []
    for seed in range(2):  # the same name, another network
        torch.manual_seed(seed)
        made = Encoder(EncoderConfig.of(net, "residual", (4, 8), 32), CodeStatistics.of(net, 100)).freeze()
        encoders.append(replace(recipe, encoder=str(made.save(tmp_path / f"{seed}.safetensors"))))
    with_encoders = [PictureInverter(net, encoders[0]), PictureInverter(net, encoders[0])]
    with_encoders[1].encoder = PictureInverter(net, encoders[1]).encoder
    others = {
        key(picture=pictures[1:]),
        key(net=load_generator(toys.flat if net.is_3d else toys.generator)),
        *(invert.key(pictures[:1], None) for invert in with_encoders),
        key(replace(recipe, tuning=TuningOptions())),
        key(replace(recipe, options=replace(recipe.options, steps=9))),
        key(Recipe(replace(recipe.options, loss=replace(recipe.options.loss, code=0.5)), "none")),
    }
    assert len(others) == 7 and key() not in others
    if camera is not None:
        assert key(camera=camera[:1]) not in {key(), key(camera=camera[1:2])}


def test_what_becomes_of_each_picture_is_told_with_its_figures(net, toys):
    pictures, _, camera = pictures_of(net, 3)
    recipe = Recipe(options(toys, "w", 6), encoder="none", tuning=TuningOptions(steps=1, loss=options(toys).loss))
    found = list(PictureInverter(net, recipe)(pictures, camera))
    assert len(found) == 3
    network = load_perceptual(toys.scorer)
    for k, one in enumerate(found):
        assert torch.allclose(one.picture, pictures[k : k + 1]) and len(one.codes) == 1 and one.codes.tuned
        assert one.figures["psnr"] == pytest.approx(float(picture_errors(one.drawn, one.picture).psnr), abs=1e-3)
        seen = feature_distance(network.activations(one.drawn), network.activations(one.picture))
        assert one.figures["perceptual"] == pytest.approx(float(seen), abs=1e-5)
        assert ("yaw" in one.figures) == net.is_3d
        assert one.codes.card["figures"]["psnr"] == pytest.approx(one.figures["psnr"], abs=1e-4)


def test_terms_are_weighted_and_left_out_at_0():
    generator = load_generator("toyfaces64")
    with torch.no_grad():
        pictures, _, _ = pictures_of(generator, 2)
    both = PictureDistance(LossOptions(2.0, 3.0, 5.0), generator="toyfaces64")
    target = both.seen(pictures[:1])
    terms = both(pictures[1:], target)
    assert terms["pixels"][0] == pytest.approx(2 * float((pictures[1] - pictures[0]).square().mean()), rel=1e-5)
    alike = load_observer("toyfaces-identity").similarity(pictures[1:], pictures[:1])
    assert terms["identity"][0] == pytest.approx(5 * (1 - float(alike)), rel=1e-4)
    network = load_perceptual("toyfaces-labeller")  # never the judge
    seen = feature_distance(network.activations(pictures[1:]), network.activations(pictures[:1]))
    assert terms["perceptual"][0] == pytest.approx(3 * float(seen), rel=1e-4)
    assert all(float(value) == pytest.approx(0, abs=1e-4) for value in both(pictures[:1], target).values())
    alone = PictureDistance(LossOptions(1.0, 0.0, 0.0), generator="toyfaces64")
    assert alone(pictures[1:], alone.seen(pictures[:1])).keys() == {"pixels"}
    assert alone.perceptual is None and alone.identity is None
    large = torch.nn.functional.interpolate(pictures[:1], (128, 128), mode="nearest")
    assert float(alone(large, alone.seen(pictures[:1]))["pixels"]) < 1e-3  # resized to the target's side


def test_the_default_is_the_hybrid_in_style_space():
    recipe = Recipe()
    assert recipe.options.space == "s" and recipe.encoder == "shipped" and recipe.tuning is None
    assert InversionOptions() == recipe.options
