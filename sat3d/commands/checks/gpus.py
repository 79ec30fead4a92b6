"""GPUs as torch sees them."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from sat3d.commands.checks.finding import Finding, one_line, size
from sat3d.commands.checks.requirements import reinstall

LITTLE = 1.5e9  # free bytes of a GPU below which little can be trained on it


def gpus() -> Iterator[Finding]:
    """Tell of each GPU that torch can use, or why there is none."""
    import torch

    if torch.backends.mps.is_built():
        works = torch.backends.mps.is_available()
        told = "can be used" if works else "compiled in, but not for this machine"
        yield Finding("MPS", told, facts={"device": "MPS" * works})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for i in range(count):
        try:
            yield _gpu(i)
        except Exception as error:
            yield Finding(f"cuda:{i}", f"cannot be used: {one_line(error)}", "problem", "nvidia-smi")
    if not count:
        yield _no_gpu([str(each.message) for each in said])


def _no_gpu(said: list[str]) -> Finding:
    """Say why torch uses no GPU; where the system has one, that is worth a warning."""
    import torch

    there = any(Path("/dev").glob("nvidia[0-9]*"))
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1"):
        return Finding("GPU", "hidden by CUDA_VISIBLE_DEVICES", "note", "unset CUDA_VISIBLE_DEVICES")
    if not (torch.version.cuda or torch.version.hip):
        told = "none for torch, which is built for CPUs only"
        advice = reinstall(["torch", "torchvision"]) if there else ""
    else:
        told = "none that torch can use" + (f": {' '.join(said[0].split())[:240]}" if said else "")
        advice = "nvidia-smi" if there else ""
    return Finding("GPU", told, "warning" if there else "note", advice)


def _gpu(i: int) -> Finding:
    import torch

    facts = torch.cuda.get_device_properties(i)
    free, total = torch.cuda.mem_get_info(i)
    capability, compiled = (facts.major, facts.minor), torch.cuda.get_arch_list()
    driver = getattr(torch._C, "_cuda_getDriverVersion", lambda: 0)() if torch.version.cuda else 0
    told = f"{facts.name}, {size(free)} of {size(total)} free, compute capability {facts.major}.{facts.minor}"
    told += f", driver for CUDA {driver // 1000}.{driver % 1000 // 10}" if driver else ""
    known = {
        "device": facts.name,
        "total": total,
        "free": free,
        "capability": list(capability),
        "driver": driver,
        "cuda": torch.version.cuda,
    }
    if torch.version.cuda and not serves(capability, compiled):
        told += f"; this torch is compiled for others only ({', '.join(compiled)})"
        return Finding(f"cuda:{i}", told, "problem", reinstall(["torch", "torchvision"]), known)
    known["cudnn"] = torch.backends.cudnn.version()  # which raises on GPUs that it does not serve
    if free < LITTLE:
        return Finding(f"cuda:{i}", f"{told}; others use the rest", "warning", "nvidia-smi", known)
    return Finding(f"cuda:{i}", told, facts=known)


def serves(capability: tuple[int, int], compiled: list[str]) -> bool:
    """Tell whether code compiled for some architectures runs on a GPU.

    Args:
        capability: of the GPU, major and minor.
        compiled: `sm_80` runs on 8.0 and later minors; `compute_90`, which the driver compiles, on all that are later.
    """
    for name in compiled:
        if match := re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", name):
            major, minor = int(match[2]), int(match[3])
            if match[1] == "sm" and major == capability[0] and minor <= capability[1]:
                return True
            if match[1] == "compute" and (major, minor) <= capability:
                return True
    return False
