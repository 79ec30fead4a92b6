"""Where the cache and released networks are, by the environment."""

from pathlib import Path

import pytest

from sat3d.folders import cache_folder, zoo_folder


@pytest.mark.parametrize(
    "variables, cache, zoo",
    [
        ({}, "~/.cache/sat3d", "~/.cache/sat3d"),
        ({"SAT3D_CACHE": "/a", "SAT3D_ZOO": "~/b"}, "/a", "~/b"),
        ({"SAT3D_CACHE": "~/a"}, "~/a", "~/a"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/sat3d", "/c/sat3d"),
        ({"SAT3D_CACHE": "", "XDG_CACHE_HOME": ""}, "~/.cache/sat3d", "~/.cache/sat3d"),
    ],
)
def test_the_environment_says_where(monkeypatch, variables, cache, zoo):
    for name in ("SAT3D_CACHE", "SAT3D_ZOO", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (cache_folder(), zoo_folder()) == (Path(cache).expanduser(), Path(zoo).expanduser())
