"""What arguments of released networks mean: defaults, switches, buffers, and what is refused."""

from __future__ import annotations

import re

import pytest
import torch

from sat3d.generators import CheckpointError, from_official
from sat3d.generators.base import FeatureTap
from sat3d.generators.eg3d import EG3D
from sat3d.generators.official import declare_official
from sat3d.generators.stylegan2 import StyleGAN2
from tests.generators import naive_stylegan2
from tests.generators.naive_tensors import tensors_of
from tests.generators.released_networks import EXACT, build, doubled, drawn, eg3d, relative_error, seen_from, stylegan2


def test_missing_arguments_are_what_the_released_code_takes_for_them() -> None:
    own = {"z_dim": 16, "c_dim": 0, "w_dim": 32, "img_resolution": 8, "img_channels": 3}
    earlier = declare_official({"class_name": "training.networks.Generator", "init_kwargs": own})
    later = declare_official({"class_name": "training.networks_stylegan2.Generator", "init_kwargs": own})
    for generator, clamp in ((earlier, None), (later, 256.0)):
        assert isinstance(generator, StyleGAN2)
        assert generator.mapping.num_layers == 8 and generator.mapping.fc3.lr == 0.01
        assert [b.conv1.outputs for _, b in generator.synthesis.blocks()] == [512, 512]
        assert {b.conv1.clamp for _, b in generator.synthesis.blocks()} == {clamp}
        assert {b.torgb.clamp for _, b in generator.synthesis.blocks()} == {clamp}
    # stylegan3's code has the synthesis network's arguments flat
    flat = {"channel_base": 64, "channel_max": 9, "conv_clamp": 3, "architecture": "resnet"}
    config = {"class_name": "training.networks_stylegan2.Generator", "init_kwargs": {**own, **flat}}
    nested = {"class_name": "training.networks.Generator", "init_kwargs": {**own, "synthesis_kwargs": flat}}
    assert declare_official(config).config == declare_official(nested).config

    arguments = eg3d()["init_kwargs"]
    for name in ("conv_clamp", "sr_num_fp16_res", "sr_kwargs", "mapping_kwargs", "channel_base", "channel_max"):
        del arguments[name]
    for name in ("c_scale", "decoder_lr_mul", "disparity_space_sampling", "clamp_mode", "avg_camera_radius"):
        del arguments["rendering_kwargs"][name]
    generator = declare_official({"class_name": "training.triplane.TriPlaneGenerator", "init_kwargs": arguments})
    assert isinstance(generator, EG3D)
    o = generator.options
    assert (o.backbone.conv_clamp, o.backbone.channel_base, o.backbone.channel_max) == (256.0, 32768, 512)
    assert o.superresolution is not None and o.superresolution.clamp is None
    assert (o.c_scale, o.decoder_lr, o.neural_resolution, o.rendering.white_back) == (0.0, 1.0, 64, False)
    assert generator.backbone.mapping.num_layers == 8


def test_a_conditioning_that_is_switched_off_is_zero() -> None:
    config = eg3d("2X", {"c_gen_conditioning_zero": True})
    tensors = tensors_of(config)
    z, label = drawn(2, 6), seen_from([0.4, -0.6])
    zero = naive_stylegan2.mapping(
        doubled(tensors), "backbone.mapping", config["init_kwargs"], 14, z, 0 * label, 1.0, None
    )
    assert relative_error(build(config, tensors).map(z, label), zero) <= EXACT


def test_buffers_without_a_say_may_be_there_or_not() -> None:
    config = eg3d("8XDC")
    tensors = tensors_of(config)
    more = {"superresolution.resample_filter": naive_stylegan2.fir(), "dataset_label_std": torch.ones(25)}
    assert not more.keys() & tensors.keys()
    assert from_official(config, {**tensors, **more}).dataset_label_std.mean() == 1
    generator = from_official(config, tensors)
    assert not any(t.is_meta for t in generator.state_dict().values())
    with pytest.raises(CheckpointError, match=r"not of this network: superresolution\.filter"):
        from_official(config, {**tensors, "superresolution.filter": naive_stylegan2.fir()})


REFUSED = {
    "activation is 'relu'": [
        stylegan2(activation="relu"), stylegan2(mapping_kwargs={"activation": "relu"}), eg3d(activation="relu"),
        eg3d(sr_kwargs={"activation": "relu"}), eg3d(mapping_kwargs={"activation": "relu"}),
    ],
    "architecture is 'resnet'": [eg3d(sr_kwargs={"architecture": "resnet"})],
    "use_noise is 'False'": [eg3d(sr_kwargs={"use_noise": False})],
    "resample_filter is": [eg3d(sr_kwargs={"resample_filter": [1, 2, 1]})],
    "8 taps": [stylegan2(resample_filter=[1] * 8)],
    "1 taps": [stylegan2(resample_filter=[1])],
    "kernel_size: no argument": [stylegan2(kernel_size=5), eg3d(kernel_size=5), eg3d(sr_kwargs={"kernel_size": 5})],
    "normalize: no argument": [stylegan2(mapping_kwargs={"normalize": False})],
    "triplane_depth: no argument": [eg3d(triplane_depth=3)],
    "clamp_mode is 'mip'": [eg3d("2X", {"clamp_mode": "mip"})],
    "density_noise is '0.5'": [eg3d("2X", {"density_noise": 0.5})],
    "superresolution_noise_mode is 'some'": [eg3d("2X", {"superresolution_noise_mode": "some"})],
    "`auto` is for both ends": [eg3d("2X", {"ray_end": "auto"}), eg3d("2X", {"ray_start": "auto"})],
    "make pictures of 128 px": [eg3d("2X", img_resolution=256)],
    "class_name is 'training.networks_stylegan3.Generator'": [
        {**stylegan2(), "class_name": "training.networks_stylegan3.Generator"}
    ],
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_computed_otherwise_is_refused(reason: str) -> None:
    for config in REFUSED[reason]:
        with pytest.raises(CheckpointError, match=re.escape(reason)):
            declare_official(config)


def test_a_raw_picture_that_a_module_does_not_take_is_refused() -> None:
    generator = from_official(eg3d("4X"), tensors_of(eg3d("4X")))
    features = torch.zeros(1, 32, 130, 130)
    with pytest.raises(ValueError, match="neural_resolution=130: this super-resolution takes 128 at most"):
        generator.superresolution(features[:, :3], features, iter(()), "none", FeatureTap())
