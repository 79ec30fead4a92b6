import pytest

from sat3d.data.world import WorldPictures
from sat3d.world import load_world


@pytest.fixture(scope="session")
def world():
    return load_world("heads")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A folder with few small pictures, rendered once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def pictures(cache):
    made = WorldPictures(cache / "world", count=96, seed=3)
    made.render(workers=1, progress=False)
    return made
