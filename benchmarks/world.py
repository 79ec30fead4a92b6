"""Time the worlds' renderer: `python benchmarks/world.py [threads]` prints pictures a second (64 pixels, 2×2 rays)."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from sat3d.world import WORLDS, load_world


def main(threads: int = 2, count: int = 256, batch: int = 16) -> None:
    """Render `count` pictures of each world and print the rates, without compilation."""
    for name in WORLDS:
        time_world(name, threads, count, batch)


def time_world(name: str, threads: int, count: int, batch: int) -> None:
    """Print one world's rate."""
    world = load_world(name)
    z, camera = world.sample(0, range(count))
    u = world.coordinates(z)
    world.render(u[:1], camera[0])
    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda i: world.render(u[i : i + batch], camera[i : i + batch]), range(0, count, batch)))
    print(f"{name}: {count / (time.perf_counter() - begin):.1f} pictures/s on {threads} threads")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
