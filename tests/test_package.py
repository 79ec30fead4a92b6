"""The wheel, installed as users get it: not editable, away from the source tree, without the network."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sat3d.configs import known_configs
from sat3d.generators import save_generator, tiny_generator
from sat3d.shipped import manifest, register

ROOT = Path(__file__).parents[1]
PARTS = ("sat3d", "checkpoints", "experiments", "pyproject.toml", "hatch_build.py", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the wheel of a copy of the tree, with one small generator more, and install it into an empty folder."""
    work = tmp_path_factory.mktemp("package")
    tree, site = work / "tree", work / "site"
    tree.mkdir()
    for part in filter(Path.exists, (ROOT / part for part in PARTS)):
        copy = shutil.copytree if part.is_dir() else shutil.copy
        copy(part, tree / part.name)
    save_generator(tiny_generator(seed=0), work / "tiny.safetensors")
    record = {"kind": "generator", "command": "none", "seconds": 0, "metrics": {}}
    register("tiny", work / "tiny.safetensors", folder=tree / "checkpoints", **record)
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", work], cwd=tree)
    shutil.rmtree(tree)
    pip = ["uv", "pip"] if shutil.which("uv") else [sys.executable, "-m", "pip"]
    _run([*pip, "install", "--quiet", "--no-deps", "--no-index", "--target", site, *work.glob("*.whl")], cwd=work)
    return site


def _run(command, cwd, path=""):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(path), os.environ["PYTHONPATH"]]))}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_package_loads_a_generator_it_carries(site, tmp_path):
    code = "import sat3d; print(sat3d.__file__); print(sat3d.load_generator('tiny').hash)"
    file, hash_ = _run([sys.executable, "-c", code], tmp_path, site).split()
    assert Path(file).is_relative_to(site)
    assert hash_ == tiny_generator(seed=0).hash


def test_every_checkpoint_of_the_tree_is_carried_whole(site, tmp_path):
    code = "import json; from sat3d.shipped import *; print(json.dumps({n: str(shipped_path(n)) for n in manifest()}))"
    paths = json.loads(_run([sys.executable, "-c", code], tmp_path, site))
    assert paths.keys() == {"tiny", *manifest()}
    assert all(Path(path).is_relative_to(site) for path in paths.values())


def test_experiments_are_found_by_name_away_from_the_tree(site, tmp_path):
    code = "from sat3d.configs import *; print('\\n'.join(str(find_config(name)) for name in known_configs()))"
    found = _run([sys.executable, "-c", code], tmp_path, site).split()
    assert found == [str(site / "sat3d" / name) for name in known_configs()]


@pytest.mark.parametrize("script", ["lightning", "sat3d"])
def test_both_console_scripts_are_the_door(site, tmp_path, script):
    assert _run([site / "bin" / script, "--version"], tmp_path, site) == "sat3d 0.1.0\n"
