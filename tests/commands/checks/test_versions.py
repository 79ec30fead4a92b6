"""Versions, against metadata written by hand: nothing else is on the path."""

import sys
import tomllib
from pathlib import Path

import pytest

from sat3d.commands.checks import requirements, versions

ROOT = Path(__file__).parents[3]
OURS = [
    "torch>=2.6",
    "torchvision>=0.21",
    "pillow>=10",
    "numba>=0.61; extra == 'world'",
    "wandb>=0.19; extra == 'wandb'",
]


@pytest.fixture
def site(monkeypatch, tmp_path):
    """Make a folder of installed packages; return what installs into it."""

    def install(name, version, requires=(), extras=()):
        folder = tmp_path / f"{name.replace('-', '_')}-{version or '0'}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", *([f"Version: {version}"] if version else [])]
        lines += [f"Requires-Dist: {each}" for each in requires] + [f"Provides-Extra: {each}" for each in extras]
        lines += ["Requires-Python: >=3.11"] * (name == "sat3d")
        (folder / "METADATA").write_text("\n".join(lines) + "\n")

    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(versions, "source_tree", lambda: None)
    install("sat3d", "0.1.0", OURS, ("world", "wandb"))
    return install


def found():
    return {each.name: each for each in versions.check()}


def test_what_fits_is_told_with_its_version(site):
    for name, version in (
        ("torch", "2.6.0+cu126"),
        ("torchvision", "0.21.0"),
        ("pillow", "11.0"),
        ("numba", "0.62.0rc1"),
    ):
        site(name, version)
    site("wandb", "0.19.1")
    told = found()
    assert {each.state for each in told.values()} == {"ok"}
    assert told["needed"].told == "3 of 3: torch 2.6.0+cu126, torchvision 0.21.0, pillow 11.0"
    assert told["extras"].told == "wandb, world: numba 0.62.0rc1, wandb 0.19.1"


def test_what_is_too_old_or_missing_is_a_problem_with_one_command_for_all(site):
    site("torch", "2.5.1")
    site("pillow", "")
    told = found()
    assert told["torch"].told == "torch 2.5.1 does not fit torch>=2.6"
    assert told["torchvision"].told == "torchvision is missing; torchvision>=0.21 is needed"
    assert told["pillow"].told == "pillow is half installed: its version cannot be read"
    assert {told[name].state for name in ("torch", "torchvision", "pillow")} == {"problem"}
    commands = {told[name].advice for name in ("torch", "torchvision", "pillow")}
    (command,) = commands
    assert command.endswith("install 'torch>=2.6' 'torchvision>=0.21' 'pillow>=10'")
    assert told["needed"].told.startswith("0 of 3")


def test_extras_that_are_missing_say_what_they_give_and_old_ones_warn(site):
    for name, version in (("torch", "2.6"), ("torchvision", "0.21"), ("pillow", "11"), ("numba", "0.60.0")):
        site(name, version)
    told = found()
    assert told["world"].state == "warning" and told["world"].told.startswith(
        "numba 0.60.0 does not fit numba>=0.61; for"
    )
    assert told["wandb"].state == "note" and "Weights & Biases" in told["wandb"].told
    assert told["wandb"].advice.endswith("install 'wandb>=0.19'")
    assert "extras" not in told


def test_packages_made_for_another_version_of_one_another_are_told(site):
    for name, version in (("torch", "2.7.0+cpu"), ("pillow", "11"), ("numba", "0.61"), ("wandb", "0.19")):
        site(name, version)
    site("torchvision", "0.21.0+cpu", ["torch==2.6.0", "numpy", "scipy; extra == 'scipy'"], ("scipy",))
    told = found()["torchvision"]
    assert told.state == "warning"
    assert told.told == "torchvision 0.21.0+cpu is made for torch==2.6.0, and 2.7.0+cpu is installed"
    assert told.advice.endswith("install torchvision==0.21.0 torch==2.6.0")


def test_a_folder_that_was_never_installed_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    told = found()
    assert told["sat3d"].state == "warning" and "without being installed" in told["sat3d"].told


def test_a_source_tree_that_asks_for_more_than_at_its_installation_warns(site, monkeypatch, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    monkeypatch.setattr(versions, "source_tree", lambda: tree)
    groups = "world = ['numba>=0.61']\nwandb = ['wandb>=0.19']\nall = ['sat3d[world,wandb]']\n"
    text = f"[project]\ndependencies = {OURS[:3]}\n[project.optional-dependencies]\n{groups}"
    (tree / "pyproject.toml").write_text(text)
    assert found()["sat3d"].state == "ok"
    (tree / "pyproject.toml").write_text(text + "sweep = ['optuna>=5']\n")
    assert found()["sat3d"].state == "warning"


def test_every_extra_of_ours_has_its_words():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) - {"all"} <= set(versions.GIVES)


def test_commands_are_those_of_this_python(monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: object())
    monkeypatch.setattr(sys, "executable", str(Path.home() / "my env/bin/python"))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert requirements.install(["a>=1", "b"]) == "~/'my env/bin/python' -m pip install 'a>=1' b"
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert requirements.reinstall(["a"]) == "python -m pip install --force-reinstall a"
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    monkeypatch.setattr(requirements.shutil, "which", lambda name: "uv")
    assert requirements.install(["a"]) == "uv pip install a"
