"""The renderer of the embedded world: whether numba compiles here, and whether its kernels are compiled already."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from sat3d.commands.checks.finding import Finding, one_line
from sat3d.commands.checks.requirements import install

NEEDS = ("torch",)


def check() -> Iterator[Finding]:
    """Compile a small function, and draw a head if that takes no long compilation."""
    if find_spec("numba") is None:
        yield Finding("numba", "not installed; only what draws the embedded world needs it", "note", install(["numba"]))
        return
    start = time.perf_counter()
    if _compiled()(100) != 4950:
        yield Finding("numba", "compiles a function that does not add up", "problem", install(["numba"], "--upgrade"))
        return
    seconds = time.perf_counter() - start
    yield Finding("numba", f"compiles; a small function took {seconds:.1f} s", facts={"seconds": round(seconds, 2)})
    yield _world()


def _compiled():  # type: ignore[no-untyped-def]
    from numba import njit

    @njit(fastmath=True, nogil=True, error_model="numpy")
    def added(count: int) -> int:
        total = 0
        for i in range(count):
            total += i
        return total

    return added


def _world() -> Finding:
    """Draw one head, unless its kernels have yet to be compiled."""
    try:
        from sat3d.world.tracing import render_all
    except RuntimeError as error:  # numba's, where it finds no folder to keep anything in
        told = f"compiled kernels cannot be kept: {one_line(error)}"
        return Finding("world", told, "problem", "export NUMBA_CACHE_DIR=DIR")
    from sat3d.world import load_world

    kept = Path(render_all._cache.cache_path)
    if not any(kept.glob("tracing.render_all*.nbi")):
        return Finding("world", f"kernels will be compiled at first use, in half a minute, and kept in {kept}", "note")
    start = time.perf_counter()
    world = load_world("heads")
    codes, cameras = world.sample(0, range(1))
    picture = world.render(world.coordinates(codes), cameras, resolution=32, supersampling=1)
    seconds = time.perf_counter() - start
    parts = len(picture.segmentation.unique())
    told = f"a head of {parts} parts drawn in {seconds:.1f} s, with kernels kept in {kept}"
    return Finding("world", told, facts={"seconds": round(seconds, 2)})
