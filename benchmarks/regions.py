"""How well clusters of activations tell the parts of an embedded world: which layer, and how many clusters.

    python benchmarks/regions.py             # about a minute
    python benchmarks/regions.py --seeds 3   # as in the documentation
    python benchmarks/regions.py --generator toycars64

Clusters are found on some codes and graded on others by the shipped part parser, at truncation 1, from near the view
(yaw ±0.35, pitch ±0.25; from all sides for cars). Information is the adjusted mutual information of clusters and parts
over pixels, also over those alone that the parser does not call background. Overlap is the intersection over union of a
part with the cluster that fits it best, or with all clusters that are named after it because it has most of their
pixels, as one would merge them by hand; the mean over parts. Purity is the share of pixels whose cluster is named after
their part; matched overlap gives each part one cluster of its own, so that the mean is largest (Hungarian). Rows beside
the layers: `picture` clusters colours, and a layer of the backbone, whose maps are planes of the thing and not its
picture, shows what a wrong layer gives.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from sklearn.metrics import adjusted_mutual_info_score
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sat3d.generators import load_generator
from sat3d.generators.sampling import CodeStream
from sat3d.metrics import agreement, part_overlap, pixel_counts
from sat3d.perception import ParserRegions, RegionSource
from sat3d.shipped import companion

SUPERRESOLUTION = tuple(f"superresolution.block0.{layer}" for layer in ("conv0", "conv1", "torgb"))
LAYERS = ("picture", "backbone.synthesis.b32.conv1", "renderer", *SUPERRESOLUTION)
CLUSTERS = (6, 8, 12, 20)
BATCH = 16


@torch.no_grad()
def look(name: str, parser: ParserRegions, stream: str, count: int) -> tuple[dict[str, Tensor], Tensor]:
    """Return the activations of codes by layer, colours among them, and the parser's parts."""
    generator = load_generator(name)
    cameras = generator.cameras.within("near", "near")
    codes, seen, parts = CodeStream(0, generator.z_dim, cameras, stream), [], []
    for indices in torch.arange(count).split(BATCH):
        s = generator.styles(generator.map(codes.z(indices)))
        out = generator.synthesize(s, codes.camera(indices), features=LAYERS[1:])
        seen.append({"picture": out.image, **out.features})
        parts.append(parser.segment(out.image))
    return {layer: torch.cat([batch[layer] for batch in seen]) for layer in LAYERS}, torch.cat(parts)


class Grades(NamedTuple):
    """Hold how well clusters fit parts.

    Args:
        everywhere: adjusted mutual information.
        head: the same without the background.
        best: overlap of each part with the cluster that fits best.
        named: overlap of each part with the clusters named after it.
        purity: share of pixels whose cluster is named after their part.
        matched: overlap of each part with the one cluster that is matched to it.
    """

    everywhere: float
    head: float
    best: Tensor
    named: Tensor
    purity: float
    matched: Tensor


def grade(labels: Tensor, parts: Tensor, clusters: int, count: int) -> Grades:
    """Compare the labels (B, h, w) of clusters with those (B, H, W) of parts, of which the first is the background."""
    labels = F.interpolate(labels[:, None].float(), parts.shape[-2:])[:, 0].long()  # as large as the picture
    fit = agreement(pixel_counts(labels, parts, clusters, count))
    some = torch.stack([parts.flatten(), labels.flatten()])[:, ::7]  # all pixels change the third digit
    head = some[:, some[0] > 0]
    information = (adjusted_mutual_info_score(*pairs.numpy()) for pairs in (some, head))
    best = part_overlap(fit.counts).amax(0)
    return Grades(*information, best, fit.merged, fit.total_purity, fit.matched)


def measure(
    layer: str,
    clusters: int,
    seed: int,
    fitted: Mapping[str, Tensor],
    graded: Mapping[str, Tensor],
    parts: Tensor,
    count: int,
) -> Grades:
    """Find clusters and grade them against `count` parts."""
    regions = RegionSource(clusters=clusters, layer=layer).build()
    regions.fit(fitted, seed)
    return grade(regions.segment(graded["picture"], graded), parts, clusters, count)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default="toyfaces64", help="of an embedded world")
    parser.add_argument("--codes", type=int, default=64, help="whose activations are clustered")
    parser.add_argument("--graded", type=int, default=100, help="other codes, on which clusters are graded")
    parser.add_argument("--seeds", type=int, default=2, help="of the clustering; the mean is told")
    options = parser.parse_args(arguments)
    regions = ParserRegions(companion(options.generator, "parser") or "toyfaces-parser")
    fitted, _ = look(options.generator, regions, "fit", options.codes)
    graded, parts = look(options.generator, regions, "grade", options.graded)
    names = regions.names
    columns = "information | without background | best overlap | named overlap | purity | matched overlap"
    print(f"| layer | clusters | {columns} |")
    print("|---|---|---|---|---|---|---|---|")
    best: dict[tuple[str, int], Tensor] = {}
    for layer in LAYERS:
        for clusters in CLUSTERS:
            seeds = range(options.seeds)
            runs = [measure(layer, clusters, seed, fitted, graded, parts, len(names)) for seed in seeds]
            means = [torch.stack([torch.as_tensor(x) for x in column]).mean(0) for column in zip(*runs, strict=True)]
            best[layer, clusters] = means[2]
            print(f"| {layer} | {clusters} | {' | '.join(f'{float(x.mean()):.3f}' for x in means)} |", flush=True)
    shown = [
        ("renderer", 8),
        ("renderer", 20),
        ("superresolution.block0.conv1", 8),
        ("superresolution.block0.conv1", 12),
    ]
    print(f"\n| part | share of pixels | {' | '.join(f'{layer}, {k}' for layer, k in shown)} |")
    print("|---|---|" + "---|" * len(shown))
    share = parts.flatten().bincount(minlength=len(names)) / parts.numel()
    for i, name in enumerate(names):
        print(f"| {name} | {share[i]:.3f} | {' | '.join(f'{best[key][i]:.2f}' for key in shown)} |")


if __name__ == "__main__":
    main()
