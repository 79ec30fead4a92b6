"""Reduced precision: nothing overflows, and rays stay in single precision."""

from __future__ import annotations

import pytest
import torch

from sat3d.generators import from_official
from sat3d.ops import Camera
from sat3d.ops.modulation import styled_conv2d
from tests.generators.naive_tensors import tensors_of
from tests.generators.released_networks import drawn, eg3d, relative_error, seen_from, stylegan2


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_large_styles_and_weights_do_not_overflow(architecture: str, kind: torch.dtype) -> None:
    config = stylegan2(architecture=architecture)
    tensors = tensors_of(config)
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
        assert relative_error(image, exact) <= limit
    with torch.autocast("cpu", kind):
        image = generator.synthesize(s).image
    assert image.isfinite().all()
    assert relative_error(image, exact) <= limit


def test_rays_are_marched_in_single_precision_whatever_the_layers_compute_in() -> None:
    generator = from_official(eg3d(), tensors_of(eg3d()))
    planes = drawn(1, 3, 32, 9, 7).float()
    s, cameras = generator.styles(drawn(1, 14, 512).float()), Camera.from_label(seen_from([0.5]).float())
    exact = generator.render(planes, s, cameras, neural_resolution=6)
    with torch.autocast("cpu", torch.bfloat16):
        automatic = generator.render(planes, s, cameras, neural_resolution=6)
        density = generator.density(planes, planes.new_zeros(1, 4, 3))[0]
    reduced = generator.render(planes, s.bfloat16(), cameras, neural_resolution=6)
    for out in (automatic, reduced):
        assert torch.equal(out.raw, exact.raw) and torch.equal(out.depth, exact.depth)
        assert relative_error(out.image, exact.image) <= 0.01
    assert torch.equal(density, generator.density(planes, planes.new_zeros(1, 4, 3))[0])


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_weights_that_are_trained_are_demodulated_in_float32(kind: torch.dtype) -> None:
    x, weight = drawn(2, 256, 6, 6).float(), (8 * drawn(4, 256, 3, 3)).float()
    style, bias = (6 * drawn(2, 256)).float(), torch.zeros(4)
    exact = styled_conv2d(x, weight, style, bias)  # frozen
    with torch.autocast("cpu", kind):
        trained = styled_conv2d(x, weight.clone().requires_grad_(), style, bias)
    assert relative_error(trained.detach().float(), exact) <= (0.05 if kind == torch.bfloat16 else 0.01)
