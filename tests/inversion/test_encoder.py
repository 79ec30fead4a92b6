import pytest
import torch
from safetensors.torch import save_file

from sat3d.cli import main
from sat3d.commands.trainer import SatCLI
from sat3d.generators import load_generator, tiny_generator
from sat3d.inversion import EncoderTraining, load_encoder, shipped_encoder
from sat3d.inversion.encoder import Encoder, EncoderConfig
from sat3d.inversion.spaces import CodeStatistics
from sat3d.shipped import manifest
from tests.inversion.conftest import pictures_of


@pytest.fixture
def encoder(net):
    torch.manual_seed(0)
    return Encoder(EncoderConfig.of(net, "plain", (8, 8), 32), CodeStatistics.of(net, 200)).freeze()


def test_an_encoder_comes_back_from_its_file_with_the_generator_that_it_is_for(net, encoder, tmp_path):
    path = encoder.save(tmp_path / "encoder.safetensors")
    found = load_encoder(path, net)
    pictures, _, camera = pictures_of(net, 2)
    ws, angles = found(pictures)
    assert ws.shape == (2, net.num_ws, net.w_dim) and torch.equal(ws[:, 0], ws[:, -1])
    assert torch.allclose(ws, encoder(pictures).ws, atol=1e-2)  # half precision
    assert (angles is None) == (camera is None)
    assert found.config == encoder.config and not found.training


def test_files_that_are_no_encoder_of_the_generator_are_refused(net, encoder, tmp_path):
    path = encoder.save(tmp_path / "encoder.safetensors")
    with pytest.raises(ValueError, match="encoder: made for generator"):
        load_encoder(path, tiny_generator(9))
    with pytest.raises(FileNotFoundError, match="encoder file"):
        load_encoder(tmp_path / "none.safetensors", net)
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(ValueError, match="holds none"):
        load_encoder(other, net)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="damaged or truncated"):
        load_encoder(damaged, net)
    assert shipped_encoder(net) is None


def test_an_encoder_learns_what_it_is_taught(tmp_path):
    figures = []
    for steps in (1, 40):
        words = ["--model=sat3d.inversion.EncoderTraining", "--model.generator=toyfaces64",
                 "--model.trunk=plain", "--model.widths=[8,16]", "--model.picture_from=1.0",
                 "--data=sat3d.data.StyleCodeDataModule", "--data.generator=toyfaces64", "--data.batch=codes",
                 "--data.truncation=1.0", "--data.yaw=null", "--data.pitch=null", "--data.batch_size=16",
                 "--data.epoch_size=1600", "--data.val_size=32", "--trainer.enable_progress_bar=false",
                 "--trainer.check_val_every_n_epoch=null", f"--trainer.val_check_interval={steps}",
                 "--trainer.num_sanity_val_steps=0", "--trainer.accelerator=cpu", "--model.lr=0.005",
                 f"--trainer.max_steps={steps}", "--run.dir", str(tmp_path / str(steps))]  # fmt: skip
        main(["fit", *words])
        rows = (tmp_path / str(steps) / "metrics.csv").read_text().splitlines()
        head = rows[0].split(",")
        last = next(row.split(",") for row in reversed(rows) if row.split(",")[head.index("val/psnr")])
        figures.append({name: float(last[head.index(f"val/{name}")]) for name in ("psnr", "w_error", "pose_degrees")})
    assert figures[1]["w_error"] < 0.99 * figures[0]["w_error"]
    assert figures[1]["pose_degrees"] < 0.6 * figures[0]["pose_degrees"]
    encoder = load_encoder(tmp_path / "40" / "encoder.safetensors", load_generator("toyfaces64"))
    assert encoder.config.widths == (8, 16)


def test_shares_of_steps_are_between_0_and_1(toys):
    with pytest.raises(ValueError, match=r"picture_from=1\.5"):
        EncoderTraining(toys.generator, picture_from=1.5)


def test_the_shipped_encoder_is_as_good_as_its_card_says(tmp_path):
    words = ["--config", "experiments/inversion/toyfaces64-encoder.yaml", "--data.init_args.test_size=64"]
    quiet = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--run.dir", str(tmp_path)]
    found = {k: float(v) for k, v in SatCLI.open(["test", *words, *quiet]).trainer.callback_metrics.items()}
    card = manifest()["toyfaces64-encoder"]["metrics"]
    assert found["test/psnr"] == pytest.approx(card["psnr"], abs=1.0) and found["test/psnr"] > 24
    assert found["test/pose_degrees"] < 3 and found["test/w_error"] == pytest.approx(card["w_error"], abs=0.1)


def test_changes_of_a_training_picture_belong_to_its_number(toys):
    module = EncoderTraining(toys.generator, trunk="residual", widths=(4, 8))
    pictures, _, _ = pictures_of(module.generator, 3)
    index = torch.tensor([5, 9, 2])
    together = module._changed(pictures, index)
    assert torch.equal(together[1:2], module._changed(pictures[1:2], index[1:2]))
    assert not torch.equal(together[:1], module._changed(pictures[:1], index[1:2]))
    assert 0 < (together - pictures).abs().mean() < 0.1
