"""Every configuration of the released networks, built by `from_official`, against the same network written naively.

In double precision, so that a formula that differs is told from rounding.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sat3d.generators import CheckpointError, from_official
from sat3d.generators.base import FeatureTap
from sat3d.generators.eg3d import EG3D
from sat3d.generators.official import declare_official
from sat3d.generators.stylegan2 import StyleGAN2
from sat3d.ops import Camera
from sat3d.ops.triplane import PLANE_AXES
from tests.generators import naive

EXACT = 1e-9


def build(config: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    return from_official(config, tensors).double()


def doubled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.double() for name, tensor in tensors.items()}


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours: Tensor, theirs: Tensor, limit: float = EXACT) -> None:
    assert ours.shape == theirs.shape
    with torch.no_grad():
        assert theirs.norm() > 0
        assert float((ours - theirs).norm() / theirs.norm()) <= limit


def spread_over_layers(ws: Tensor) -> Tensor:
    return (ws + 0.3 * drawn(*ws.shape, seed=7)).requires_grad_()


# --- StyleGAN2


def stylegan2(resolution: int = 16, /, **changes: Any) -> dict[str, Any]:
    """Return a configuration; what is no argument of the generator's own is one of its synthesis network."""
    own = {"z_dim": 6, "c_dim": 0, "w_dim": 8, "img_resolution": resolution, "img_channels": 3, "mapping_kwargs": {}}
    synthesis = {"channel_base": 64, "channel_max": 8, "num_fp16_res": 0, "conv_clamp": None}
    synthesis |= {k: v for k, v in changes.items() if k not in own}
    kwargs = {k: changes.get(k, v) for k, v in own.items()} | {"synthesis_kwargs": synthesis}
    return {"class_name": "training.networks.Generator", "init_kwargs": kwargs}


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
    tensors = naive.tensors_of(config)
    generator, state = build(config, tensors), doubled(tensors)
    flat = {**kwargs, **kwargs["synthesis_kwargs"]}
    resolution, count = kwargs["img_resolution"], 2 * len(naive.sides(kwargs["img_resolution"]))
    assert isinstance(generator, StyleGAN2) and generator.num_ws == count

    z, c = drawn(3, kwargs["z_dim"]), drawn(3, kwargs["c_dim"], seed=2) if kwargs["c_dim"] else None
    for psi, cutoff in ((1.0, None), (0.7, None), (0.7, 0), (-0.5, count - 1), (0.0, 1), (1.5, count)):
        expected = naive.mapping(state, "mapping", kwargs, count, z, c, psi, cutoff)
        close(generator.map(z, c, truncation=psi, cutoff=cutoff), expected)

    ws = spread_over_layers(generator.map(z, c))
    layers = list(naive.layers_of(resolution, flat.get("architecture", "skip")))
    styles = naive.affine(state, "synthesis", layers, ws)
    assert list(generator.style_space.names) == list(styles)
    s = generator.styles(ws)
    close(s, torch.cat(list(styles.values()), dim=1))

    noises = ("const", "none", "random")
    for noise in noises:
        torch.manual_seed(3)
        ours = generator.synthesize(s, noise=noise).image
        torch.manual_seed(3)
        theirs = naive.synthesis(state, "synthesis", flat, resolution, styles, noise)
        close(ours, theirs)
        if flat["conv_clamp"] == 0.8:
            assert theirs.abs().max() < 3 * 0.8  # the clamp was at work
        for wanted, given in ((ws, ws), (s, list(styles.values()))):
            weight = drawn(*ours.shape, seed=5)
            mine = torch.autograd.grad((ours * weight).sum(), wanted, retain_graph=True)[0]
            naively = torch.autograd.grad((theirs * weight).sum(), given, retain_graph=True)
            close(mine, torch.cat(naively, dim=1))


# --- EG3D

RENDERING = {
    "image_resolution": 128, "disparity_space_sampling": False, "clamp_mode": "softplus", "c_scale": 1,
    "superresolution_module": "training.superresolution.SuperresolutionHybrid2X", "c_gen_conditioning_zero": False,
    "gpc_reg_prob": 0.8, "superresolution_noise_mode": "none", "density_reg": 0.25, "density_reg_p_dist": 0.004,
    "reg_type": "l1", "decoder_lr_mul": 1, "sr_antialias": True, "depth_resolution": 5,
    "depth_resolution_importance": 4, "ray_start": 2.25, "ray_end": 3.3, "box_warp": 1, "avg_camera_radius": 2.7,
    "avg_camera_pivot": [0, 0, 0.2],
}  # fmt: skip
SHAPENET = {"ray_start": 0.1, "ray_end": 2.6, "box_warp": 1.6, "white_back": True, "avg_camera_radius": 1.7}
OUTPUT = {"8XDC": 512, "8X": 512, "4X": 256, "Deepfp32": 256, "2X": 128}


def eg3d(module: str = "2X", rendering: dict[str, Any] | None = None, /, **changes: Any) -> dict[str, Any]:
    path = f"training.superresolution.SuperresolutionHybrid{module}"
    kwargs = {
        "z_dim": 6, "c_dim": 25, "w_dim": 512, "img_resolution": OUTPUT[module], "img_channels": 3,
        "mapping_kwargs": {"num_layers": 2}, "channel_base": 1024, "channel_max": 4, "num_fp16_res": 0,
        "conv_clamp": None, "fused_modconv_default": "inference_only", "sr_num_fp16_res": 4,
        "sr_kwargs": {"channel_base": 1024, "channel_max": 4, "fused_modconv_default": "inference_only"},
        "rendering_kwargs": {**RENDERING, "superresolution_module": path, **(rendering or {})},
    }  # fmt: skip
    return {"class_name": "training.triplane.TriPlaneGenerator", "init_kwargs": {**kwargs, **changes}}


def seen_from(angles: list[float], radius: float = 2.7, fov: float = 18.837) -> Tensor:
    """Return camera labels (B, 25) in double precision, with a skew and unequal focal lengths."""
    yaw = torch.tensor(angles, dtype=torch.float64)
    label = Camera.look_at(yaw, 0.4 * yaw, pivot=(0.02, -0.05, 0.1), radius=radius, fov=fov).label()
    label[:, 17], label[:, 20] = 0.05, 1.1 * label[:, 20]
    return label


def superresolution_styles(state: dict[str, Tensor], ws: Tensor) -> naive.Styles:
    return naive.affine(state, "superresolution", [(name, -1) for name in naive.SR_LAYERS], ws)


def midpoints(rendering: dict[str, Any], cameras: int, count: int) -> tuple[Tensor, Tensor]:
    """Return the two sets of random numbers that `midpoint` stands for."""
    n = rendering["depth_resolution_importance"]
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / max(n, 1)
    coarse = torch.full((cameras, count, rendering["depth_resolution"], 1), 0.5, dtype=torch.float64)
    return coarse, u.expand(cameras * count, n)


def test_the_whole_of_eg3d_is_the_naive_network() -> None:
    config = eg3d("2X", {"decoder_lr_mul": 0.5, "c_scale": 0.3})
    kwargs, tensors = config["init_kwargs"], naive.tensors_of(config)
    generator, state = build(config, tensors), doubled(tensors)
    z, label = drawn(2, 6), seen_from([0.4, -0.6])
    expected = naive.mapping(state, "backbone.mapping", kwargs, 14, z, 0.3 * label, 0.7, 6)
    close(generator.map(z, label, truncation=0.7, cutoff=6), expected)

    ws = spread_over_layers(expected)
    s = generator.styles(ws)
    styles = naive.affine(state, "backbone.synthesis", naive.layers_of(256, "skip"), ws)
    above = superresolution_styles(state, ws)
    assert list(generator.style_space.names) == [*styles, *above]
    close(s, torch.cat([*styles.values(), *above.values()], dim=1))

    out = generator.synthesize(s, Camera.from_label(label), neural_resolution=6)
    planes = naive.synthesis(state, "backbone.synthesis", kwargs, 256, styles, "const").unflatten(1, (3, 32))
    close(generator.planes(s), planes)
    march = naive.render(state, kwargs, planes, label, 6, midpoints(kwargs["rendering_kwargs"], 2, 36))
    image, raw = naive.superresolve(state, kwargs, march["features"].mT.unflatten(2, (6, 6)), above)
    pairs = {
        "image": (out.image, image),
        "raw": (out.raw, raw),
        "depth": (out.depth, march["depth"].reshape(2, 1, 6, 6)),
        "opacity": (out.opacity, march["opacity"].reshape(2, 1, 6, 6)),
    }
    mine, naively = torch.zeros(()), torch.zeros(())
    for ours, theirs in pairs.values():
        close(ours, theirs, 1e-7)  # samples move with rounding, and these planes are steep
        weight = drawn(*ours.shape, seed=5)
        mine, naively = mine + (ours * weight).sum(), naively + (theirs * weight).sum()
    close(*(torch.autograd.grad(loss, ws)[0] for loss in (mine, naively)), 1e-6)


@pytest.mark.parametrize("module", OUTPUT)
@pytest.mark.parametrize("clamped", [4, 0])
def test_every_superresolution_module_is_the_naive_one(module: str, clamped: int) -> None:
    config = eg3d(module, sr_num_fp16_res=clamped)
    kwargs, tensors = config["init_kwargs"], naive.tensors_of(config)
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
        expected, _ = naive.superresolve(state, kwargs, features, styles, shrink)
        own = iter(generator.style_space.split(s)[-6:])
        close(network(features[:, :3], features, own, network.options.noise, FeatureTap()), expected)
    bound = 3 * 256 + 10  # two clamped toRGBs on a raw picture; without a clamp they go far beyond
    assert (expected.abs().max() <= bound) == bool(clamped)


# --- rays

RENDERINGS: dict[str, dict[str, Any]] = {
    "released faces": {},
    "shapenet": SHAPENET,
    "auto, every ray hits": {"ray_start": "auto", "ray_end": "auto", "box_warp": 1.6},
    "auto, some rays miss": {"ray_start": "auto", "ray_end": "auto", "box_warp": 0.4},
    "auto, one ray hits": {"ray_start": "auto", "ray_end": "auto", "box_warp": 0.1},
    "auto, every ray misses": {"ray_start": "auto", "ray_end": "auto", "box_warp": 0.01},
    "disparity": {"disparity_space_sampling": True},
    "disparity, white": {"disparity_space_sampling": True, "white_back": True, "ray_start": 1.9},
    "no importance": {"depth_resolution_importance": 0, "depth_resolution": 7},
    "no importance, auto": {
        "depth_resolution_importance": 0,
        "ray_start": "auto",
        "ray_end": "auto",
        "white_back": True,
    },
    "four coarse": {"depth_resolution": 4, "depth_resolution_importance": 9},
    "small box": {"box_warp": 0.4},
    "decoder's rate": {"decoder_lr_mul": 0.3},
}
Looks = tuple[EG3D, dict[str, Tensor], dict[str, Any]]


def looks(rendering: dict[str, Any], **attributes: Any) -> Looks:
    config = eg3d("2X", rendering)
    tensors = naive.tensors_of(config)
    return build({**config, "attributes": attributes}, tensors), doubled(tensors), config["init_kwargs"]


def compare(looks: Looks, label: Tensor, jitter: Any = "midpoint", corrected: bool = False, codes: int = 2) -> None:
    """March small planes from 5×5 pixels, and compare what comes out, and its gradients with respect to the planes."""
    generator, state, kwargs = looks
    side, cameras = 5, len(label)
    planes = (2 * drawn(codes, 3, 32, 9, 7)).requires_grad_()
    numbers = midpoints(kwargs["rendering_kwargs"], cameras, side * side) if jitter == "midpoint" else jitter
    everyones = planes.expand(cameras, -1, -1, -1, -1)
    theirs = naive.render(state, kwargs, everyones, label, side, numbers, corrected)
    marched = generator.renderer(planes, generator.decoder, *Camera.from_label(label).rays(side), jitter)
    ours = {"features": marched.features, "depth": marched.depth[..., 0], "opacity": marched.opacity[..., 0]}
    met = theirs["opacity"] > 0  # elsewhere the released networks' gradient of the depth is NaN
    for name in ours:
        close(ours[name], theirs[name])
    slopes = {
        "features": (ours["features"], theirs["features"]),
        "opacity": (ours["opacity"], theirs["opacity"]),
        "depth": (ours["depth"][met], theirs["along"][met] / theirs["opacity"][met]),
    }
    for mine, naively in slopes.values():
        weight = drawn(*naively.shape, seed=6)
        a, b = (torch.autograd.grad((t * weight).sum(), planes, retain_graph=True)[0] for t in (mine, naively))
        assert float((a - b).norm()) <= 1e-7 * float(b.norm())


@pytest.mark.parametrize("name", RENDERINGS)
@pytest.mark.parametrize("random", [False, True])
def test_every_way_to_march_is_the_naive_one(name: str, random: bool) -> None:
    options = RENDERING | RENDERINGS[name]
    label = seen_from([0.5, -0.3], options["avg_camera_radius"])
    draw = torch.Generator().manual_seed(9)
    coarse = torch.rand(2, 25, options["depth_resolution"], 1, generator=draw)
    fine = torch.rand(50, options["depth_resolution_importance"], generator=draw)
    compare(looks(RENDERINGS[name]), label, (coarse.double(), fine.double()) if random else "midpoint")


def test_rays_hit_and_miss_the_box_as_these_tests_say() -> None:
    origins, directions = naive.rays(seen_from([0.5, -0.3]), 5)
    pairs = list(zip(origins.reshape(-1, 3).tolist(), directions.reshape(-1, 3).tolist(), strict=True))
    hits = [sum(bool(naive.box(o, d, side / 2)) for o, d in pairs) for side in (1.6, 0.4, 0.1, 0.01)]
    assert hits == [50, 32, 1, 0]


def test_corrected_planes_and_settings_are_read_from_the_networks_attributes() -> None:
    corrected = torch.tensor(PLANE_AXES["corrected"])
    label = seen_from([0.5, -0.3])
    compare(looks({}, plane_axes=corrected), label, corrected=True)
    generator, state, kwargs = looks({}, plane_axes=corrected, rendering_kwargs=RENDERING | {"depth_resolution": 8})
    kwargs = {**kwargs, "rendering_kwargs": RENDERING | {"depth_resolution": 8}}
    compare((generator, state, kwargs), label, corrected=True)
    generator, *_ = looks({}, neural_rendering_resolution=7)
    assert generator.synthesize(generator.styles(drawn(1, 14, 512)), Camera.from_label(label[:1])).raw.shape[-1] == 7


@pytest.mark.parametrize("name", ["released faces", "auto, some rays miss"])
def test_many_views_of_one_code_in_chunks_share_their_bounds(name: str) -> None:
    generator, state, kwargs = looks(RENDERINGS[name])
    label = seen_from([0.5, -0.3, 0.1], radius=2.5)
    compare((generator, state, kwargs), label, codes=1)
    for codes in (1, 3):
        planes = drawn(codes, 3, 32, 9, 7)
        cameras = Camera.from_label(label)
        whole = generator.renderer(planes, generator.decoder, *cameras.rays(5))
        generator.renderer.options = replace(generator.renderer.options, max_samples=60)
        with torch.no_grad():
            parts = generator.renderer(planes, generator.decoder, *cameras.rays(5))
        generator.renderer.options = replace(generator.renderer.options, max_samples=2**20)
        for ours, theirs in zip(parts, whole, strict=True):
            close(ours, theirs, 1e-12)


def test_a_ray_through_nothing_has_the_farthest_depth_and_no_gradient() -> None:
    generator, state, kwargs = looks({})
    for network in (state, generator.state_dict()):
        network["decoder.net.2.bias"][0] = -70.0  # no density but where planes say so
        network["decoder.net.2.weight"][0] *= 30
    planes, label = (3 * drawn(1, 3, 32, 9, 7)).requires_grad_(), seen_from([0.5])
    theirs = naive.render(state, kwargs, planes, label, 5, midpoints(RENDERING, 1, 25))
    ours = generator.renderer(planes, generator.decoder, *Camera.from_label(label).rays(5))
    nothing = theirs["opacity"] == 0
    assert 3 < int(nothing.sum()) < 22
    close(ours.depth[..., 0], theirs["depth"])
    assert (ours.depth[..., 0][nothing] == ours.depths.max()).all()
    assert torch.autograd.grad(theirs["depth"].sum(), planes, retain_graph=True)[0].isnan().any()
    elsewhere = theirs["along"][~nothing] / theirs["opacity"][~nothing]
    close(*(torch.autograd.grad(depth.sum(), planes)[0] for depth in (ours.depth, elsewhere)), 1e-7)


# --- arguments


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
    tensors = naive.tensors_of(config)
    z, label = drawn(2, 6), seen_from([0.4, -0.6])
    zero = naive.mapping(doubled(tensors), "backbone.mapping", config["init_kwargs"], 14, z, 0 * label, 1.0, None)
    close(build(config, tensors).map(z, label), zero)


def test_buffers_without_a_say_may_be_there_or_not() -> None:
    config = eg3d("8XDC")
    tensors = naive.tensors_of(config)
    more = {"superresolution.resample_filter": naive.fir(), "dataset_label_std": torch.ones(25)}
    assert not more.keys() & tensors.keys()
    assert from_official(config, {**tensors, **more}).dataset_label_std.mean() == 1
    generator = from_official(config, tensors)
    assert not any(t.is_meta for t in generator.state_dict().values())
    with pytest.raises(CheckpointError, match=r"not of this network: superresolution\.filter"):
        from_official(config, {**tensors, "superresolution.filter": naive.fir()})


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
    generator = from_official(eg3d("4X"), naive.tensors_of(eg3d("4X")))
    features = torch.zeros(1, 32, 130, 130)
    with pytest.raises(ValueError, match="neural_resolution=130: this super-resolution takes 128 at most"):
        generator.superresolution(features[:, :3], features, iter(()), "none", FeatureTap())


# --- reduced precision


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_large_styles_and_weights_do_not_overflow(architecture: str, kind: torch.dtype) -> None:
    config = stylegan2(architecture=architecture)
    tensors = naive.tensors_of(config)
    for name in tensors:
        if name.endswith(("conv0.weight", "conv1.weight")):
            tensors[name] *= 3000
    generator = from_official(config, tensors)
    s = generator.styles(generator.map(drawn(2, 6).float()))
    s = s * (30000 / s.abs().max())
    s[0, generator.style_space.layer("synthesis.b8.conv1").slice] = 0  # nothing to divide by
    exact = generator.synthesize(s).image
    limit = 0.05 if kind == torch.bfloat16 else 0.01
    for network in (generator, from_official(config, tensors).to(kind)):
        image = network.synthesize(s.to(kind)).image
        assert image.dtype == torch.float32 and image.isfinite().all()
        close(image, exact, limit)
    with torch.autocast("cpu", kind):
        image = generator.synthesize(s).image
    assert image.isfinite().all()
    close(image, exact, limit)


def test_rays_are_marched_in_single_precision_whatever_the_layers_compute_in() -> None:
    generator, *_ = looks({})
    generator = generator.float()
    planes = drawn(1, 3, 32, 9, 7).float()
    s, cameras = generator.styles(drawn(1, 14, 512).float()), Camera.from_label(seen_from([0.5]).float())
    exact = generator.render(planes, s, cameras, neural_resolution=6)
    with torch.autocast("cpu", torch.bfloat16):
        automatic = generator.render(planes, s, cameras, neural_resolution=6)
        density = generator.density(planes, planes.new_zeros(1, 4, 3))[0]
    reduced = generator.render(planes, s.bfloat16(), cameras, neural_resolution=6)
    for out in (automatic, reduced):
        assert torch.equal(out.raw, exact.raw) and torch.equal(out.depth, exact.depth)
        close(out.image, exact.image, 0.01)
    assert torch.equal(density, generator.density(planes, planes.new_zeros(1, 4, 3))[0])
