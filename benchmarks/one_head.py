"""Fit the embedded generator to one head: `python benchmarks/one_head.py [steps]` prints the PSNR of views not seen.

Before a long training on all heads: can planes, renderer, losses and rates draw eyes, a mouth and glasses at all?
"""

import sys
import time

import torch
from torch import nn
from tqdm import tqdm

from sat3d.data.world import PictureBatch
from sat3d.generators import TOY_CAMERAS
from sat3d.ops import Camera
from sat3d.pretraining.generator_figures import GeneratorFigures
from sat3d.pretraining.generator_settings import GeneratorRates, ToyGeneratorConfig, rate_kind
from sat3d.pretraining.picture_loss import PictureLoss, PictureLossWeights
from sat3d.world import World, load_world

VIEWS, HELD_OUT, BATCH = 60, 20, 16


def main(steps: int = 800) -> None:
    """Fit everything from scratch on 60 views of a head with glasses, grade 20 others."""
    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    world = load_world("heads")
    batch = views_of_a_head(world, VIEWS + HELD_OUT)
    generator = ToyGeneratorConfig().build(world)
    w = nn.Parameter(torch.randn(1, generator.w_dim))
    rates, groups = GeneratorRates(), {}
    for name, p in generator.named_parameters():
        groups.setdefault(rate_kind(name), []).append(p)
    optimizer = torch.optim.Adam(
        [{"params": ps, "lr": getattr(rates, kind)} for kind, ps in groups.items()] + [{"params": [w], "lr": 0.01}],
        betas=(0.9, 0.99),
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss, begin = PictureLoss(world.parts, world.domain.small_parts, PictureLossWeights()), time.perf_counter()
    for step in (bar := tqdm(range(steps))):
        picked = torch.randperm(VIEWS)[:BATCH]
        rendering, marched = trace(generator, w, taken(batch, picked), torch.Generator().manual_seed(step))
        total = sum(loss(rendering, marched, taken(batch, picked)).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{float(total.detach()):.3f}")
    figures, seconds = GeneratorFigures(world.parts), time.perf_counter() - begin
    with torch.no_grad():
        unseen = taken(batch, torch.arange(VIEWS, VIEWS + HELD_OUT))
        figures.update(trace(generator, w, unseen)[0], unseen)
    measured = figures.compute()
    print(
        f"{steps} steps, {seconds:.0f} s: PSNR {measured['psnr']:.1f} dB whole, {measured['psnr_object']:.1f} dB head"
    )


def views_of_a_head(world: World, count: int) -> PictureBatch:
    """Render a head with glasses from `count` cameras of the training distribution."""
    z = world.intervene(world.sample(3, [5])[0], "glasses", "round")
    u = world.coordinates(z).expand(count, -1)
    camera = TOY_CAMERAS.sample(torch.rand(count, 2, generator=torch.Generator().manual_seed(0)))
    picture = world.render(u, camera)
    return PictureBatch(
        picture.rgb, picture.segmentation, picture.depth, z.expand(count, -1), u, camera.label(), torch.arange(count)
    )


def taken(batch: PictureBatch, rows: torch.Tensor) -> PictureBatch:
    """Pick pictures."""
    return PictureBatch(**{name: value[rows] for name, value in vars(batch).items()})


def trace(generator, w, batch, jitter="midpoint"):
    """Render a batch's views of the one head; its planes are made once."""
    s = generator.styles(w.unsqueeze(1).expand(-1, generator.num_ws, -1))
    return generator.trace(generator.planes(s), s, Camera.from_label(batch.camera_label), jitter=jitter)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
