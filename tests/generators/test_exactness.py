"""Every configuration of the released networks, built by `from_official`, against the same network written naively.

In double precision, so that a formula that differs is told from rounding.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sat3d.generators.base import FeatureTap
from sat3d.generators.stylegan2 import StyleGAN2
from sat3d.ops import Camera
from tests.generators import naive_eg3d, naive_stylegan2
from tests.generators.naive_tensors import tensors_of
from tests.generators.released_networks import (
    EXACT,
    OUTPUT,
    build,
    doubled,
    drawn,
    eg3d,
    midpoints,
    relative_error,
    seen_from,
    stylegan2,
)


def spread_over_layers(ws: Tensor) -> Tensor:
    return (ws + 0.3 * drawn(*ws.shape, seed=7)).requires_grad_()


STYLEGAN2 = {
    "skip": stylegan2(),
    "resnet": stylegan2(architecture="resnet"),
    "orig": stylegan2(architecture="orig"),
    "skip clamped": stylegan2(conv_clamp=0.8),
    "resnet clamped": stylegan2(architecture="resnet", conv_clamp=0.8),
    "orig clamped": stylegan2(architecture="orig", conv_clamp=0.8),
    "4 px": stylegan2(4),
    "4 px resnet": stylegan2(4, architecture="resnet", conv_clamp=0.8),
    "8 px orig": stylegan2(8, architecture="orig"),
    "conditional": stylegan2(8, c_dim=5),
    "label alone": stylegan2(8, c_dim=5, z_dim=0),
    "wide mapping": stylegan2(
        8, c_dim=3, mapping_kwargs={"num_layers": 3, "layer_features": 12, "embed_features": 5, "lr_multiplier": 0.1}
    ),
    "one layer": stylegan2(8, mapping_kwargs={"num_layers": 1}),
    "grey": stylegan2(8, img_channels=1),
    "four channels resnet": stylegan2(8, img_channels=4, architecture="resnet"),
    "channels": stylegan2(32, channel_base=100, channel_max=6, num_fp16_res=4, conv_clamp=256),
    "no noise": stylegan2(use_noise=False),
    "no noise resnet": stylegan2(use_noise=False, architecture="resnet"),
    "asymmetric filter": stylegan2(resample_filter=[1, 3, 2, 0.5]),
    "asymmetric filter resnet": stylegan2(resample_filter=[1, 3, 2, 0.5], architecture="resnet"),
    **{
        f"{n} taps {architecture}": stylegan2(resample_filter=[1, 2, 3, 4, 2, 1.5, 1][:n], architecture=architecture)
        for n, architecture in ((2, "skip"), (3, "resnet"), (5, "skip"), (6, "resnet"), (7, "skip"))
    },
}


@pytest.mark.parametrize("name", STYLEGAN2)
def test_stylegan2_is_the_naive_network(name: str) -> None:
    config = STYLEGAN2[name]
    kwargs = config["init_kwargs"]
    tensors = tensors_of(config)
    generator, state = build(config, tensors), doubled(tensors)
    flat = {**kwargs, **kwargs["synthesis_kwargs"]}
    resolution, count = kwargs["img_resolution"], 2 * len(naive_stylegan2.sides(kwargs["img_resolution"]))
    assert isinstance(generator, StyleGAN2) and generator.num_ws == count

    z, c = drawn(3, kwargs["z_dim"]), drawn(3, kwargs["c_dim"], seed=2) if kwargs["c_dim"] else None
    for psi, cutoff in ((1.0, None), (0.7, None), (0.7, 0), (-0.5, count - 1), (0.0, 1), (1.5, count)):
        expected = naive_stylegan2.mapping(state, "mapping", kwargs, count, z, c, psi, cutoff)
        assert relative_error(generator.map(z, c, truncation=psi, cutoff=cutoff), expected) <= EXACT

    ws = spread_over_layers(generator.map(z, c))
    layers = list(naive_stylegan2.layers_of(resolution, flat.get("architecture", "skip")))
    styles = naive_stylegan2.affine(state, "synthesis", layers, ws)
    assert list(generator.style_space.names) == list(styles)
    s = generator.styles(ws)
    assert relative_error(s, torch.cat(list(styles.values()), dim=1)) <= EXACT

    noises = ("const", "none", "random")
    for noise in noises:
        torch.manual_seed(3)
        ours = generator.synthesize(s, noise=noise).image
        torch.manual_seed(3)
        theirs = naive_stylegan2.synthesis(state, "synthesis", flat, resolution, styles, noise)
        assert relative_error(ours, theirs) <= EXACT
        assert theirs.abs().max() < 3 * (flat["conv_clamp"] or math.inf)  # the clamp was at work, where there is one
        for wanted, given in ((ws, ws), (s, list(styles.values()))):
            weight = drawn(*ours.shape, seed=5)
            mine = torch.autograd.grad((ours * weight).sum(), wanted, retain_graph=True)[0]
            naively = torch.autograd.grad((theirs * weight).sum(), given, retain_graph=True)
            assert relative_error(mine, torch.cat(naively, dim=1)) <= EXACT


# --- EG3D


def superresolution_styles(state: dict[str, Tensor], ws: Tensor) -> naive_stylegan2.Styles:
    return naive_stylegan2.affine(state, "superresolution", [(name, -1) for name in naive_eg3d.SR_LAYERS], ws)


def test_the_whole_of_eg3d_is_the_naive_network() -> None:
    config = eg3d("2X", {"decoder_lr_mul": 0.5, "c_scale": 0.3})
    kwargs, tensors = config["init_kwargs"], tensors_of(config)
    generator, state = build(config, tensors), doubled(tensors)
    z, label = drawn(2, 6), seen_from([0.4, -0.6])
    expected = naive_stylegan2.mapping(state, "backbone.mapping", kwargs, 14, z, 0.3 * label, 0.7, 6)
    assert relative_error(generator.map(z, label, truncation=0.7, cutoff=6), expected) <= EXACT

    ws = spread_over_layers(expected)
    s = generator.styles(ws)
    styles = naive_stylegan2.affine(state, "backbone.synthesis", naive_stylegan2.layers_of(256, "skip"), ws)
    above = superresolution_styles(state, ws)
    assert list(generator.style_space.names) == [*styles, *above]
    assert relative_error(s, torch.cat([*styles.values(), *above.values()], dim=1)) <= EXACT

    out = generator.synthesize(s, Camera.from_label(label), neural_resolution=6)
    planes = naive_stylegan2.synthesis(state, "backbone.synthesis", kwargs, 256, styles, "const").unflatten(1, (3, 32))
    assert relative_error(generator.planes(s), planes) <= EXACT
    march = naive_eg3d.render(state, kwargs, planes, label, 6, midpoints(kwargs["rendering_kwargs"], 2, 36))
    image, raw = naive_eg3d.superresolve(state, kwargs, march["features"].mT.unflatten(2, (6, 6)), above)
    pairs = {
        "image": (out.image, image),
        "raw": (out.raw, raw),
        "depth": (out.depth, march["depth"].reshape(2, 1, 6, 6)),
        "opacity": (out.opacity, march["opacity"].reshape(2, 1, 6, 6)),
    }
    mine, naively = torch.zeros(()), torch.zeros(())
    for ours, theirs in pairs.values():
        assert relative_error(ours, theirs) <= 1e-7  # samples move with rounding, and these planes are steep
        weight = drawn(*ours.shape, seed=5)
        mine, naively = mine + (ours * weight).sum(), naively + (theirs * weight).sum()
    assert relative_error(*(torch.autograd.grad(loss, ws)[0] for loss in (mine, naively))) <= 1e-6


@pytest.mark.parametrize("module", OUTPUT)
@pytest.mark.parametrize("clamped", [4, 0])
def test_every_superresolution_module_is_the_naive_one(module: str, clamped: int) -> None:
    config = eg3d(module, sr_num_fp16_res=clamped)
    kwargs, tensors = config["init_kwargs"], tensors_of(config)
    for name in (n for n in tensors if n.startswith("superresolution") and n.endswith("bias")):
        tensors[name] *= 300  # so that a clamp of 256 is felt
    generator, state = build(config, tensors), doubled(tensors)
    assert generator.resolution == OUTPUT[module]
    network = generator.superresolution
    shrink = 16  # convolutions do not mind a smaller picture
    network.options = replace(network.options, input_resolution=network.options.input_resolution // shrink)
    side = network.options.input_resolution
    ws = drawn(2, 14, 512)
    styles = superresolution_styles(state, ws)
    s = generator.styles(ws)
    sizes = [side, side // 2, *([] if module in ("4X", "Deepfp32") else [side * 2])]
    for size in sizes:
        features = drawn(2, 32, size, size, seed=3)
        expected, _ = naive_eg3d.superresolve(state, kwargs, features, styles, shrink)
        own = iter(generator.style_space.split(s)[-6:])
        ours = network(features[:, :3], features, own, network.options.noise, FeatureTap())
        assert relative_error(ours, expected) <= EXACT
    bound = 3 * 256 + 10  # two clamped toRGBs on a raw picture; without a clamp they go far beyond
    assert (expected.abs().max() <= bound) == bool(clamped)
