"""The training of the embedded generator: its loss and figures against formulas, and a run through the door."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning import Trainer
from torch.nn import functional as F

from sat3d.cli import main
from sat3d.generators import Rendering, build_generator, load_generator, save_generator, tiny_generator
from sat3d.generators.renderer import Marched
from sat3d.pretraining.generator import GeneratorPretraining, continued
from sat3d.pretraining.generator_figures import GeneratorFigures, linear_probe
from sat3d.pretraining.generator_settings import ToyGeneratorConfig
from sat3d.pretraining.picture_loss import depth_spread, gradient_difference
from sat3d.world import load_world


def marched(weights: torch.Tensor, depths: torch.Tensor) -> Marched:
    opacity = weights.sum(-1, keepdim=True)
    return Marched(torch.zeros(*weights.shape[:2], 3), opacity, opacity, weights, depths)


def test_depth_spread_measures_matter_away_from_the_surface_and_off_the_head() -> None:
    depths = torch.tensor([2.2, 2.4, 2.6, 2.8]).expand(1, 4, 4)
    weights = torch.tensor([[0.5, 0.25, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).unsqueeze(0)
    true = torch.tensor([2.5, 2.5, 2.5, torch.inf]).reshape(1, 2, 2)
    # middles 2.3, 2.5, 2.7; then half of what the opacity misses or has too much
    expected = [0.5 * 0.2 + 0.5 * 0.25, 0.0, 0.5, 0.5]
    assert float(depth_spread(marched(weights, depths), true, 1)) == pytest.approx(sum(expected) / 4, abs=1e-6)
    # one ray for the four pixels: three quarters of it show a head at 2.5
    one = marched(torch.tensor([[[0.0, 1.0, 0.0]]]), depths[:, :1])
    assert float(depth_spread(one, true, 2)) == pytest.approx(0.5 * 0.25, abs=1e-6)


def test_gradient_difference_is_that_of_neighbours() -> None:
    difference = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    pixels = torch.rand(2, 1, 5, 4, generator=torch.Generator().manual_seed(1))
    across, down = [], []
    for b in range(2):
        for c in range(3):
            for y in range(5):
                for x in range(4):
                    here = difference[b, c, y, x]
                    if x:
                        across.append((here - difference[b, c, y, x - 1]).abs() * pixels[b, 0, y, x])
                    if y:
                        down.append((here - difference[b, c, y - 1, x]).abs() * pixels[b, 0, y, x])
    expected = torch.stack(across).mean() + torch.stack(down).mean()
    torch.testing.assert_close(gradient_difference(difference, pixels), expected)


def test_figures_pool_the_squared_error_and_see_the_depth() -> None:
    generator = torch.Generator().manual_seed(0)
    figures = GeneratorFigures(("background", "skin"), reach=1)
    errors, heads = [], []
    for _ in range(2):
        rgb = torch.rand(3, 3, 8, 8, generator=generator) * 2 - 1
        segmentation = torch.zeros(3, 8, 8, dtype=torch.uint8)
        segmentation[:, 3:5, 3:5] = 1
        depth = torch.where(segmentation > 0, torch.rand(3, 8, 8, generator=generator) + 2, torch.inf)
        image = rgb + 0.1 * torch.randn(rgb.shape, generator=generator)
        batch = SimpleNamespace(rgb=rgb, segmentation=segmentation, depth=depth)
        seen = torch.where(depth.isfinite(), depth, 3.0).unsqueeze(1) * 2 + 1
        figures.update(Rendering(image, depth=seen), batch)  # type: ignore[arg-type]
        errors.append((image - rgb).square())
        heads.append((image - rgb).square()[:, :, 2:6, 2:6])
    measured = figures.compute()
    assert measured["psnr"] == pytest.approx(float(10 * torch.log10(4 / torch.cat(errors).mean())), abs=1e-3)
    assert measured["psnr_object"] == pytest.approx(float(10 * torch.log10(4 / torch.cat(heads).mean())), abs=1e-3)
    assert measured["depth_correlation"] == pytest.approx(1.0, abs=1e-4)


def test_the_probe_reads_linear_codes_and_not_scrambled_ones() -> None:
    world = load_world("heads")

    class Linear(torch.nn.Module):
        z_dim, device = world.z_dim, torch.device("cpu")

        def map(self, z: torch.Tensor) -> torch.Tensor:
            scores = torch.special.ndtri(world.coordinates(z).clamp(1e-6, 1 - 1e-6)).float()
            return scores.unsqueeze(1)

        def styles(self, ws: torch.Tensor) -> torch.Tensor:
            return F.one_hot((ws[:, 0].abs() * 1e4).long() % 7, 7).flatten(1).float()  # tells nothing

    measured = linear_probe(Linear(), world, count=2048)  # type: ignore[arg-type]
    assert measured["probe_w"] > 0.99
    assert abs(measured["probe_s"]) < 0.2
    assert 0.3 < measured["probe_z"] <= 0.6


@pytest.mark.parametrize("name", ["animals", "cars"])
def test_a_generator_of_another_world_gives_all_weights_but_its_mapping_networks(tmp_path: Path, name: str) -> None:
    heads, world = load_world("heads"), load_world(name)
    other = build_generator({**tiny_generator(0).config, "z_dim": heads.z_dim})
    other.cameras = heads.domain.cameras
    save_generator(other, tmp_path / "heads.safetensors")
    sizes = ToyGeneratorConfig(mapping_layers=7, mapping_width=130)
    made = continued(str(tmp_path / "heads.safetensors"), sizes, world)
    before, after = other.state_dict(), made.state_dict()
    mapping = {key for key in after if ".mapping." in key}
    assert after.keys() - mapping == {key for key in before if ".mapping." not in key}
    assert all(torch.equal(after[key], before[key]) for key in after.keys() - mapping)
    assert after["backbone.mapping.fc6.weight"].shape == (other.w_dim, 130)
    assert (made.z_dim, made.cameras) == (world.z_dim, world.domain.cameras)
    assert (made.config["rendering"]["ray_start"], made.config["rendering"]["ray_end"]) == world.domain.depths
    assert made.training and all(p.requires_grad for p in made.parameters())
    depth = made.synthesize(made.styles(made.map(world.sample(0, range(2))[0])), world.domain.cameras.frontal()).depth
    assert depth is not None and world.domain.depths[0] < depth.min() and depth.max() < world.domain.depths[1]


def test_a_refined_generator_first_gives_the_attributes_its_own_w(tmp_path: Path) -> None:
    world = load_world("cars")
    own, foreign = tmp_path / "toycars-tiny.safetensors", tmp_path / "toyfaces-tiny.safetensors"
    for file in (own, foreign):
        torch.manual_seed(0)  # of weights that the recovery is asked to follow
        generator = build_generator({**tiny_generator(0).config, "z_dim": world.z_dim})
        generator.name = file.stem
        save_generator(generator, file)
    assert GeneratorPretraining(init=str(foreign), world="cars").recovered
    module = GeneratorPretraining(init=str(own), world="cars", mapping_batch=64, recovery_steps=200)
    module.trainer = Trainer(barebones=True)
    z = torch.randn(500, world.z_dim, generator=torch.Generator().manual_seed(1))
    features, given = world.features(world.coordinates(z)), load_generator(str(own)).map(z)[:, 0]

    def difference() -> float:
        with torch.no_grad():
            return float((module.from_attributes(features) - given).square().mean())

    before = difference()
    assert not module.recovered
    module.on_fit_start()
    assert module.recovered and difference() < 0.5 * before
    average = module.average_from_attributes.state_dict()
    assert all(torch.equal(t, average[name]) for name, t in module.from_attributes.state_dict().items())


def test_a_plane_generator_is_not_gone_on_with(tmp_path: Path) -> None:
    save_generator(tiny_generator(0, "stylegan2"), tmp_path / "flat.safetensors")
    with pytest.raises(ValueError, match=r"flat.safetensors' is no EG3D generator"):
        continued(str(tmp_path / "flat.safetensors"), ToyGeneratorConfig(), load_world("cars"))


def test_a_run_through_the_door_learns_exports_and_is_graded_again(tmp_path: Path) -> None:
    small = {
        "w_dim": 16, "mapping_layers": 5, "mapping_width": 128, "channel_base": 128, "channel_max": 8,
        "plane_resolution": 16, "plane_channels": 4, "decoder_hidden": 8, "features": 4, "samples": 8,
        "neural_resolution": 32, "superresolution_channels": 4,
    }  # fmt: skip
    arguments = [
        "--config", "experiments/pretraining/generator.yaml",
        "--model.init_args.config", json.dumps(small),
        "--model.init_args.name", "small",
        "--model.init_args.mapping_steps", "20",
        "--model.init_args.mapping_batch", "64",
        "--model.init_args.export.folder", str(tmp_path / "checkpoints"),
        "--data.init_args.root", str(tmp_path / "world"),
        "--data.init_args.count", "64",
        "--data.init_args.val_count", "8",
        "--data.init_args.test_count", "8",
        "--trainer.enable_progress_bar", "false",
        "--run.root", str(tmp_path / "runs"),
    ]  # fmt: skip
    fit = ["--trainer.max_steps", "30", "--trainer.val_check_interval", "15", "--trainer.log_every_n_steps", "1"]
    main(["fit", *arguments, *fit])
    with next((tmp_path / "runs").rglob("metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(r["train/loss"]) for r in rows if r.get("train/loss")]
    assert len(losses) == 30 and sum(losses[-5:]) < 0.8 * sum(losses[:5])
    generator = load_generator(tmp_path / "checkpoints" / "small.safetensors")
    assert generator.cameras is not None and float(generator.state_dict()["backbone.mapping.w_avg"].abs().sum()) > 0
    entry = json.loads((tmp_path / "checkpoints" / "manifest.json").read_text())["small"]
    assert {"psnr", "psnr_object", "depth_correlation", "probe_z", "probe_w", "probe_s"} <= entry["metrics"].keys()
    main(["test", *arguments])
    graded = [
        r for f in (tmp_path / "runs").rglob("metrics.csv") for r in csv.DictReader(f.open()) if r.get("test/psnr")
    ]
    assert len(graded) == 1 and 0 < float(graded[0]["test/psnr"]) < 30
