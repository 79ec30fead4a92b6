import pytest
import torch

from sat3d.generators import load_generator
from sat3d.inversion import InversionOptions, LossOptions, PoseOptions
from tests.methods.conftest import toys  # noqa: F401


@pytest.fixture(params=["generator", "flat"])
def net(request, toys):  # noqa: F811
    """Return a tiny generator: 3-D, and 2-D."""
    return load_generator(getattr(toys, request.param))


@pytest.fixture
def solid(toys):  # noqa: F811
    """Return the 3-D one."""
    return load_generator(toys.generator)


def options(toys, space="w", steps=8, **others):  # noqa: F811
    loss = LossOptions(perceptual_network=toys.scorer, code=0.0)
    return InversionOptions(space=space, steps=steps, loss=loss, pose=PoseOptions(yaws=3, pitches=2), **others)


def pictures_of(net, count=3, seed=5):
    """Return pictures of a generator's own codes with their cameras."""
    z = torch.randn(count, net.z_dim, generator=torch.Generator().manual_seed(seed))
    camera = (
        None
        if net.cameras is None
        else net.cameras.sample(torch.rand(count, 2, generator=torch.Generator().manual_seed(seed)))
    )
    with torch.no_grad():
        ws = net.map(z)
        return net.synthesize(net.styles(ws), camera=camera).image, ws, camera
