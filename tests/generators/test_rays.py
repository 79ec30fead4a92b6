"""Rays of every rendering option against rays marched naively, in double precision, with their gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sat3d.generators.eg3d import EG3D
from sat3d.ops import Camera
from sat3d.ops.triplane import PLANE_AXES
from tests.generators import naive_eg3d
from tests.generators.naive_tensors import tensors_of
from tests.generators.released_networks import (
    EXACT,
    RENDERING,
    SHAPENET,
    build,
    doubled,
    drawn,
    eg3d,
    midpoints,
    relative_error,
    seen_from,
)

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
SLOPE = 1e-7
Looks = tuple[EG3D, dict[str, Tensor], dict[str, Any]]


def looks(rendering: dict[str, Any], **attributes: Any) -> Looks:
    config = eg3d("2X", rendering)
    tensors = tensors_of(config)
    return build({**config, "attributes": attributes}, tensors), doubled(tensors), config["init_kwargs"]


def errors(
    looks: Looks, label: Tensor, jitter: Any = "midpoint", corrected: bool = False, codes: int = 2
) -> tuple[float, float]:
    """March small planes from 5×5 pixels; return the largest relative error of what comes out, and of its gradients."""
    generator, state, kwargs = looks
    side, cameras = 5, len(label)
    planes = (2 * drawn(codes, 3, 32, 9, 7)).requires_grad_()
    numbers = midpoints(kwargs["rendering_kwargs"], cameras, side * side) if jitter == "midpoint" else jitter
    everyones = planes.expand(cameras, -1, -1, -1, -1)
    theirs = naive_eg3d.render(state, kwargs, everyones, label, side, numbers, corrected)
    marched = generator.renderer(planes, generator.decoder, *Camera.from_label(label).rays(side), jitter)
    ours = {"features": marched.features, "depth": marched.depth[..., 0], "opacity": marched.opacity[..., 0]}
    met = theirs["opacity"] > 0  # elsewhere the released networks' gradient of the depth is NaN
    through = {
        "features": (ours["features"], theirs["features"]),
        "opacity": (ours["opacity"], theirs["opacity"]),
        "depth": (ours["depth"][met], theirs["along"][met] / theirs["opacity"][met]),
    }
    slopes = []
    for mine, naively in through.values():
        weight = drawn(*naively.shape, seed=6)
        a, b = (torch.autograd.grad((t * weight).sum(), planes, retain_graph=True)[0] for t in (mine, naively))
        slopes.append(0.0 if torch.equal(a, b) else relative_error(a, b))  # both are zero where no ray hits
    return max(relative_error(ours[name], theirs[name]) for name in ours), max(slopes)


@pytest.mark.parametrize("name", RENDERINGS)
@pytest.mark.parametrize("random", [False, True])
def test_every_way_to_march_is_the_naive_one(name: str, random: bool) -> None:
    options = RENDERING | RENDERINGS[name]
    label = seen_from([0.5, -0.3], options["avg_camera_radius"])
    draw = torch.Generator().manual_seed(9)
    coarse = torch.rand(2, 25, options["depth_resolution"], 1, generator=draw)
    fine = torch.rand(50, options["depth_resolution_importance"], generator=draw)
    jitter = (coarse.double(), fine.double()) if random else "midpoint"
    values, slopes = errors(looks(RENDERINGS[name]), label, jitter)
    assert values <= EXACT and slopes <= SLOPE


def test_rays_hit_and_miss_the_box_as_these_tests_say() -> None:
    origins, directions = naive_eg3d.rays(seen_from([0.5, -0.3]), 5)
    pairs = list(zip(origins.reshape(-1, 3).tolist(), directions.reshape(-1, 3).tolist(), strict=True))
    hits = [sum(bool(naive_eg3d.box(o, d, side / 2)) for o, d in pairs) for side in (1.6, 0.4, 0.1, 0.01)]
    assert hits == [50, 32, 1, 0]


def test_corrected_planes_and_settings_are_read_from_the_networks_attributes() -> None:
    corrected = torch.tensor(PLANE_AXES["corrected"])
    label = seen_from([0.5, -0.3])
    values, slopes = errors(looks({}, plane_axes=corrected), label, corrected=True)
    assert values <= EXACT and slopes <= SLOPE
    generator, state, kwargs = looks({}, plane_axes=corrected, rendering_kwargs=RENDERING | {"depth_resolution": 8})
    kwargs = {**kwargs, "rendering_kwargs": RENDERING | {"depth_resolution": 8}}
    values, slopes = errors((generator, state, kwargs), label, corrected=True)
    assert values <= EXACT and slopes <= SLOPE
    generator, *_ = looks({}, neural_rendering_resolution=7)
    assert generator.synthesize(generator.styles(drawn(1, 14, 512)), Camera.from_label(label[:1])).raw.shape[-1] == 7


@pytest.mark.parametrize("name", ["released faces", "auto, some rays miss"])
def test_many_views_of_one_code_in_chunks_share_their_bounds(name: str) -> None:
    generator, state, kwargs = looks(RENDERINGS[name])
    label = seen_from([0.5, -0.3, 0.1], radius=2.5)
    values, slopes = errors((generator, state, kwargs), label, codes=1)
    assert values <= EXACT and slopes <= SLOPE
    for codes in (1, 3):
        planes = drawn(codes, 3, 32, 9, 7)
        cameras = Camera.from_label(label)
        whole = generator.renderer(planes, generator.decoder, *cameras.rays(5))
        generator.renderer.options = replace(generator.renderer.options, max_samples=60)
        with torch.no_grad():
            parts = generator.renderer(planes, generator.decoder, *cameras.rays(5))
        generator.renderer.options = replace(generator.renderer.options, max_samples=2**20)
        for ours, theirs in zip(parts, whole, strict=True):
            assert relative_error(ours, theirs) <= 1e-12


def test_a_ray_through_nothing_has_the_farthest_depth_and_no_gradient() -> None:
    generator, state, kwargs = looks({})
    for network in (state, generator.state_dict()):
        network["decoder.net.2.bias"][0] = -70.0  # no density but where planes say so
        network["decoder.net.2.weight"][0] *= 30
    planes, label = (3 * drawn(1, 3, 32, 9, 7)).requires_grad_(), seen_from([0.5])
    theirs = naive_eg3d.render(state, kwargs, planes, label, 5, midpoints(RENDERING, 1, 25))
    ours = generator.renderer(planes, generator.decoder, *Camera.from_label(label).rays(5))
    nothing = theirs["opacity"] == 0
    assert 3 < int(nothing.sum()) < 22
    assert relative_error(ours.depth[..., 0], theirs["depth"]) <= EXACT
    assert (ours.depth[..., 0][nothing] == ours.depths.max()).all()
    assert torch.autograd.grad(theirs["depth"].sum(), planes, retain_graph=True)[0].isnan().any()
    elsewhere = theirs["along"][~nothing] / theirs["opacity"][~nothing]
    slopes = (torch.autograd.grad(depth.sum(), planes)[0] for depth in (ours.depth, elsewhere))
    assert relative_error(*slopes) <= SLOPE
