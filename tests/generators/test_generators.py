"""What every generator promises: a named style space, frozen weights, views of one code, files that survive."""

import math
from pathlib import Path

import pytest
import torch

from sat3d.generators import CodeStream, Generator, build_generator, load_generator, save_generator, tiny_generator
from sat3d.generators.eg3d import EG3D, EG3DOptions
from sat3d.generators.layers import SynthesisBlock
from sat3d.generators.sampling import TOY_CAMERAS, CameraDistribution
from sat3d.generators.stylegan2 import StyleGAN2Options, SynthesisOptions


@pytest.fixture(scope="module")
def head() -> EG3D:
    generator = tiny_generator(0)
    assert isinstance(generator, EG3D)
    return generator


def codes(generator: Generator, count: int, seed: int = 0) -> torch.Tensor:
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    return generator.styles(generator.map(z))


def layer_sizes(options: SynthesisOptions, resolution: int) -> tuple[int, int]:
    """Count style channels by the papers' rule: a layer's style has its input's size."""
    conv, torgb = options.channels(4), options.channels(4)
    for i in range(3, int(math.log2(resolution)) + 1):
        conv += options.channels(2 ** (i - 1)) + options.channels(2**i)
        torgb += options.channels(2**i)
    return conv, torgb


def test_style_sizes_are_the_papers() -> None:
    # StyleSpace: 9088 channels at 1024 px, of which 6048 in convolutions; EG3D's backbone: 8704, 5760
    assert layer_sizes(StyleGAN2Options().synthesis, 1024) == (6048, 3040)
    assert layer_sizes(EG3DOptions().backbone, 256) == (5760, 2944)
    with torch.device("meta"):
        generator = EG3D(EG3DOptions())
    space = generator.style_space
    assert space.size == 9760
    assert int(space.mask(("conv",), ("backbone",)).sum()) == 5760
    assert int(space.mask(("torgb",), ("backbone",)).sum()) == 2944
    assert int(space.mask(("conv",), ("superresolution",)).sum()) == 672


def test_names_and_flat_indices_are_inverse(head: EG3D) -> None:
    space = head.style_space
    for flat in (0, 7, 8, space.size - 1):
        assert space.flat(*space.locate(flat)) == flat
    assert torch.cat(space.split(torch.arange(space.size).unsqueeze(0)), dim=1).equal(torch.arange(space.size)[None])
    with pytest.raises(KeyError, match=r"backbone\.synthesis\.b4\.conv1"):
        space.layer("b4.conv1")
    with pytest.raises(IndexError):
        space.locate(space.size)


def test_a_style_channel_acts_in_its_own_layer_only(head: EG3D) -> None:
    s = codes(head, 1)
    camera = head.cameras.frontal()
    name = "backbone.synthesis.b16.conv0"
    wanted = ("backbone.synthesis.b8.conv1", "backbone.synthesis.b16.conv0")
    changed = s.clone()
    changed[:, head.style_space.flat(name, 2)] += 1
    before = head.synthesize(s, camera, features=wanted).features
    after = head.synthesize(changed, camera, features=wanted).features
    assert torch.equal(before[wanted[0]], after[wanted[0]])
    assert not torch.equal(before[wanted[1]], after[wanted[1]])


def test_what_the_rays_gather_can_be_looked_at(head: EG3D) -> None:
    s, camera = codes(head, 2), head.cameras.frontal()
    planes, origins, directions = head.planes(s), *camera.expand(2).rays(16)
    marched = head.renderer(planes, head.decoder, origins, directions).features
    for whole in (True, False):
        out = head.synthesize(s, camera, features=("renderer",), superresolution=whole)
        assert list(out.features) == ["renderer"]
        torch.testing.assert_close(out.features["renderer"].flatten(2).mT, marched)
        assert torch.equal(out.features["renderer"][:, :3], out.raw)


def test_one_code_and_many_cameras_give_what_each_camera_gives_alone(head: EG3D) -> None:
    s = codes(head, 1)
    cameras = head.cameras.orbit(3)
    together = head.render(head.planes(s), s, cameras)
    for i in range(3):
        alone = head.synthesize(s, cameras[i])
        torch.testing.assert_close(together.image[i : i + 1], alone.image, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.opacity[i : i + 1], alone.opacity, rtol=1e-4, atol=1e-5)


def test_a_3d_generator_always_has_cameras(tmp_path: Path) -> None:
    generator = build_generator(tiny_generator(0).config)
    assert generator.cameras == CameraDistribution() and tiny_generator(0, "stylegan2").cameras is None
    generator.cameras = None  # as in files that were written without
    save_generator(generator, tmp_path / "g.safetensors")
    assert load_generator(tmp_path / "g.safetensors").cameras == CameraDistribution()


def test_a_memory_budget_changes_nothing(head: EG3D) -> None:
    s = codes(head, 2)
    cameras = head.cameras.orbit(2)
    config = {**head.config, "rendering": {**head.config["rendering"], "max_samples": 300}}
    small = build_generator(config)
    small.load_state_dict(head.state_dict())
    with torch.no_grad():
        whole, parts = head.synthesize(s, cameras), small.synthesize(s, cameras)
    torch.testing.assert_close(parts.image, whole.image, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(parts.depth, whole.depth, rtol=1e-5, atol=1e-5)


def test_random_rays_and_noise_repeat_with_their_generator(head: EG3D) -> None:
    s, camera = codes(head, 1), head.cameras.frontal()

    def picture(seed: int) -> torch.Tensor:
        return head.synthesize(s, camera, jitter=torch.Generator().manual_seed(seed)).image

    assert torch.equal(picture(1), picture(1))
    assert not torch.equal(picture(1), picture(2))


def test_a_frozen_generator_stays_frozen(head: EG3D) -> None:
    head.train()
    assert not any(m.training for m in head.modules())
    s = codes(head, 1).requires_grad_()
    head.synthesize(s, head.cameras.frontal()).image.mean().backward()
    assert s.grad is not None and float(s.grad.abs().sum()) > 0
    assert all(p.grad is None for p in head.parameters())


def test_files_survive_and_share_one_instance(head: EG3D, tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    save_generator(head, path)
    loaded = load_generator(path)
    assert loaded is load_generator(str(path))
    assert loaded.hash == head.hash
    assert loaded.cameras == head.cameras
    private = load_generator(path, trainable=True)
    assert private is not loaded and all(p.requires_grad for p in private.parameters())
    assert [p.name for p in tmp_path.iterdir()] == ["g.safetensors"]


def test_the_hash_sees_weights_and_configuration(head: EG3D) -> None:
    other = build_generator(head.config)
    other.load_state_dict(head.state_dict())
    assert other.hash == head.hash
    other.decoder.net[0].bias.data[0] += 1e-3
    assert other.hash != head.hash
    warped = build_generator({**head.config, "density_gain": 11.0})
    warped.load_state_dict(head.state_dict())
    assert warped.hash != head.hash


def test_bad_input_is_named(head: EG3D, tmp_path: Path) -> None:
    flat = tiny_generator(0, "stylegan2")
    with pytest.raises(ValueError, match="2-D"):
        flat.synthesize(codes(flat, 1), TOY_CAMERAS.frontal())
    with pytest.raises(ValueError, match="give a camera"):
        head.synthesize(codes(head, 1))
    with pytest.raises(ValueError, match="one camera"):
        head.synthesize(codes(head, 3), head.cameras.orbit(2))
    with pytest.raises(ValueError, match=r"features=\['nose'\].*, renderer"):
        head.synthesize(codes(head, 1), head.cameras.frontal(), features=("nose",))
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_generator(tmp_path / "missing.safetensors")
    torn = tmp_path / "torn.safetensors"
    save_generator(head, torn)
    torn.write_bytes(torn.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="damaged"):
        load_generator(torn)


def test_sample_i_depends_on_the_seed_and_i_alone() -> None:
    stream = CodeStream(5, 8, TOY_CAMERAS)
    together = stream.z([0, 1, 2, 10**9])
    assert torch.equal(together[3:], stream.z([10**9]))
    assert torch.equal(stream.camera([2, 1]).cam2world[1], stream.camera([1]).cam2world[0])
    others = [CodeStream(6, 8, TOY_CAMERAS), CodeStream(5, 8, TOY_CAMERAS, "val")]
    assert all(
        not torch.isclose(o.z(range(64))[:, :, None], stream.z(range(64))[:, None]).all(-1).any() for o in others
    )
    z = stream.z(range(4000))
    assert z.mean().abs() < 0.02 and (z.std() - 1).abs() < 0.02
    u = stream.uniform(range(4000), 2)
    assert float(u.min()) >= 0 and float(u.max()) < 1 and (u.mean(0) - 0.5).abs().max() < 0.03


def test_a_hook_keeps_the_activations_that_it_saw() -> None:
    block = SynthesisBlock(8, 128, 4, 32, 3, is_last=True)
    block.requires_grad_(False)
    x, seen = torch.randn(2, 8, 16, 16), []
    block.conv0.register_forward_hook(lambda layer, args, y: seen.extend([y, y.clone()]))
    for samples in (1, 2):  # one sample and several are scaled in different ways
        seen.clear()
        with torch.no_grad():
            block(x[:samples], None, iter([torch.ones(samples, 8), *[torch.ones(samples, 128)] * 2]))
        assert torch.equal(*seen)
