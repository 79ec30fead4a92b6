"""How well clusters of activations tell the parts of the embedded head: which layer, and how many clusters.

    python benchmarks/regions.py             # about a minute
    python benchmarks/regions.py --seeds 3   # as in the documentation

Clusters are found on some codes and graded on others by the shipped part parser, at truncation 1, yaw ±0.35 and pitch
±0.25. Information is the adjusted mutual information of clusters and parts over pixels, also over those alone that the
parser does not call background. Overlap is the intersection over union of a part with the cluster that fits it best,
or with all clusters that are named after it because it has most of their pixels, as one would merge them by hand; the
mean over parts. Purity is the share of pixels whose cluster is named after their part; matched overlap gives each part
one cluster of its own, so that the mean is largest (Hungarian). Rows beside the layers: `picture` clusters colours, and
a layer of the backbone, whose maps are planes of the head and not its picture, shows what a wrong layer gives.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
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

SUPERRESOLUTION = tuple(f"superresolution.block0.{layer}" for layer in ("conv0", "conv1", "torgb"))
LAYERS = ("picture", "backbone.synthesis.b32.conv1", "renderer", *SUPERRESOLUTION)
CLUSTERS = (6, 8, 12, 20)
BATCH = 16


@torch.no_grad()
def look(stream: str, count: int) -> tuple[dict[str, Tensor], Tensor]:
    """Return the activations of codes by layer, colours among them, and the parser's parts."""
    generator, parser = load_generator("toyfaces64"), ParserRegions("toyfaces-parser")
    cameras = replace(generator.cameras, yaw=(-0.35, 0.35), pitch=(-0.25, 0.25))
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
    layer: str, clusters: int, seed: int, fitted: Mapping[str, Tensor], graded: Mapping[str, Tensor], parts: Tensor
) -> Grades:
    """Find clusters and grade them."""
    regions = RegionSource(clusters=clusters, layer=layer).build()
    regions.fit(fitted, seed)
    names = ParserRegions("toyfaces-parser").names
    return grade(regions.segment(graded["picture"], graded), parts, clusters, len(names))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, default=64, help="whose activations are clustered")
    parser.add_argument("--graded", type=int, default=100, help="other codes, on which clusters are graded")
    parser.add_argument("--seeds", type=int, default=2, help="of the clustering; the mean is told")
    options = parser.parse_args(arguments)
    fitted, _ = look("fit", options.codes)
    graded, parts = look("grade", options.graded)
    names = ParserRegions("toyfaces-parser").names
    columns = "information | without background | best overlap | named overlap | purity | matched overlap"
    print(f"| layer | clusters | {columns} |")
    print("|---|---|---|---|---|---|---|---|")
    best: dict[tuple[str, int], Tensor] = {}
    for layer in LAYERS:
        for clusters in CLUSTERS:
            runs = [measure(layer, clusters, seed, fitted, graded, parts) for seed in range(options.seeds)]
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
