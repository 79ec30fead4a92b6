"""Gradient maps against a loop of backward passes in double precision."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from sat3d.generators import Generator, tiny_generator
from sat3d.generators.eg3d import EG3D, SuperResolutionOptions
from sat3d.generators.renderer import RenderingOptions
from sat3d.generators.sampling import TOY_CAMERAS
from sat3d.generators.stylegan2 import StyleGAN2, StyleGAN2Options, SynthesisOptions
from sat3d.methods.stylespace import GradientMaps, closed_form
from sat3d.ops.camera import Camera

EXACT = 1e-10
SMALL = SynthesisOptions(channel_base=64, channel_max=4)
CAMERA = TOY_CAMERAS.orbit(5)[1].to(torch.double)


def loop(generator: Generator, s: torch.Tensor, grid: int, camera: Camera | None, **how: Any) -> torch.Tensor:
    s = s.detach().requires_grad_()
    pooled = F.adaptive_avg_pool2d(generator.synthesize(s, camera, **how).image, grid)[0]
    rows = [torch.autograd.grad(cell, s, retain_graph=True)[0][0] for cell in pooled.flatten()]
    return torch.stack(rows).reshape(*pooled.shape, -1).abs().mean(0).permute(2, 0, 1)


def worst(maps: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest relative L2 error of a channel's map."""
    assert maps.shape == expected.shape
    size = expected.flatten(1).norm(dim=1)
    assert bool((size > 0).all())
    return float(((maps.double() - expected).flatten(1).norm(dim=1) / size).max())


def lively(generator: Generator) -> Generator:
    """Give random biases, noise strengths and positions, so that nothing is left out unseen; double precision."""
    torch.manual_seed(1)
    for name, p in generator.named_parameters():
        if name.endswith("noise_strength"):
            p.data.fill_(0.3)
        elif "mapping" not in name and (name.endswith(("position", "bias"))):
            p.data.add_(torch.randn_like(p) * 0.3)
    return generator.freeze().double()


def code(generator: Generator, seed: int = 0) -> torch.Tensor:
    z = torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return generator.styles(generator.map(z))


def flat(resolution: int = 16, **changes: Any) -> Generator:
    torch.manual_seed(0)
    options = StyleGAN2Options(
        z_dim=8, w_dim=8, resolution=resolution, mapping={"num_layers": 1}, synthesis=replace(SMALL, **changes)
    )
    return lively(StyleGAN2(options))


def solid(**changes: Any) -> Generator:
    torch.manual_seed(0)
    tiny = tiny_generator()
    assert isinstance(tiny, EG3D)
    return lively(EG3D(replace(tiny.options, neural_resolution=8, plane_resolution=8, **changes)))


SUPER = SuperResolutionOptions(8, (4, 3), (True, True))
FLAT = {
    "skip": {},
    "skip clamped": {"conv_clamp": 0.7},
    "resnet clamped": {"architecture": "resnet", "conv_clamp": 0.7},
    "orig": {"architecture": "orig"},
    "positions": {"position": True},
    "no noise": {"use_noise": False},
    "odd filter": {"resample_filter": (1.0, 2.0, 1.0)},
    "odd filter resnet": {"resample_filter": (1.0, 2.0, 1.0), "architecture": "resnet"},
    "short filter": {"resample_filter": (1.0, 2.0)},
}


@pytest.mark.parametrize("name", FLAT)
def test_windows_equal_the_loop(name: str) -> None:
    generator, grid = flat(**FLAT[name]), 4
    s = code(generator)
    assert worst(GradientMaps(generator, grid)(s), loop(generator, s, grid, None)) < EXACT


@pytest.mark.parametrize("grid", [2, 8])
def test_windows_that_move_by_fractions_of_a_pixel_or_by_many(grid: int) -> None:
    generator = flat(64, channel_base=128) if grid == 2 else flat(8)
    s = code(generator)
    assert worst(GradientMaps(generator, grid)(s), loop(generator, s, grid, None)) < EXACT


def test_the_memory_budget_changes_nothing() -> None:
    generator = flat()
    s = code(generator)
    whole, few = GradientMaps(generator, 8)(s), GradientMaps(generator, 8, max_bytes=20_000)(s)
    torch.testing.assert_close(whole, few, rtol=1e-12, atol=1e-14)


def test_noise_is_the_pictures() -> None:
    generator = flat()
    s = code(generator)
    maps = [GradientMaps(generator, 4, noise=noise)(s) for noise in ("const", "none")]
    assert worst(maps[1], loop(generator, s, 4, None, noise="none")) < EXACT
    assert worst(maps[0], maps[1]) > 1e-3
    with pytest.raises(ValueError, match="random"):
        GradientMaps(generator, 4, noise="random")


SOLID: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({"superresolution": SUPER, "resolution": 32}, {}),
    "clamped, noise": (
        {
            "superresolution": replace(SUPER, clamp=0.6, noise="const"),
            "resolution": 32,
            "backbone": replace(SMALL, conv_clamp=0.7, position=True),
        },
        {},
    ),
    "first block keeps the size": ({"superresolution": replace(SUPER, up=(False, True)), "resolution": 16}, {}),
    "enlarged": ({"superresolution": SUPER, "resolution": 32}, {"neural_resolution": 6}),
    "reduced": ({"superresolution": SUPER, "resolution": 32}, {"neural_resolution": 11}),
    "reduced without filter": (
        {"superresolution": replace(SUPER, antialias=False), "resolution": 32},
        {"neural_resolution": 11},
    ),
    "importance": (
        {
            "superresolution": SUPER,
            "resolution": 32,
            "rendering": RenderingOptions("auto", "auto", 6, 5, white_back=True),
        },
        {},
    ),
    "no super-resolution": ({"superresolution": None, "resolution": 8}, {}),
    "resnet backbone": (
        {"superresolution": SUPER, "resolution": 32, "backbone": replace(SMALL, architecture="resnet")},
        {},
    ),
}


@pytest.mark.parametrize("name", SOLID)
def test_planes_forwards_and_backwards_equal_the_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, how = SOLID[name]
    generator = solid(**changes)
    s = code(generator)
    expected = loop(generator, s, 4, CAMERA, **how)
    for forwards in (True, False):
        monkeypatch.setattr(closed_form._Walk, "_tangents_are_fewer", lambda self, blocks, f=forwards: f)
        for budget in (2**28, 2**16):
            assert worst(GradientMaps(generator, 4, max_bytes=budget, **how)(s, CAMERA), expected) < EXACT


def test_the_cheaper_way_through_the_planes_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, ways = solid(superresolution=SUPER, resolution=32), []
    for name in ("_push_channels", "_pull_planes"):
        monkeypatch.setattr(closed_form._Walk, name, lambda self, *_, name=name: ways.append(name))
    s = code(generator)
    few = torch.zeros(s.shape[1], dtype=torch.bool)
    few[:2] = True
    GradientMaps(generator, 8, few)(s, CAMERA)
    GradientMaps(generator, 2)(s, CAMERA)
    assert ways == ["_push_channels", "_pull_planes"]


@pytest.mark.parametrize("kind", ["stylegan2", "eg3d"])
@pytest.mark.parametrize("closed", [True, False])
def test_only_wanted_channels_come_back(kind: str, closed: bool) -> None:
    generator = flat() if kind == "stylegan2" else solid(superresolution=SUPER, resolution=32)
    s, camera = code(generator), None if kind == "stylegan2" else CAMERA
    expected, size = loop(generator, s, 2, camera), s.shape[1]
    for wanted in ([9, 14], [size - 7], [0], []):
        mask = torch.zeros(size, dtype=torch.bool)
        mask[wanted] = True
        maps = GradientMaps(generator, 2, mask, closed_form=closed)(s, camera)
        torch.testing.assert_close(maps, expected[wanted], rtol=1e-8, atol=1e-12)


def test_shallow_layers_are_not_visited_when_deep_ones_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, visited = flat(), set()
    monkeypatch.setattr(
        closed_form._Walk, "_keeper", lambda self, *_: lambda layer, g: visited.add(self.slices[layer].start)
    )
    layer = generator.style_space.layer("synthesis.b16.conv0")
    GradientMaps(generator, 8, torch.arange(generator.style_space.size) >= layer.start)(code(generator))
    assert min(visited) == layer.start


def test_single_precision_keeps_to_the_double_loop() -> None:
    generator = flat()
    s = code(generator)
    expected = loop(generator, s, 8, None)
    assert worst(GradientMaps(generator.float(), 8)(s.float()), expected) < 3e-6


class Unknown(Generator):
    """A generator of which only the interface is known."""

    def __init__(self, inner: Generator) -> None:
        super().__init__()
        self.inner = inner

    @property
    def is_3d(self) -> bool:
        return self.inner.is_3d

    @property
    def style_space(self) -> Any:
        return self.inner.style_space

    def synthesize(self, s: torch.Tensor, camera: Camera | None = None, **how: Any) -> Any:
        return self.inner.synthesize(s, camera, **how)


@pytest.mark.parametrize("budget", [2**28, 1])
def test_any_generator_has_maps(budget: int) -> None:
    for inner, camera in ((flat(8), None), (solid(superresolution=None, resolution=8), CAMERA)):
        s = code(inner)
        maps = GradientMaps(Unknown(inner), 2, max_bytes=budget)(s, camera)
        assert worst(maps, loop(inner, s, 2, camera)) < EXACT


def test_grids_that_do_not_fit_are_refused() -> None:
    for closed in (True, False):
        for grid in (3, 32):
            generator = flat(8)
            with pytest.raises(ValueError, match="equal cells"):
                GradientMaps(generator, grid, closed_form=closed)(code(generator))
    with pytest.raises(ValueError, match="mask"):
        GradientMaps(generator, 4, torch.ones(3))


def test_a_stream_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, calls = flat(8), []
    codes = [(i, code(generator, i), None) for i in range(4)]
    expected = dict(GradientMaps(generator, 4).stream(codes, quiet=True))

    original = GradientMaps.__call__
    monkeypatch.setattr(GradientMaps, "__call__", lambda self, *args: calls.append(1) or original(self, *args))
    stopped = GradientMaps(generator, 4).stream(codes, tmp_path, quiet=True)
    next(stopped), next(stopped)
    stopped.close()
    (tmp_path / "00000002.part").write_bytes(b"half a file")
    found = dict(GradientMaps(generator, 4).stream(codes, tmp_path, quiet=True))
    assert len(calls) == 4
    assert all(found[i].equal(expected[i]) for i in expected)


@pytest.mark.parametrize("change", ["code", "grid", "channels", "generator"])
def test_what_is_kept_of_something_else_is_computed_anew(change: str, tmp_path: Path) -> None:
    generator = flat(8)
    s, grid, mask = code(generator), 4, torch.ones(generator.style_space.size)
    next(GradientMaps(generator, grid, mask).stream([(0, s, None)], tmp_path, quiet=True))
    if change == "code":
        s = s + 0.1
    elif change == "grid":
        grid = 2
    elif change == "channels":
        mask[0] = 0
    else:
        generator = flat(8, use_noise=False)
    engine = GradientMaps(generator, grid, mask)
    (_, maps), *_ = engine.stream([(0, s, None)], tmp_path, quiet=True)
    assert maps.equal(engine(s))
