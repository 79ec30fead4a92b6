"""Sweeps of a program that trains nothing, through the verb: what they try, prune, survive and leave."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image

from sat3d.cli import main

SCRIPT = [sys.executable, "-m", "sat3d.cli", "sweep", "sweep.yaml"]


def table(folder="out"):
    with Path(folder, "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def settings(rows):
    return [float(row["x"]) for row in rows]


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "that took too long"
        time.sleep(0.05)


def test_a_sweep_leaves_a_table_a_picture_and_the_best_as_a_config(place, capsys):
    place(parameters={"x": {"min": 0.0, "max": 1.0}, "model.y": {"values": [1, 2]}, "model.z": {"value": [3]}})
    main(["sweep", "sweep.yaml", "--trials=4"])
    folder = Path("runs/sweeps/sweep/0")
    rows = table(folder)
    assert [row["state"] for row in rows] == ["finished"] * 4
    for number, row in enumerate(rows):
        assert float(row["val/score"]) == pytest.approx(0.02 - abs(float(row["x"]) - 0.3))  # the last that was logged
        log = (folder / f"trials/{number}/trial.log").read_text()
        assert f"--x={row['x']} --model.y={row['model.y']} --model.z=[3] --run.dir={folder}/trials/{number}" in log
    best = min(rows, key=lambda row: abs(float(row["x"]) - 0.3))
    found = yaml.safe_load((folder / "best.yaml").read_text())
    assert found["x"] == float(best["x"]) and found["model"] == {"y": int(best["model.y"]), "z": [3]}
    told = capsys.readouterr().out
    assert f"best val/score: {float(best['val/score']):.5g}, trial {best['trial']}" in told
    with Image.open(folder / "trials.png") as picture:
        assert picture.width > 400 and len(picture.convert("RGB").getcolors(10**6)) > 50


def test_the_same_seed_tries_the_same_and_the_same_command_goes_on(place):
    place()
    main(["sweep", "sweep.yaml", "--trials=4", "--out=whole"])
    for trials in ("1", "4", "4"):
        main(["sweep", "sweep.yaml", "--trials", trials, "--out=parts"])
    assert settings(table("parts")) == settings(table("whole")) and len(table("whole")) == 4
    main(["sweep", "sweep.yaml", "--trials=1", "--out=other", "--seed=1"])
    assert settings(table("other"))[0] != settings(table("whole"))[0]


def test_a_failed_trial_is_told_with_its_last_words_and_the_sweep_goes_on(place, capsys):
    place("--fails=0.5", method="grid", parameters={"x": {"values": [0.9, 0.1, 0.8, 0.2]}})
    main(["sweep", "sweep.yaml", "--out=out"])
    assert [row["state"] for row in table()] == ["failed", "finished", "failed", "finished"]
    told = "".join(capsys.readouterr())
    assert "trial 0 failed (exit status 1):" in told and "started with 0.9\nx is too large" in told
    assert "4 trials: 2 failed, 2 finished" in told
    main(["sweep", "sweep.yaml", "--out=out"])
    assert len(table()) == 4  # what failed by itself would fail again


def test_a_metric_that_is_not_logged_is_named_beside_those_that_are(place, capsys):
    place(metric={"name": "val/gain", "goal": "maximize"})
    main(["sweep", "sweep.yaml", "--trials=1", "--out=out"])
    told = "".join(capsys.readouterr())
    assert "it logged no val/gain, the metric of the sweep, but train/loss, val/score" in told
    assert table()[0]["state"] == "failed" and not Path("out/best.yaml").exists()


def test_a_hopeless_trial_is_ended_early(place):
    early = {"type": "hyperband", "min_iter": 2, "eta": 3}
    options = ("--steps=40", "--pause=0.3")  # twelve seconds, of which a hopeless trial needs one
    place(*options, method="grid", early_terminate=early, parameters={"x": {"values": [0.3, 0.9]}})
    Path("program.py").write_text(
        Path("program.py").read_text().replace('"pause", 0)', '"pause", 0) if x > 0.3 else 0')
    )
    main(["sweep", "sweep.yaml", "--out=out"])
    best, hopeless = table()
    assert (best["state"], hopeless["state"]) == ("finished", "pruned")
    seen = len(Path("out/trials/1/metrics.csv").read_text().splitlines())
    assert seen < 40 and float(hopeless["seconds"]) < 9
    assert yaml.safe_load(Path("out/best.yaml").read_text())["x"] == 0.3


def test_jobs_run_side_by_side_and_are_as_many_trials(place):
    place("--pause=0.5")
    main(["sweep", "sweep.yaml", "--trials=4", "--jobs=2", "--out=out"])
    assert [row["state"] for row in table()] == ["finished"] * 4
    spans = []
    for number in range(4):
        folder = Path(f"out/trials/{number}")
        ended = (folder / "metrics.csv").stat().st_mtime_ns
        spans.append((ended - 10**9, ended))  # two pauses of half a second lie between the first line and the last
    overlaps = sum(a[0] < b[1] and b[0] < a[1] for i, a in enumerate(spans) for b in spans[:i])
    assert overlaps >= 1
    place()
    main(["sweep", "sweep.yaml", "--trials=4", "--out=single"])
    assert settings(table("single")) == settings(table())  # random points depend on seed and number alone


def test_a_killed_sweep_goes_on_and_runs_what_was_cut_short_again(place):
    place(method="grid", parameters={"x": {"values": [0.1, 0.2, 0.4]}})
    command = [*SCRIPT, "--out=out"]
    main(["sweep", "sweep.yaml", "--trials=1", "--out=out"])
    Path("hold").touch()  # the second trial does not end
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: Path("out/trials/1/metrics.csv").is_file())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    orphan = int(Path("out/trials/1/trial.pid").read_text())
    os.kill(orphan, 0)  # it lives
    program = Path("program.py").read_text()
    Path("program.py").write_text(program.replace('Path("hold")', 'Path("gone")'))  # the orphan goes on to hold
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = table()
    found = [(row["state"], float(row["x"])) for row in rows]
    assert found == [("finished", 0.1), ("interrupted", 0.2), ("finished", 0.4), ("finished", 0.2)]
    with pytest.raises(ProcessLookupError):
        os.kill(orphan, 0)
    assert "4 trials: 3 finished, 1 interrupted" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_ends_the_trials_and_tells_how_to_go_on(place, number):
    place()
    Path("hold").touch()
    command = [*SCRIPT, "--out=out", "--trials=3", "--jobs=2"]
    # a suite in a shell's background ignores SIGINT, and would pass that on
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    until(lambda: all(Path(f"out/trials/{k}/metrics.csv").is_file() for k in range(2)))
    children = [int(Path(f"out/trials/{k}/trial.pid").read_text()) for k in range(2)]
    parent.send_signal(number)
    _, told = parent.communicate(timeout=60)
    assert parent.returncode == 130
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    assert [row["state"] for row in table()] == ["interrupted"] * 2
    Path("hold").unlink()
    again = told.strip().splitlines()[-1].split()
    assert again == ["sat3d", "sweep", "sweep.yaml", "--trials=3", "--jobs=2", "--seed=0", "--out=out"]
    subprocess.run([sys.executable, "-m", "sat3d.cli", *again[1:]], check=True, capture_output=True)
    rows = table()
    assert [row["state"] for row in rows] == ["interrupted"] * 2 + ["finished"] * 3
    assert settings(rows)[:2] == settings(rows)[2:4]


def test_options_stand_in_every_trial_and_not_in_the_best(place):
    place()
    main(["sweep", "sweep.yaml", "--trials=1", "--out=out", "--options", json.dumps({"steps": 5, "pause": 0})])
    assert "--steps=5 --pause=0 --run.dir=out/trials/0" in Path("out/trials/0/trial.log").read_text()
    assert len(Path("out/trials/0/metrics.csv").read_text().splitlines()) == 11
    assert yaml.safe_load(Path("out/best.yaml").read_text()).keys() == {"x", "run"}
    with pytest.raises(ValueError, match="--out: out is a sweep of another file"):
        main(["sweep", "sweep.yaml", "--trials=2", "--out=out"])


def test_a_program_that_there_is_not_is_named(place):
    place(command=["nothing-of-this-name", "${args}"])
    with pytest.raises(FileNotFoundError, match="command: there is no program 'nothing-of-this-name'"):
        main(["sweep", "sweep.yaml", "--trials=2", "--out=out"])
    assert table()[0]["state"] == "interrupted"


def test_folders_that_are_no_sweep_of_this_file_are_left_alone(place, tmp_path):
    place()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="--out: full holds something else"):
        main(["sweep", "sweep.yaml", "--out=full"])
    with pytest.raises(ValueError, match="--trials=0 must be at least 1"):
        main(["sweep", "sweep.yaml", "--trials=0"])
    with pytest.raises(FileNotFoundError, match=r"--file: no file styleae_lamda\.yaml.*sweeps/styleae_lambda\.yaml"):
        main(["sweep", "styleae_lamda.yaml"])
    Path("hold").touch()
    parent = subprocess.Popen([*SCRIPT, "--out=out"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: Path("out/trials/0/metrics.csv").is_file())
        with pytest.raises(BlockingIOError, match="--out: a sweep is running in out"):
            main(["sweep", "sweep.yaml", "--out=out"])
    finally:
        parent.send_signal(signal.SIGTERM)
        parent.wait()


def test_without_optuna_the_extra_is_named(place, monkeypatch):
    place()
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'sat3d\[sweep\]'"):
        main(["sweep", "sweep.yaml"])
    assert not Path("runs").exists()
