"""How many cores and how much memory this process may use, whatever the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def cores(root: Path = ROOT) -> tuple[int, int, float | None]:
    """Count cores: the machine's, those this process may run on, and the quota of its control group if there is one."""
    total = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    quotas = []
    for folder in _groups(root, "cpu"):
        version_1 = [*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")]
        quota = _words(folder / "cpu.max") or version_1
        if len(quota) == 2 and quota[0].isdecimal():  # else `max` or -1
            quotas.append(int(quota[0]) / int(quota[1]))
    return total, allowed, min(quotas, default=None)


def usable(root: Path = ROOT) -> int:
    """Count the cores that this process can keep busy: at least one."""
    _, allowed, quota = cores(root)
    return max(1, min(allowed, int(quota or allowed)))


def memory(root: Path = ROOT) -> tuple[int, int]:
    """Measure memory that this process may use, and how much of it is free or can be freed, in bytes.

    Raises:
        OSError, KeyError: this system does not tell as Linux does.
    """
    lines = (root / "proc/meminfo").read_text().splitlines()
    table = {key: int(value.split()[0]) * 1024 for key, _, value in (line.partition(":") for line in lines)}
    total, available = table["MemTotal"], table["MemAvailable"]
    for folder in _groups(root, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
        if limit and limit < table["MemTotal"]:
            words = _words(folder / "memory.stat")
            kept = dict(zip(words[::2], words[1::2], strict=False))
            cache = int(kept.get("total_inactive_file", kept.get("inactive_file", 0)))
            total, available = min(total, limit), min(available, max(0, limit - (used or 0) + cache))
    return total, available


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the control groups that this process is in, innermost first: of version 2, and of version 1."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / controller
        else:
            continue
        inner = top / path.strip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top) and folder.is_dir())


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _number(path: Path) -> int | None:
    words = _words(path)
    return int(words[0]) if words and words[0].isdecimal() else None
