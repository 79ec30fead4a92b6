"""Two processes that hold uneven shares of the data compute what one computes from all of it."""

import math
import multiprocessing
import os

import torch
import torch.distributed as dist

from sat3d.metrics import (
    DCI,
    AttributeDependency,
    ChangeAtDrift,
    ColumnCovariance,
    ColumnMoments,
    EditLocality,
    MatchedDependency,
    RegionOverlap,
    TopRows,
)


def results(rows):
    """Compute all from some of twelve pictures; only whoever has the first of them has codes."""
    rng = torch.Generator().manual_seed(0)
    codes, pictures = torch.randn(64, 6, generator=rng), torch.rand(2, 12, 3, 8, 8, generator=rng) * 2 - 1
    labels, change = torch.randint(3, (12, 8, 8), generator=rng), torch.randn(12, 4, 5, generator=rng).cumsum(1)
    regions, maps = torch.stack([labels == k for k in range(3)], dim=1), torch.rand(12, 7, 8, 8, generator=rng)
    data = {
        DCI(("a", "b"), ("linear",), share=0.3): (codes, codes[:, :2]) if 0 in rows else None,
        ColumnMoments(6): (codes,) if 0 in rows else None,
        ColumnCovariance(3): (pictures[0, rows, :, 0, 0],),
        AttributeDependency(): (change[rows, 1], torch.ones(5), 2),
        MatchedDependency(): (change[rows], torch.ones(5), 2),
        ChangeAtDrift(): (change[rows], torch.ones(5), 2),
        RegionOverlap(7, 3): (maps[rows], regions[rows]),
        TopRows(3, 5): (pictures[0, rows, :, 1, 1].round(decimals=1), torch.tensor(list(rows))),
        EditLocality(): (*pictures[:, rows], regions[rows, :1].float()),
        (spread := ColumnMoments(3)): (1e3 + pictures[0, rows, :, 0, 0].double(),),
    }
    for metric, arguments in data.items():
        if arguments is not None:
            metric.update(*arguments)
    assert spread.moments[0, 0] == len(rows)
    return [metric.compute() for metric in data]


def work(folder, rank):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save([numbers(result) for result in results(range(9) if rank == 0 else range(9, 12))], folder / f"{rank}.pt")
    dist.barrier()


def numbers(result):
    """Flatten nested results to floats."""
    if isinstance(result, torch.Tensor):
        return result.double().flatten().tolist()
    if isinstance(result, (int, float, str)):
        return [result]
    return [x for part in (result.values() if isinstance(result, dict) else result) for x in numbers(part)]


def test_two_processes_add_up_to_one(tmp_path):
    expected = [numbers(result) for result in results(range(12))]
    context = multiprocessing.get_context("fork")  # children that import nothing anew: a second, not half a minute
    children = [context.Process(target=work, args=(tmp_path, rank), daemon=True) for rank in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=120)
    assert [child.exitcode for child in children] == [0, 0]
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        for two, one in zip(found, expected, strict=True):
            assert len(two) == len(one) > 0
            for a, b in zip(two, one, strict=True):
                assert a == b or math.isclose(a, b, rel_tol=1e-10) or (math.isnan(a) and math.isnan(b)), (two, one)
