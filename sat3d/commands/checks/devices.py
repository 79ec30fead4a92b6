"""What torch makes of the machine: its build, threads, GPUs, and ways for processes to talk to each other."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sat3d.commands.checks.finding import Finding, counted, listed, one_line
from sat3d.commands.checks.gpus import gpus
from sat3d.commands.checks.limits import usable

NEEDS = ("torch",)


def check() -> Iterator[Finding]:
    """Tell of torch's build, its threads, each GPU that it can use, and of the distributed backends."""
    yield _build()
    yield _threads()
    yield from gpus()
    yield from _distributed()


def _build() -> Finding:
    import torch

    cuda, hip = torch.version.cuda, torch.version.hip
    made = f"for CUDA {cuda}" if cuda else f"for ROCm {hip}" if hip else "for CPUs only"
    backends = {
        "oneDNN": torch.backends.mkldnn.is_available(),
        "MKL": torch.backends.mkl.is_available(),
        "OpenMP": torch.backends.openmp.is_available(),
        "cuDNN": torch.backends.cudnn.is_available(),
        "MPS": torch.backends.mps.is_built(),
    }
    compiled = [name for name, there in backends.items() if there]
    level = torch.backends.cpu.get_cpu_capability()
    told = f"{torch.__version__} built {made}, with {listed(compiled)}; vectors {level}"
    facts = {"cuda": cuda, "hip": hip, "backends": backends, "vectors": level}
    return Finding("torch", told, facts=facts)


def _threads() -> Finding:
    import torch

    threads, most = torch.get_num_threads(), usable()
    told = f"{counted(threads, 'thread')} of torch on {counted(most, 'core')}"
    facts = {"threads": threads, "usable": most}
    if threads > most:
        told += ": threads that wait for each other are slower than fewer would be"
        return Finding("threads", told, "warning", f"export OMP_NUM_THREADS={most}", facts)
    if threads < most and "OMP_NUM_THREADS" in os.environ:
        told += f", as OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']} says"
        return Finding("threads", told, "note", "unset OMP_NUM_THREADS", facts)
    return Finding("threads", told, facts=facts)


def _distributed() -> Iterator[Finding]:
    import torch.distributed as dist

    if not dist.is_available():
        yield Finding("distributed", "torch is built without it: one process only", "note")
        return
    known = {"gloo": dist.is_gloo_available(), "nccl": dist.is_nccl_available(), "mpi": dist.is_mpi_available()}
    there = [name for name, works in known.items() if works]
    if "gloo" not in there:
        yield Finding("distributed", f"backends: {listed(there) or 'none'}", "note", facts=known)
        return
    try:
        _meet()
    except Exception as error:
        told = f"gloo finds no way to this machine itself: {one_line(error)}"
        yield Finding("distributed", told, "warning", "export GLOO_SOCKET_IFNAME=lo", known)
    else:
        yield Finding("distributed", f"backends: {listed(there)}; a group of one process met over gloo", facts=known)


def _meet() -> None:
    """Found a group of one process: what fails where a machine cannot look up its own name."""
    import torch
    import torch.distributed as dist

    store = dist.HashStore()  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        dist.all_reduce(torch.ones(1))
    finally:
        dist.destroy_process_group()
