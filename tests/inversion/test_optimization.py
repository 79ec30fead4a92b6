import pytest
import torch

from sat3d.generators import load_generator
from sat3d.inversion import (
    InversionOptions,
    Inverter,
    LossOptions,
    PoseOptions,
    TuningOptions,
    tune,
    view_angle,
    with_tuning,
)
from sat3d.inversion.encoder import Encoder, EncoderConfig
from sat3d.inversion.spaces import CodeStatistics
from sat3d.inversion.tuning import tuned_weights
from tests.inversion.conftest import options, pictures_of


def error(net, codes, pictures):
    with torch.no_grad():
        return (codes.show(net).image - pictures).square().mean((1, 2, 3))


@pytest.mark.parametrize("space", ["w", "w+", "s"])
def test_pictures_of_the_generator_are_found_again(net, toys, space):
    pictures, _, camera = pictures_of(net)
    with torch.no_grad():
        mean = Inverter(net, options(toys, space, 1, lr=1e-9))(pictures, camera)
    found = Inverter(net, options(toys, space, 60))(pictures, camera)
    assert (error(net, found, pictures) < 0.3 * error(net, mean, pictures)).all()
    assert found.card["inversion"]["pose"] == ("none" if camera is None else "given")
    if space == "w":
        assert torch.equal(found.ws, found.ws[:, :1].expand_as(found.ws))
    if space != "s":
        assert torch.allclose(found.styles, net.styles(found.ws), atol=1e-4)
    else:
        assert (found.styles - net.styles(found.ws)).abs().max() > 1e-2


def test_a_picture_feels_nothing_of_the_others_in_its_batch(net, toys):
    pictures, _, camera = pictures_of(net)
    invert = Inverter(net, options(toys, "w+", 4, noise=0.2))
    together, alone = invert(pictures, camera), invert(pictures[1:2], None if camera is None else camera[1:2])
    assert torch.allclose(together.styles[1:2], alone.styles, atol=1e-4)


def test_the_camera_is_found_with_the_code():
    net = load_generator("toyfaces64")
    pictures, _, camera = pictures_of(net, 3, seed=3)
    start = Inverter(net, InversionOptions(space="w", steps=1, lr=1e-9, pose=PoseOptions(lr=1e-9)))(pictures)
    found = Inverter(net, InversionOptions(space="w", steps=40))(pictures)
    assert found.card["inversion"]["pose"] == "found"
    assert found.camera is not None and len(found.camera) == 3
    assert view_angle(found.camera, camera).median() < 0.5 * view_angle(start.camera, camera).median() < 10


def test_steps_rise_and_fall_and_noise_ends():
    o = InversionOptions(steps=100, noise=0.5)
    rates = [o.rate(k) for k in range(100)]
    assert rates[0] == pytest.approx(0.2) and rates[4] == rates[50] == 1 and rates[-1] < 0.01
    assert o.noise_at(0) == 0.5 and o.noise_at(75) == 0 and o.noise_at(30) == pytest.approx(0.5 * 0.6**2)


def test_progress_is_told_and_strange_codes_are_held_back(net, toys):
    pictures, _, camera = pictures_of(net, 2)
    told = []
    invert = Inverter(net, options(toys, "w", 5))
    invert(pictures, camera, lambda *what: told.append(what))
    assert [step for step, _, _ in told] == [1, 2, 3, 4, 5] and all(steps == 5 for _, steps, _ in told)
    assert told[-1][2] < told[0][2]
    free = Inverter(net, InversionOptions(space="s", steps=30, loss=LossOptions(perceptual=0.0, code=0.0)))
    held = Inverter(net, InversionOptions(space="s", steps=30, loss=LossOptions(perceptual=0.0, code=1.0)))
    far = [
        float(((f(pictures, camera).styles - f.statistics.s[0]) / f.statistics.s[1]).square().mean())
        for f in (free, held)
    ]
    assert far[1] < 0.5 * far[0]


def test_what_makes_no_sense_is_refused(net, solid, toys):
    pictures, _, camera = pictures_of(net, 1)
    with pytest.raises(ValueError, match="space='q'"):
        InversionOptions(space="q")
    with pytest.raises(ValueError, match="steps=-1"):
        InversionOptions(steps=-1)
    with pytest.raises(ValueError, match="all 0, so nothing is compared"):
        LossOptions(0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match=r"loss\.code=-1 must not be negative"):
        LossOptions(code=-1)
    with pytest.raises(ValueError, match="there is no encoder"):
        Inverter(net, options(toys, steps=0))
    with pytest.raises(ValueError, match=r"not \(1, 3, 8, 9\)"):
        Inverter(net, options(toys))(torch.zeros(1, 3, 8, 9))
    if camera is None:
        with pytest.raises(ValueError, match="a 2-D generator has none"):
            Inverter(net, options(toys))(pictures, solid.cameras.frontal())
    with pytest.raises(ValueError, match="name an identity embedder"):
        Inverter(net, InversionOptions(loss=LossOptions(perceptual=0.0, identity=1.0)))
    with pytest.raises(ValueError, match="is no identity embedder"):
        loss = LossOptions(perceptual=0.0, identity=1.0, identity_network=toys.scorer)
        Inverter(net, InversionOptions(loss=loss))


def test_an_encoder_is_where_the_steps_start(net, toys):
    torch.manual_seed(0)
    statistics = CodeStatistics.of(net, 200)
    encoder = Encoder(EncoderConfig.of(net, "residual", (4, 8), 32), statistics).freeze()
    pictures, _, _ = pictures_of(net, 2)
    with torch.no_grad():
        encoded = encoder(pictures)
    found = Inverter(net, options(toys, "s", 0), encoder)(pictures)
    assert torch.allclose(found.ws, encoded.ws) and found.card["inversion"]["encoder"]
    assert (encoded.angles is None) == (net.cameras is None)
    if net.cameras is not None:
        assert torch.allclose(found.camera.label(), net.cameras.at(*encoded.angles.T).label(), atol=1e-6)
    better = Inverter(net, options(toys, "s", 20), encoder)(pictures)
    assert (error(net, better, pictures) < error(net, found, pictures)).all()


def test_tuning_draws_the_picture_better_and_leaves_the_generator_and_other_codes_alone(net, toys):
    pictures, _, _ = pictures_of(net, 2)
    wanted = (pictures[:1] + 0.2).clamp(-1, 1)
    loss = LossOptions(perceptual_network=toys.scorer)
    codes = Inverter(net, options(toys, "w", 10))(wanted)
    before = {name: weight.clone() for name, weight in net.named_parameters()}
    tuned = tune(net, codes, wanted, TuningOptions(steps=15, lr=3e-3, locality=0.0, loss=loss))
    assert all(torch.equal(weight, before[name]) for name, weight in net.named_parameters())
    assert not any(weight.requires_grad for weight in net.parameters())
    copy = with_tuning(net, tuned.tuned)
    assert error(copy, tuned, wanted) < 0.7 * error(net, codes, wanted)
    assert torch.equal(copy.styles(codes.ws), net.styles(codes.ws))  # codes mean the same
    assert all("affine" not in name and "mapping" not in name for name in tuned.tuned)
    assert {name for name, _ in tuned_weights(net)} == set(tuned.tuned)
    # with the regularisation codes near the pivot change less
    local = tune(net, codes, wanted, TuningOptions(steps=15, lr=3e-3, locality=20.0, reach=1.0, loss=loss))
    near = net.styles(codes.ws + 0.1)
    moved = [
        (with_tuning(net, t.tuned).synthesize(near, camera=codes.camera).image
         - net.synthesize(near, camera=codes.camera).image).square().mean()
        for t in (tuned, local)
    ]  # fmt: skip
    assert moved[1] < moved[0]
    with pytest.raises(ValueError, match="one picture at a time"):
        tune(net, Inverter(net, options(toys, "w", 1))(pictures), pictures)
    with pytest.raises(ValueError, match="steps=0"):
        TuningOptions(steps=0)
