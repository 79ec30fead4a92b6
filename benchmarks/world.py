"""Time the worlds' renderer, and show the worlds.

Pictures a second are those of 64 pixels with 2×2 rays each, compilation left out:

python benchmarks/world.py
python benchmarks/world.py --picture docs/images/worlds.png    # some of each, and edits of one attribute
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from sat3d.visualization import picture_grid, write_picture
from sat3d.world import WORLDS, World, load_world

EDITS = {
    "heads": ("hat", ("none", "beanie", "cap", "brimmed")),
    "animals": ("species", ("cat", "wild", "dog")),
    "cars": ("body_type", ("sports", "convertible", "sedan", "hatchback", "suv", "pickup")),
}


def main() -> None:
    """Print the rates of all worlds, or write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--picture", type=Path, help="write a picture here, and time nothing")
    options = parser.parse_args()
    if options.picture:
        write_picture(options.picture, worlds_grid())
        return
    for name in WORLDS:
        print(f"{name}: {rate(load_world(name), options.threads, options.count):.1f} pictures/s")


def rate(world: World, threads: int, count: int, batch: int = 16) -> float:
    """Return how many pictures a second a world renders, without compilation."""
    z, camera = world.sample(0, range(count))
    u = world.coordinates(z)
    world.render(u[:1], camera[0])
    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda i: world.render(u[i : i + batch], camera[i : i + batch]), range(0, count, batch)))
    return count / (time.perf_counter() - begin)


def worlds_grid(columns: int = 12, side: int = 96) -> np.ndarray:
    """Draw, for each world, a row of samples and a row of ideal edits of one of its attributes, from its own view."""
    pages = []
    for name in WORLDS:
        world = load_world(name)
        z, camera = world.sample(3, range(columns))
        drawn = world.render(world.coordinates(z), camera, side, 3).rgb
        attribute, classes = EDITS[name]
        edits = []
        for code in range(-(-columns // len(classes))):
            row = z[code : code + 1].expand(len(classes), -1)
            edits.append(world.intervene(row, attribute, torch.arange(len(classes))))
        edited = torch.cat(edits)[:columns]
        view = world.domain.cameras.frontal().to(torch.float32).expand(columns)
        pages += [drawn, world.render(world.coordinates(edited), view, side, 3).rgb]
    return picture_grid(torch.stack(pages))


if __name__ == "__main__":
    main()
