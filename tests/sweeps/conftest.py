"""A program that stands for a training: no torch, a metric by the step, and ways to fail and to take its time."""

import pytest
import yaml

PROGRAM = """
import pathlib, sys, time
said = dict(word[2:].split("=", 1) for word in sys.argv[1:])
folder, x = pathlib.Path(said["run.dir"]), float(said["x"])
print("started with", x)
if x > float(said.get("fails", 2)):
    raise SystemExit("x is too large")
with (folder / "metrics.csv").open("w") as file:
    file.write("step,train/loss,val/score\\n")
    for step in range(int(said.get("steps", 3))):
        file.write(f"{step},0.5,\\n{step},,{-abs(x - 0.3) + 0.01 * step}\\n")
        file.flush()
        time.sleep(float(said.get("pause", 0)))
while pathlib.Path("hold").exists():
    time.sleep(0.05)
"""
SWEEP = {
    "program": "program.py",
    "command": ["${interpreter}", "${program}", "${args}"],
    "method": "random",
    "metric": {"name": "val/score", "goal": "maximize"},
    "parameters": {"x": {"distribution": "uniform", "min": 0.0, "max": 1.0}},
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with the program; called with keys of a sweep's file it writes `sweep.yaml` there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)

    def write(*options, **keys):
        content = {**SWEEP, **keys}
        content["command"] = [*content["command"], *options]
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return tmp_path

    return write
