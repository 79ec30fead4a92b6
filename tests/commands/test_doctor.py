"""`sat3d doctor` through the door: what it prints, what it keeps to itself, and how it ends."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sat3d.cli import main
from sat3d.commands.checks import checkpoints, launcher, report, running
from sat3d.commands.checks.finding import Finding
from sat3d.commands.checks.lanes import Lanes
from sat3d.commands.doctor import APART, AT_ONCE, _progress, examine
from sat3d.shipped import checkpoints_folder, manifest

KEY = "0123456789abcdef0123456789abcdef01234567"
VARIABLES = (
    "WANDB_",
    "SLURM_",
    "NCCL_",
    "GLOO_",
    "SAT3D_",
    "HF_",
    "TORCH_HOME",
    "XDG_CACHE_HOME",
    "WORLD_SIZE",
    "NETRC",
)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Work in an empty folder, with an empty home and none of the variables that matter."""
    for name in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(name)
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    return here


def quickly(capsys, *args):
    """Run the quick checks; return the exit code and what was printed."""
    try:
        main(["doctor", "--quick", "true", *args])
        code = 0
    except SystemExit as exit_:
        code = exit_.code
    return code, capsys.readouterr().out


def examined(capsys):
    """Run the quick checks as JSON; return the exit code, everything, and the findings by group and name."""
    code, out = quickly(capsys, "--json", "true")
    told = json.loads(out)
    return code, told, {group: {each["name"]: each for each in found} for group, found in told["groups"].items()}


def test_a_good_machine_is_ready_and_nothing_is_left_behind(capsys, elsewhere):
    start = time.perf_counter()
    code, out = quickly(capsys)
    assert time.perf_counter() - start < 5
    assert code == 0
    assert [line for line in out.splitlines() if line[0] not in " r"] == list(AT_ONCE)
    assert out.splitlines()[-1].startswith("ready as far as a quick look goes: ")
    assert list(elsewhere.iterdir()) == [] and list(Path.home().iterdir()) == []


def test_json_says_what_the_lines_say(capsys):
    code, told, groups = examined(capsys)
    _, out = quickly(capsys)
    assert code == 0 and told["ready"] and told["quick"]
    assert out.splitlines()[-1] == told["verdict"]
    words = "".join(out.split())
    for group in groups.values():
        for name, each in group.items():
            if "available" not in each["told"] and "free" not in each["told"]:  # which changes meanwhile
                assert "".join(f"{name}{each['told']}".split()) in words
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_a_stream_that_cannot_show_marks_gets_plain_ones(encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    findings = [Finding("one", "fine"), Finding("two", "grün – ☃", "problem", "do this"), Finding("three", "", "note")]
    text = report.lines("group", findings, stream)
    stream.write(text)
    marks = report.MARKS if encoding == "utf-8" else report.PLAIN
    lines = text.splitlines()
    assert [line[:4] for line in lines[1:3]] == [f"  {marks['ok']} ", f"  {marks['problem']} "]
    assert lines[3].split() == ["→" if encoding == "utf-8" else "->", "do", "this"]


def test_lines_are_aligned_and_what_is_to_be_copied_is_not_broken(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    command = "python -m pip install " + " ".join(f"'package{i}>=1.0'" for i in range(20))
    lines = report.lines("group", [Finding("name", "word " * 60, "problem", command)], io.StringIO()).splitlines()
    assert lines[-1].endswith(command)
    assert all(len(line) <= 80 for line in lines[:-1]) and len(lines) > 4
    assert {len(line) - len(line.lstrip()) for line in lines[2:]} == {report.NAMES + 4}


def test_a_problem_ends_in_one_and_says_what_to_do_first(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SAT3D_CACHE", str(tmp_path / "file" / "cache"))
    code, out = quickly(capsys)
    assert code == 1
    assert out.splitlines()[-1] == "not ready: 1 problem, first do: export SAT3D_CACHE=DIR"
    assert f"{tmp_path / 'file'}isnofolder" in "".join(out.split())  # lines are folded
    code, told, groups = examined(capsys)
    assert code == 1 and not told["ready"] and groups["folders"]["cache"]["state"] == "problem"


def test_a_damaged_checkpoint_is_found_through_the_door(capsys, monkeypatch, tmp_path):
    folder = shutil.copytree(checkpoints_folder(), tmp_path / "checkpoints")
    path = folder / "toyfaces-parser.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(checkpoints, "checkpoints_folder", lambda: folder)
    code, _, groups = examined(capsys)
    assert code == 1
    assert groups["checkpoints"]["toyfaces-parser"]["told"].startswith("toyfaces-parser.safetensors is damaged")
    assert groups["checkpoints"][f"{len(manifest()) - 1} files"]["state"] == "ok"


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(capsys, monkeypatch):
    def broken():
        yield Finding("before", "was found before it broke")
        raise ZeroDivisionError(f"of {Path.home()}/secret,\nin two lines")

    monkeypatch.setattr(launcher, "check", broken)
    code, _, groups = examined(capsys)
    assert code == 1 and list(groups) == list(AT_ONCE)
    assert groups["launcher"]["before"]["state"] == "ok"
    assert groups["launcher"]["launcher"] == {
        "name": "launcher",
        "state": "problem",
        "told": "the check itself failed: ZeroDivisionError: of ~/secret, in two lines",
        "advice": "sat3d doctor --json true > doctor.json",
        "facts": {},
    }
    assert all(groups[group] for group in AT_ONCE)


def test_no_key_is_ever_printed(capsys, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("MY_TOKEN", "not-to-be-told")
    monkeypatch.setattr(launcher, "check", lambda: [Finding("x", f"{KEY} not-to-be-told", facts={"a": [f"{KEY}!"]})])
    for args in ([], ["--json", "true"]):
        _, out = quickly(capsys, *args)
        assert "0123456789" not in out and "not-to-be-told" not in out and "with a key for" in out and "***" in out


def test_homes_and_passwords_are_left_out(monkeypatch):
    monkeypatch.setenv("HOME", "/people/a")
    assert report.discreet("/people/a/x:/people/a, '/people/a'") == "~/x:~, '~'"
    assert report.discreet("/people/aa /data/people/a/x ./people/a") == "/people/aa /data/people/a/x ./people/a"
    assert report.discreet("https://ann:word@host/x") == "https://***@host/x"
    monkeypatch.setenv("HOME", "/")
    assert report.discreet("/tmp/x") == "/tmp/x"


CPU = [Finding("processor", "", facts={"usable": 2}), Finding("memory", "", facts={"total": 24.4e9})]
GPU = {"device": "NVIDIA H100", "total": 85e9}


@pytest.mark.parametrize(
    ("groups", "line"),
    [
        ({"machine": CPU}, "ready as far as a quick look goes: 2 cores, 24 GB"),
        ({"machine": CPU, "devices": []}, "ready: CPU, 2 cores, 24 GB"),
        (
            {"machine": CPU, "devices": [], "precision": [Finding("cpu", "", facts={"bf16_pays": False})]},
            "ready: CPU, 2 cores, 24 GB; bf16 does not pay here",
        ),
        (
            {
                "machine": CPU,
                "devices": [Finding("cuda:0", "", facts=GPU), Finding("cuda:1", "", "warning", facts=GPU)],
                "precision": [
                    Finding("cpu", "", facts={"bf16_pays": False}),
                    Finding("cuda:0", "", facts={"bf16_pays": True}),
                ],
            },
            "ready: 2 x NVIDIA H100, 2 cores, 24 GB; bf16 pays here; 1 warning above",
        ),
        (
            {"machine": CPU, "a": [Finding("x", "", "warning", "no"), Finding("y", "", "problem", "this")]},
            "not ready: 1 problem, first do: this",
        ),
        (
            {"a": [Finding("y", "", "problem")], "b": [Finding("z", "", "problem", "that")]},
            "not ready: 2 problems, first do: look at y",
        ),
    ],
)
def test_verdicts(groups, line):
    assert report.verdict(groups) == line


def test_checks_in_child_processes_find_what_they_find_here():
    lanes = Lanes([("tracking", "launcher"), ("nonsense",)])
    assert all(isinstance(text, str) for check in ("launcher", "nonsense") for text in lanes.until(check))
    assert lanes.found("launcher") == list(launcher.check())
    (finding,) = lanes.found("nonsense")
    assert finding.state == "problem" and "the check itself failed: ModuleNotFoundError" in finding.told


def test_a_child_that_cannot_even_start_is_told_once(monkeypatch):
    monkeypatch.setattr(running, "CHILD", "import sys; print('no such thing', file=sys.stderr); sys.exit(5)")
    found = list(running.apart([("launcher", ""), ("tracking", "")]))
    assert [(unit, each.told) for unit, each in found] == [
        (("launcher", ""), "ended its process with code 5: no such thing")
    ]
    lanes = Lanes([("launcher", "tracking")])
    assert list(lanes.until("tracking")) is not None
    assert [each.state for each in lanes.found("launcher")] == ["problem"]


def test_what_takes_long_is_told_to_terminals_only(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, start, told in (
        (Terminal(), -10, "\r\x1b[K... imports torch, 10 s\r\x1b[K"),
        (Terminal(), -1, ""),
        (io.StringIO(), -10, ""),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        progress = _progress(time.monotonic() + start)
        progress("imports torch")
        progress("")
        assert stream.getvalue() == told


def test_quick_starts_no_process_of_its_own(monkeypatch):
    monkeypatch.setattr(running, "apart", lambda *args: pytest.fail("a child was started"))
    assert [group for group, _ in examine(quick=True)] == list(AT_ONCE)


@pytest.mark.slow
def test_everything_is_looked_at(tmp_path):
    command = [sys.executable, "-m", "sat3d.cli", "doctor", "--json", "true"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ["PYTHONPATH"]])}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=250, check=False)
    told = json.loads(done.stdout)
    assert done.returncode == 0, told["verdict"]
    assert list(told["groups"]) == [*AT_ONCE, *(check for row in APART for check in row)]
    assert all(told["groups"].values())
    assert "bf16" in told["verdict"]


def test_a_folder_that_the_system_refuses_is_a_problem_with_its_reason(capsys, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", refuse)
    code, _, groups = examined(capsys)
    assert code == 1
    assert "fsync fails (Input/output error)" in groups["folders"]["runs"]["told"]
    assert groups["folders"]["torch hub"]["state"] == "warning"  # nothing stops without it
    assert not list(Path().iterdir())
