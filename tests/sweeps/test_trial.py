import os
import signal
import subprocess
import sys
import time

import pytest

from sat3d.sweeps import trial
from sat3d.sweeps.trial import TrialProcess, end_orphan, read_metric

WHOLE = "step,train/loss,val/score\n1,0.5,\n1,,0.25\n2,0.4,\n3,,nan\n4,,0.5\n"
LINES = {"0.25": "1,,0.25\n", "nan": "3,,nan\n", "0.5": "4,,0.5\n"}


@pytest.mark.parametrize("cut", range(len(WHOLE) + 1))
def test_of_a_file_that_is_being_written_what_is_whole_is_read(tmp_path, cut):
    path = tmp_path / "metrics.csv"
    path.write_text(WHOLE[:cut])
    ends = {value: WHOLE.index(line) + len(line) for value, line in LINES.items()}
    found = [str(value) for value in read_metric(path, "val/score")]
    assert found == [value for value, end in ends.items() if end <= cut]


def test_no_file_another_metric_and_rows_of_another_width(tmp_path):
    path = tmp_path / "metrics.csv"
    assert read_metric(path, "val/score") == []
    path.write_text('step,"val/a, b"\n1,2.0\n1,2,3\nx,y\n')
    assert read_metric(path, "val/score") == [] and read_metric(path, "val/a, b") == [2.0]


def test_output_goes_to_the_log_and_wandb_stays_offline_unless_it_is_told(tmp_path, monkeypatch):
    code = "import os; print(os.environ['WANDB_MODE'], os.environ['OMP_NUM_THREADS'], os.getpgid(0) == os.getpid())"
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("OMP_NUM_THREADS")
    for mode in ("offline", "disabled"):
        process = TrialProcess(["python", "-c", code], tmp_path / mode, threads=3)
        while process.poll() is None:
            time.sleep(0.01)
        assert process.tail(1) == f"{mode} 3 True" and not (tmp_path / mode / trial.PID).exists()
        monkeypatch.setenv("WANDB_MODE", "disabled")


def test_what_does_not_end_when_it_is_told_to_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "GRACE_S", 0.3)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    process = TrialProcess([sys.executable, "-c", code], tmp_path / "deaf", threads=1)
    while process.tail(1) != "up":
        time.sleep(0.01)
    process.stop()
    start = time.monotonic()
    while process.poll() is None:
        time.sleep(0.01)
    assert process.poll() == -signal.SIGKILL and 0.2 < time.monotonic() - start < 10


def test_an_orphan_is_ended_and_nothing_else_that_has_its_number(tmp_path):
    folder = tmp_path / "trials/0"
    folder.mkdir(parents=True)
    for said, is_orphan in ((f"--run.dir={folder}", True), ("--run.dir=elsewhere", False)):
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", said], start_new_session=True)
        try:
            (folder / trial.PID).write_text(str(other.pid))
            time.sleep(0.2)  # until it is what it will be
            assert end_orphan(folder) is is_orphan
            assert (other.wait(5) if is_orphan else other.poll()) == (-signal.SIGKILL if is_orphan else None)
        finally:
            if other.poll() is None:
                os.killpg(other.pid, signal.SIGKILL)
                other.wait()
    assert not end_orphan(folder)
