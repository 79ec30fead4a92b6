"""The machine as its system tells of it, without torch: cores, memory, and GPUs that have a driver."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sat3d.commands.checks.finding import Finding, counted, size
from sat3d.commands.checks.limits import cores, memory, usable

DEMO = 1.5e9  # bytes that `make demo` takes, rounded up
SHARED = 2**28  # bytes of /dev/shm below which loaders with workers die of a bus error
ASKED = "name,memory.total,memory.free,driver_version"


def check() -> Iterator[Finding]:
    """Tell of the processor, memory, and GPUs that the driver sees."""
    yield _processor()
    yield _memory()
    yield from _shared_memory()
    yield from _driver()


def _processor() -> Finding:
    total, allowed, quota = cores()
    told = f"{_model()}, {counted(total, 'core')}"
    told += f", {allowed} of them for this process" if allowed < total else ""
    told += f", time for {quota:g} by its control group" if quota else ""
    facts = {"cores": total, "allowed": allowed, "quota": quota, "usable": usable(), "system": platform.platform()}
    return Finding("processor", told, facts=facts)


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _memory() -> Finding:
    try:
        total, available = memory()
    except (OSError, KeyError):
        return Finding("memory", f"{platform.system()} does not tell it here", "note")
    told, facts = f"{size(total)}, {size(available)} of it available", {"total": total, "available": available}
    if available < DEMO:
        told += f": less than the {size(DEMO)} of the demo"
        return Finding("memory", told, "warning", "ps aux --sort=-rss | head", facts)
    return Finding("memory", told, facts=facts)


def _shared_memory(folder: Path = Path("/dev/shm")) -> Iterator[Finding]:
    """Warn where workers of a loader could not hand over their batches, as in containers with Docker's 64 MB."""
    if folder.is_dir() and (free := shutil.disk_usage(folder).free) < SHARED:
        told = f"{size(free)} free in {folder}, too little for loaders with workers; give a container --shm-size=2g"
        yield Finding("shared memory", told, "warning", "docker run --shm-size=2g ...", {"free": free})


def _driver() -> Iterator[Finding]:
    program = shutil.which("nvidia-smi")
    if program is None:
        there = any(Path("/dev").glob("nvidia[0-9]*"))
        yield Finding("driver", "a GPU of NVIDIA, but no nvidia-smi" if there else "no GPU of NVIDIA", "note")
        return
    command = [program, f"--query-gpu={ASKED}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        yield Finding("driver", "nvidia-smi does not answer within 20 s", "warning", "sudo dmesg | grep -i nvrm")
        return
    rows = [line.split(", ") for line in done.stdout.splitlines() if line.count(", ") == ASKED.count(",")]
    if done.returncode or not rows:
        said = " ".join((done.stdout + done.stderr).split())[:200]
        yield Finding("driver", f"nvidia-smi sees no GPU: {said}", "warning", "nvidia-smi")
    for i, (name, total, free, version) in enumerate(rows):
        told = f"{name}, {free} of {total} free, driver {version}"
        facts = {"name": name, "total": total, "free": free, "driver": version}
        yield Finding(f"GPU {i}", told, facts=facts)
