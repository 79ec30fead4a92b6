"""Which precisions really train here, and whether bfloat16 is faster: small steps of a Trainer on each device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sat3d.commands.checks.finding import REPORT, Finding, listed, one_line
from sat3d.commands.checks.one_step import step

if TYPE_CHECKING:
    import torch

NEEDS = ("torch", "lightning.pytorch")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
SIZES = {"cpu": (4, 64, 16), "gpu": (8, 256, 128)}  # of the timed convolution: pictures, channels, pixels a side
ROUNDS, LONGEST = 7, 0.8  # at most so many measurements, and for so many seconds
PAYS, LOSES = 1.15, 0.87  # speeds of bfloat16 over float32 beyond which the difference is worth words


def check() -> Iterator[Finding]:
    """Train one step in each precision on the CPU and on each GPU, and time a convolution in two of them."""
    for device in _devices():
        yield from _steps(device)
        yield _speed(device)


def _devices() -> list[torch.device]:
    import torch

    gpus = [torch.device("cuda", i) for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)]
    return [torch.device("cpu"), *gpus, *([torch.device("mps")] if torch.backends.mps.is_available() else [])]


def _steps(device: torch.device) -> Iterator[Finding]:
    works, facts = [], {}
    for precision in PRECISIONS:
        if device.type == "cpu" and precision == "16-mixed":
            facts[precision] = "bf16-mixed"  # what the Trainer takes instead
            continue
        try:
            step(device, precision)
        except Exception as error:
            facts[precision] = one_line(error)
            told, why = f"{precision} does not train: {facts[precision]}", {precision: facts[precision]}
            if precision == "32-true":
                yield Finding(str(device), told, "problem", REPORT, why)
            else:
                yield Finding(str(device), told, "warning", "lightning fit --trainer.precision=32-true ...", why)
        else:
            facts[precision] = "works"
            works.append(precision)
    if works:
        told = f"{listed(works)} train"
        told += "; for 16-mixed the Trainer takes bf16-mixed on a CPU" if device.type == "cpu" else ""
        yield Finding(str(device), told, facts=facts)


def _speed(device: torch.device) -> Finding:
    ratio = speed(device)
    facts = {"bf16_speed": round(ratio, 2), "bf16_pays": ratio >= PAYS}
    if ratio >= PAYS:
        return Finding(str(device), f"bf16 pays: a convolution is {ratio:.1f} times as fast as in fp32", facts=facts)
    if ratio > LOSES:
        return Finding(
            str(device), f"bf16 makes no difference to the speed of a convolution ({ratio:.2f})", facts=facts
        )
    told = f"bf16 does not pay: a convolution takes {1 / ratio:.2g} times as long as in fp32"
    return Finding(str(device), told, "note", facts=facts)


def speed(device: torch.device) -> float:
    """Measure how many times as fast as in float32 a convolution is in bfloat16, forward and backward.

    Both are timed in turn, and the best of each counts, so that other work on the machine disturbs neither more.
    """
    import torch

    count, channels, side = SIZES["cpu" if device.type == "cpu" else "gpu"]
    layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(device)
    pictures = torch.randn(count, channels, side, side, device=device, requires_grad=True)

    def seconds(reduced: bool) -> float:
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=reduced):
            layer(pictures).float().mean().backward()
        if device.type != "cpu":
            getattr(torch, device.type).synchronize()
        return time.perf_counter() - start

    for reduced in (False, True):  # warm up
        seconds(reduced)
    best, end = [float("inf")] * 2, time.perf_counter() + LONGEST
    for _ in range(ROUNDS):
        best = [min(one, seconds(reduced)) for one, reduced in zip(best, (False, True), strict=True)]
        if time.perf_counter() > end:
            break
    return best[0] / best[1]
