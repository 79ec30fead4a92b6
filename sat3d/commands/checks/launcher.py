"""What launchers and the user have set for the processes of a run."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from sat3d.commands.checks.finding import Finding, listed

GROUPS = {
    "SLURM": "SLURM_JOB_ID SLURM_JOB_NAME SLURM_NNODES SLURM_NTASKS SLURM_STEP_ID SLURM_PROCID SLURM_LOCALID",
    "torchrun": "RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT TORCHELASTIC_RUN_ID",
    "GPUs": "CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER HIP_VISIBLE_DEVICES PYTORCH_CUDA_ALLOC_CONF",
    "threads": "OMP_NUM_THREADS MKL_NUM_THREADS NUMBA_NUM_THREADS",
    "network": "GLOO_SOCKET_IFNAME",  # and all of NCCL's
    "others": "SAT3D_CACHE SAT3D_ZOO SAT3D_TRACEBACK HF_HUB_OFFLINE PYTHONDONTWRITEBYTECODE",
}
INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


def check() -> Iterator[Finding]:
    """Tell the variables that change how runs start, by name; others are not looked at."""
    nccl = sorted(name for name in os.environ if name.startswith("NCCL_"))
    quiet = True
    for name, variables in GROUPS.items():
        wanted = variables.split() + nccl * (name == "network")
        if found := {variable: os.environ[variable] for variable in wanted if variable in os.environ}:
            quiet = False
            yield Finding(name, " ".join(f"{k}={v}" for k, v in found.items()), facts=found)
    if quiet:
        yield Finding("variables", "none of those that change how runs start")
    yield from _left_over()
    yield from _interfaces()


def _left_over() -> Iterator[Finding]:
    """Find variables that make a run wait for processes that nobody starts."""
    tasks = os.environ.get("SLURM_NTASKS", "1")
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if tasks.isdecimal() and int(tasks) > 1 and "SLURM_STEP_ID" not in os.environ and not interactive:
        told = f"this job has {tasks} tasks: a run that is started without srun waits for the others for ever"
        yield Finding("SLURM", told, "warning", "srun lightning fit ...")
    world = os.environ.get("WORLD_SIZE", "1")
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if world.isdecimal() and int(world) > 1 and missing:
        told = f"WORLD_SIZE={world} is set without {listed(missing)}"
        yield Finding("torchrun", told, "warning", "unset WORLD_SIZE")


def _interfaces() -> Iterator[Finding]:
    """Compare the network interfaces that are named with those that are there."""
    there = [name for _, name in socket.if_nameindex()]
    for variable in INTERFACES:
        named = os.environ.get(variable, "")
        if not named or named.startswith("^"):
            continue
        exact = named.startswith("=") or variable == INTERFACES[0]
        for wanted in named.lstrip("=").split(","):
            if not any(name == wanted if exact else name.startswith(wanted) for name in there):
                told = f"{variable} names {wanted}, and there are {listed(there) or 'none'}"
                yield Finding("network", told, "warning", f"unset {variable}")
