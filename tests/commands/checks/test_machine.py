"""What the machine has and can do: limits of control groups, launchers, devices, precisions, numba and ffmpeg."""

import socket
from types import SimpleNamespace

import imageio_ffmpeg
import pytest
import torch

from sat3d.commands.checks import clips, devices, gpus, launcher, limits, machine, one_step, precision, renderer

GROUP_2 = {
    "proc/self/cgroup": "0::/user/job\n",
    "sys/fs/cgroup/user/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/user/job/cpu.max": "max 100000\n",
    "sys/fs/cgroup/user/memory.max": "4000000000\n",
    "sys/fs/cgroup/user/memory.current": "3500000000\n",
    "sys/fs/cgroup/user/memory.stat": "anon 1\ninactive_file 500000000\n",
    "sys/fs/cgroup/user/job/memory.max": "max\n",
}
GROUP_1 = {
    "proc/self/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/\n0::/\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "4000000000\n",  # a container sees its own group as the root
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "3500000000\n",
    "sys/fs/cgroup/memory/memory.stat": "cache 1\ntotal_inactive_file 500000000\n",
}
FREE = {
    "proc/self/cgroup": "4:memory:/\n2:cpu:/\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
}
MEMORY = {"proc/meminfo": "MemTotal:       8000000 kB\nMemFree: 1 kB\nMemAvailable:   6000000 kB\nHugePages_Total: 0\n"}


@pytest.mark.parametrize(
    ("files", "quota", "total", "available"),
    [
        (GROUP_2, 1.5, 4e9, 1e9),
        (GROUP_1, 1.5, 4e9, 1e9),
        (FREE, None, 8_192_000_000, 6_144_000_000),
        ({}, None, 8_192_000_000, 6_144_000_000),
    ],
)
def test_limits_of_control_groups_count(tmp_path, files, quota, total, available):
    for name, text in {**MEMORY, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert limits.cores(tmp_path)[2] == quota
    assert limits.usable(tmp_path) == (1 if quota else limits.cores(tmp_path)[1])
    assert limits.memory(tmp_path) == (total, available)


def test_little_memory_and_little_shared_memory_are_warned_of(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "memory", lambda: (8e9, 1e9))
    assert machine._memory().state == "warning"
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: SimpleNamespace(free=64 * 2**20))
    (found,) = machine._shared_memory(tmp_path)
    assert found.state == "warning" and found.told.startswith("67 MB free")
    assert list(machine._shared_memory(tmp_path / "none")) == []


def test_gpus_are_told_as_their_driver_tells_them(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    monkeypatch.setattr(machine.shutil, "which", lambda name: str(program))
    program.write_text("#!/bin/sh\necho 'NVIDIA H100, 81559 MiB, 81000 MiB, 570.86'\n")
    program.chmod(0o755)
    (found,) = machine._driver()
    assert found.told == "NVIDIA H100, 81000 MiB of 81559 MiB free, driver 570.86" and found.name == "GPU 0"
    program.write_text("#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n")
    (found,) = machine._driver()
    assert found.state == "warning" and "version mismatch" in found.told


@pytest.mark.parametrize(
    ("capability", "compiled", "runs"),
    [
        ((8, 6), ["sm_70", "sm_80"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_80"], False),
        ((12, 0), ["sm_80", "compute_90"], True),
        ((6, 1), ["sm_70", "compute_90"], False),
        ((10, 0), ["sm_100"], True),
        ((9, 0), ["sm_90a"], True),
        ((9, 0), [], False),
    ],
)
def test_compiled_code_serves_its_own_architectures(capability, compiled, runs):
    assert gpus.serves(capability, compiled) is runs


def test_a_gpu_that_torch_is_not_compiled_for_is_a_problem(monkeypatch):
    properties = SimpleNamespace(name="Old", major=5, minor=2)
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_device_properties": lambda i: properties,
        "mem_get_info": lambda i: (3e9, 4e9),
        "get_arch_list": lambda: ["sm_80"],
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    (found,) = gpus.gpus()
    assert found.state == "problem" and "3.0 GB of 4.0 GB free, compute capability 5.2" in found.told
    properties.major, properties.minor = 8, 6
    assert [each.state for each in gpus.gpus()] == ["ok"]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda i: (1e9, 4e9))
    assert [each.state for each in gpus.gpus()] == ["warning"]

    def lost(i):
        raise RuntimeError("CUDA error: device is lost")

    monkeypatch.setattr(torch.cuda, "mem_get_info", lost)
    (found,) = gpus.gpus()
    assert found.told == "cannot be used: RuntimeError: CUDA error: device is lost"


def test_no_gpu_has_its_reason(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [each.advice for each in gpus.gpus()] == ["unset CUDA_VISIBLE_DEVICES"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert [each.told for each in gpus.gpus()] == ["none for torch, which is built for CPUs only"]


def test_torch_is_described_with_its_backends():
    found = {each.name: each for each in devices.check()}
    assert found["torch"].facts["backends"]["OpenMP"] == torch.backends.openmp.is_available()
    assert torch.__version__ in found["torch"].told
    assert found["threads"].facts["threads"] == torch.get_num_threads()
    assert "a group of one process met over gloo" in found["distributed"].told


def test_more_threads_than_cores_are_warned_of(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(devices, "usable", lambda: 4)
    assert devices._threads().state == "warning" and devices._threads().advice == "export OMP_NUM_THREADS=4"


def test_processes_that_cannot_meet_are_warned_of(monkeypatch):
    def refuse():
        raise RuntimeError("gloo: unable to resolve address")

    monkeypatch.setattr(devices, "_meet", refuse)
    (found,) = devices._distributed()
    assert found.state == "warning" and found.advice == "export GLOO_SOCKET_IFNAME=lo"


def test_steps_are_really_trained_in_the_precision_that_was_asked_for():
    for name in ("32-true", "bf16-mixed"):
        one_step.step(torch.device("cpu"), name)
    with pytest.raises(RuntimeError, match=r"computes in torch\.bfloat16"):  # what the Trainer does on a CPU
        one_step.step(torch.device("cpu"), "16-mixed")


def test_precisions_that_do_not_train_are_told(monkeypatch):
    def step(device, name):
        if name in broken:
            raise RuntimeError("not implemented for 'BFloat16'")

    monkeypatch.setattr(precision, "step", step)
    monkeypatch.setattr(precision, "_devices", lambda: [torch.device("cpu")])
    monkeypatch.setattr(precision, "speed", lambda device: 0.05)
    broken = {"bf16-mixed"}
    bad, good, speed = precision.check()
    assert bad.state == "warning" and bad.told.startswith("bf16-mixed does not train: RuntimeError: not implemented")
    assert good.told.startswith("32-true train") and speed.told.startswith("bf16 does not pay")
    broken = {"32-true", "bf16-mixed"}
    assert [each.state for each in precision.check()] == ["problem", "warning", "note"]


@pytest.mark.parametrize(
    ("ratio", "words", "pays"),
    [(2.0, "2.0 times as fast", True), (1.0, "makes no difference", False), (0.4, "takes 2.5 times as long", False)],
)
def test_whether_bf16_pays_is_what_was_measured(monkeypatch, ratio, words, pays):
    monkeypatch.setattr(precision, "speed", lambda device: ratio)
    found = precision._speed(torch.device("cpu"))
    assert words in found.told and found.facts == {"bf16_speed": ratio, "bf16_pays": pays}


def test_the_speed_is_that_of_bf16_over_fp32(monkeypatch):
    """Slow one of the two down on purpose."""
    forward = torch.nn.Conv2d.forward

    def slowed(self, pictures):
        if torch.is_autocast_enabled("cpu"):
            precision.time.sleep(0.2)
        return forward(self, pictures)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", slowed)
    monkeypatch.setattr(precision, "SIZES", {"cpu": (1, 4, 8)})
    assert precision.speed(torch.device("cpu")) < 0.2


def test_numba_compiles_or_is_not_needed(monkeypatch):
    numba, world = renderer.check()
    assert numba.state == "ok" and numba.facts["seconds"] > 0
    assert world.state in ("ok", "note")
    monkeypatch.setattr(renderer, "find_spec", lambda name: None)
    assert [each.state for each in renderer.check()] == ["note"]


def test_a_clip_is_really_written(monkeypatch):
    assert [each.state for each in clips.check()] == ["ok"]

    def missing():
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    (found,) = clips.check()
    assert found.state == "warning" and "--clip gif" in found.told


@pytest.fixture
def variables(monkeypatch):
    """Set the variables of launchers, and no others of theirs."""
    for name in [name for words in launcher.GROUPS.values() for name in words.split()]:
        monkeypatch.delenv(name, raising=False)

    def found(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return list(launcher.check())

    return found


def test_variables_of_launchers_are_told_by_name(variables):
    (found,) = variables()
    assert found.told == "none of those that change how runs start"
    found = variables(OMP_NUM_THREADS="2", NCCL_DEBUG="INFO", UNRELATED="x")
    assert [(each.name, each.told) for each in found] == [
        ("threads", "OMP_NUM_THREADS=2"),
        ("network", "NCCL_DEBUG=INFO"),
    ]


def test_variables_that_would_make_a_run_wait_are_warned_of(variables):
    found = variables(WORLD_SIZE="4", MASTER_ADDR="localhost")
    assert found[-1].told == "WORLD_SIZE=4 is set without RANK, LOCAL_RANK and MASTER_PORT"
    found = variables(RANK="0", LOCAL_RANK="0", MASTER_PORT="1", SLURM_NTASKS="4", SLURM_JOB_NAME="train")
    assert [(each.name, each.advice) for each in found if each.state == "warning"] == [
        ("SLURM", "srun lightning fit ...")
    ]
    assert all(each.state == "ok" for each in variables(SLURM_STEP_ID="0"))


def test_interfaces_that_are_not_there_are_warned_of(variables):
    lo = socket.if_nameindex()[0][1]
    assert all(each.state == "ok" for each in variables(GLOO_SOCKET_IFNAME=lo, NCCL_SOCKET_IFNAME=f"={lo}"))
    assert all(each.state == "ok" for each in variables(NCCL_SOCKET_IFNAME="^docker"))
    found = variables(GLOO_SOCKET_IFNAME=f"{lo},nope0")
    assert found[-1].state == "warning" and "names nope0, and there are" in found[-1].told
