"""Imports that fail, in all the ways they can: modules written for that, in real child processes."""

import importlib.util

import pytest
from packaging.requirements import Requirement

from sat3d.commands.checks import imports, running
from sat3d.commands.checks.explanations import explain
from sat3d.commands.checks.requirements import Wanted, version_of


@pytest.fixture
def modules(monkeypatch, tmp_path):
    """Write modules that come before all others; return what tries them."""

    def tried(patience=60.0, **sources):
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        begun = []
        found = [each for _, each in running.apart([("imports", name) for name in sources], begun.append, patience)]
        assert begun == [("imports", name) for name in sources]
        return {each.name: each for each in found}

    return tried


def test_crashes_exits_and_silence_are_told_and_the_next_modules_are_tried(modules):
    found = modules(
        patience=3.0,
        crashing="import os\nos.abort()",
        fine="print('hello')",
        exiting="import os, sys\nprint('no licence', file=sys.stderr)\nos._exit(3)",
        leaving="import sys\nsys.exit('good bye')",
        silent="import time\ntime.sleep(60)",
        user="import crashing",
        also_fine="",
    )
    assert found["user"].state == "note" and found["user"].told == "does not import because crashing does not"
    assert found["crashing"].told == "crashed with SIGABRT: Fatal Python error: Aborted"
    assert found["exiting"].told == "ended its process with code 3: no licence"
    assert found["leaving"].told == "SystemExit: good bye"
    assert found["silent"].told == "no answer for 3 s"
    assert [name for name, each in found.items() if each.state == "problem"] == [
        "crashing",
        "exiting",
        "leaving",
        "silent",
    ]
    assert found["crashing"].advice.endswith("install --force-reinstall crashing")
    assert found["fine"].state == found["also_fine"].state == "ok"


def test_a_torchvision_of_another_torch_is_explained_and_blamed_once(modules):
    found = modules(
        torchvision="raise RuntimeError('operator torchvision::nms does not exist')",
        user="import torchvision",
        lazy="try:\n    import torchvision\nexcept RuntimeError:\n    pass",
    )
    told = found["torchvision"]
    assert told.state == "problem" and "operator torchvision::nms does not exist" in told.told
    assert f"torch {version_of('torch')} and torchvision {version_of('torchvision')}" in told.told
    assert told.advice.endswith("install --force-reinstall torch torchvision")
    assert found["user"].state == "note"
    assert found["user"].told == "does not import because torchvision does not"
    assert found["lazy"].state == "ok"


@pytest.mark.parametrize(
    ("message", "words", "command"),
    [
        ("ModuleNotFoundError: No module named 'sklearn.svm'", "needs sklearn", "install scikit-learn"),
        ("ModuleNotFoundError: No module named 'kornia.x'", "its files are not", "install --force-reinstall kornia"),
        (
            "OSError: libGL.so.1: cannot open shared object file: No such file or directory",
            "the system's library libGL.so.1",
            "sudo apt install libgl1",
        ),
        (
            "ImportError: libcudnn.so.9: cannot open shared object file: No such file",
            "a library of CUDA",
            "install --force-reinstall torch",
        ),
        (
            "ImportError: A module that was compiled using NumPy 1.x cannot be run in NumPy 2.1.0",
            "made for another numpy",
            "install --upgrade --force-reinstall kornia",
        ),
        ("ValueError: something else", "ValueError: something else", "install --force-reinstall kornia"),
    ],
)
def test_known_messages_have_their_meaning(message, words, command):
    told, advice = explain("kornia", message)
    assert words in told and message in told
    assert advice.endswith(command)


def test_what_imports_is_one_line(monkeypatch):
    monkeypatch.setattr(imports, "_bytecode", lambda: iter(()))
    good = [imports.Finding(name, "imports", facts={"seconds": s}) for name, s in (("a", 1.0), ("b", 3.0), ("c", 0.5))]
    bad = imports.Finding("d", "ValueError", "problem")
    first, second = imports.summary([*good, bad])
    assert first.told == "import in 4.5 s; the slowest: b 3.0 s, a 1.0 s and c 0.5 s" and second is bad
    assert first.name == "3 modules" and first.facts["seconds"] == {"a": 1.0, "b": 3.0, "c": 0.5}
    assert imports.summary([bad]) == [bad]


def test_everything_that_is_to_be_tried_is_a_module():
    tried = imports.parts()
    assert tried[:4] == list(imports.FIRST)
    assert {"sat3d.methods", "open_clip", "PIL", "yaml"} <= set(tried)
    assert not {"pytest", "ruff", "hatchling"} & set(tried)
    assert all(importlib.util.find_spec(name.partition(".")[0]) for name in tried)


def test_packages_that_only_carry_files_are_not_imported(monkeypatch):
    names = ("numpy", "face-recognition-models")
    monkeypatch.setattr(imports, "wanted", lambda: [Wanted(Requirement(name), "landmarks") for name in names])
    monkeypatch.setattr(Wanted, "installed", "1.0")
    assert "numpy" in imports.parts() and "face_recognition_models" not in imports.parts()


def test_checks_that_need_a_module_that_crashes_leave_the_blame_to_its_import(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("import os\nos.abort()")
    monkeypatch.syspath_prepend(tmp_path)
    ((_, found),) = running.apart([("devices", "")])
    assert found.state == "warning"
    assert found.told.startswith("not looked at, since importing what it needs crashed with SIGABRT")
