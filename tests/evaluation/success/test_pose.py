import pytest
import torch

from sat3d.data import StyleCodeDataModule
from sat3d.evaluation.success.pose import PoseReader
from sat3d.generators import load_generator, tiny_generator
from sat3d.generators.batches import CodeBatch
from sat3d.perception import load_perceptual

NAME = "toyfaces64"


@pytest.fixture(scope="module")
def codes():
    data = StyleCodeDataModule(NAME, batch="codes", truncation=1.0, yaw=None, pitch=None)
    return {"fit": data.codes("val", range(150)), "new": data.codes("test", range(12))}


@pytest.fixture(scope="module")
def reader(codes):
    return PoseReader(load_perceptual("toyfaces-judge"), load_generator(NAME), codes["fit"])


def test_poses_are_read_off_pictures(reader, codes):
    net, new = load_generator(NAME), codes["new"]
    front, side = (net.synthesize(new.styles, camera=net.cameras.at(yaw, 0.0).expand(12)).image for yaw in (0.0, 0.6))
    assert reader.error < 12
    turned = reader.turned(front, side)
    assert (turned - torch.rad2deg(torch.tensor(0.6))).abs().median() < 12
    assert reader.turned(front, front).max() < 1e-3
    assert reader(front).norm(dim=1).allclose(torch.ones(12, dtype=torch.float64))


def test_what_has_no_pose_or_too_few_codes_is_refused(codes):
    judge, net = load_perceptual("toyfaces-judge"), load_generator(NAME)
    with pytest.raises(ValueError, match="10 codes are too few"):
        PoseReader(judge, net, codes["fit"][:10])
    two = tiny_generator(kind="stylegan2")
    ws = two.map(torch.zeros(40, 16))
    with pytest.raises(ValueError, match="no camera"):
        PoseReader(judge, two, CodeBatch(torch.arange(40), ws[:, 0], ws, two.styles(ws), None))
