import pytest
import torch

from sat3d.data import CodeBatch, StyleCodeDataModule
from sat3d.generators import load_generator, save_generator, tiny_generator

SMALL = {"num_codes": 16, "num_cameras": 3, "block_size": 4, "batch_size": 4, "epoch_size": 24}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generators")
    for kind in ("eg3d", "stylegan2"):
        save_generator(tiny_generator(kind=kind), folder / f"{kind}.safetensors")
    return {kind: str(folder / f"{kind}.safetensors") for kind in ("eg3d", "stylegan2")}


def batches(data, loader):
    cpu = torch.device("cpu")
    return [data.on_after_batch_transfer(data.transfer_batch_to_device(b, cpu, 0), 0) for b in loader]


def test_pair_is_made_of_the_codes_and_camera_that_it_names(files):
    data = StyleCodeDataModule(files["eg3d"], **SMALL, truncation=0.5)
    generator, pairs = load_generator(files["eg3d"]), data.pairs("train", range(6))
    stream = data.stream("train")
    expected = generator.styles(generator.map(stream.z(pairs.reference_index), truncation=0.5))
    assert torch.allclose(pairs.reference, expected, atol=1e-5)
    assert torch.allclose(pairs.reference_z, stream.z(pairs.reference_index))
    assert torch.equal(pairs.camera.label(), data.camera_bins()[pairs.camera_index].label())
    assert bool(((pairs.u >= 0) & (pairs.u < 1)).all())


def test_samples_do_not_depend_on_the_batch(files):
    data = StyleCodeDataModule(files["eg3d"], **SMALL)
    one, many = data.pairs("val", [5]), data.pairs("val", range(8))
    assert torch.equal(one.source_z[0], many.source_z[5]) and torch.equal(one.u[0], many.u[5])
    assert torch.equal(one.camera.label()[0], many.camera.label()[5])


def test_splits_are_disjoint(files):
    data = StyleCodeDataModule(files["eg3d"], **SMALL)
    z = torch.cat([data.codes(split, range(20)).z for split in ("train", "val", "test")])
    assert len(torch.unique(z[:, 0])) == 60


def test_loader_yields_the_stream(files):
    data = StyleCodeDataModule(files["eg3d"], **SMALL, val_size=6)
    train = batches(data, data.train_dataloader())
    assert torch.equal(torch.cat([b.source for b in train]), data.pairs("train", range(24)).source)
    assert [len(b) for b in batches(data, data.val_dataloader())] == [4, 2]
    codes = StyleCodeDataModule(files["eg3d"], batch="codes", **SMALL)
    first = batches(codes, codes.train_dataloader())[0]
    assert isinstance(first, CodeBatch) and torch.equal(first.z, codes.stream("train").z(range(4)))


def test_two_dimensional_generator_has_no_camera(files):
    data = StyleCodeDataModule(files["stylegan2"], **SMALL)
    assert data.pairs("train", range(4)).camera is None and data.codes("test", range(2)).camera is None


def test_camera_ranges_are_kept_and_filled(files):
    data = StyleCodeDataModule(files["eg3d"], **{**SMALL, "num_cameras": 32}, yaw=(-0.2, 0.6), pitch=(0.0, 0.0))
    position = data.camera_bins().cam2world[:, :3, 3]
    yaw = torch.atan2(position[:, 0], position[:, 2])
    assert float(yaw.min()) >= -0.2001 and float(yaw.max()) <= 0.6001
    assert len(torch.unique(((yaw + 0.2) / 0.1).floor())) == 8  # evenly spread: every tenth of a radian has one


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"seed": -1}, {"num_codes": 10}, {"num_cameras": 0}])
def test_bad_settings_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        StyleCodeDataModule("x", **{**SMALL, **bad})
