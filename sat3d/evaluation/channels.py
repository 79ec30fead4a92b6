"""What style channels are worth: their effects on what a judge reads, and how well a discovery finds them.

After the experiments of StyleSpace (Wu et al. 2021, arXiv 2011.12799, §3 to §6), with the truth that the embedded world
knows, and that the paper's experiments do without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sat3d.generators import Generator
from sat3d.ops.camera import Camera
from sat3d.perception import Scorer
from sat3d.world import Attribute, World


def true_logits(world: World, z: Float[Tensor, "n z"]) -> tuple[Float[Tensor, "n p"], tuple[str, ...]]:
    """Return how clearly each code has each attribute, above 0 where it has it; no observer takes part.

    A continuous attribute's is its coordinate minus 0.5; a class's is the signed depth in its bin (lo, hi) of the
    uniform coordinate u, min(u − lo, hi − u), so that both tails are clear cases. Of two classes only the second has a
    column: the first's would tell the same again.

    Returns:
        logits, (N, P), float64; names of the columns, as observers name theirs: `smile/value`, `beard/long`.
    """
    coordinates, names, columns = world.coordinates(z), [], []
    for u, attribute in zip(coordinates.T, world.attributes, strict=True):
        if attribute.kind == "continuous":
            names.append(f"{attribute.name}/value")
            columns.append(u - 0.5)
            continue
        edges = attribute.edges.tolist()
        bins = list(zip(attribute.classes, edges[:-1], edges[1:], strict=True))
        for label, low, high in bins[1:] if len(bins) == 2 else bins:
            names.append(f"{attribute.name}/{label}")
            columns.append(torch.minimum(u - low, high - u))
    return torch.stack(columns, dim=1), tuple(names)


def shown_in(columns: Sequence[str], attributes: Sequence[Attribute], parts: Sequence[str]) -> Bool[Tensor, "p k"]:
    """Tell in which parts each column's attribute shows.

    Args:
        columns: `attribute/class`, P.
        attributes: of the world.
        parts: names of the regions, K.

    Raises:
        KeyError: for a column of an unknown attribute.
    """
    known = {a.name: a.parts for a in attributes}
    return torch.tensor([[part in known[column.partition("/")[0]] for part in parts] for column in columns])


@torch.no_grad()
def log_odds_of(
    generator: Generator, scorer: Scorer, styles: Float[Tensor, "b c"], camera: Camera | None, batch_size: int = 16
) -> Float[Tensor, "b p"]:
    """Read the pictures of some styles: log-odds (B, P).

    Args:
        generator: draws.
        scorer: reads.
        styles: (B, C).
        camera: one for each style, one for all, or `None` in 2-D.
        batch_size: pictures drawn at a time; those of 32 and more are slower on a processor.
    """
    camera = None if camera is None else camera.expand(len(styles))
    made = []
    for start in range(0, len(styles), batch_size):
        rows = slice(start, start + batch_size)
        image = generator.synthesize(styles[rows], camera=None if camera is None else camera[rows]).image
        made.append(scorer.log_odds(image))
    return torch.cat(made)


def channel_effects(
    generator: Generator,
    scorer: Scorer,
    s: Float[Tensor, "1 c"],
    camera: Camera | None,
    step: Float[Tensor, " c"],
    batch_size: int = 16,
) -> Float[Tensor, "c p"]:
    """Move each channel of one code alone, and read the picture: (l(s + step_u) − l(s − step_u)) / 2.

    Args:
        generator: draws 2 C pictures.
        scorer: reads them.
        s: one flat style.
        camera: 3-D only: one camera.
        step: of each channel; σ, say.
        batch_size: see `log_odds_of`.

    Returns:
        change of the log-odds by one step, (C, P).
    """
    moves = torch.diag(step.to(s)).repeat_interleave(2, dim=0)
    moves[1::2] *= -1
    read = [log_odds_of(generator, scorer, s + some, camera, batch_size) for some in moves.split(16 * batch_size)]
    up, down = torch.cat(read).unflatten(0, (-1, 2)).unbind(1)
    return (up - down) / 2


def consistent(
    effects: Float[Tensor, "b c p"], level: float = 0.05, draws: int = 200, seed: int = 0
) -> Bool[Tensor, " c"]:
    """Tell which channels move some column the same way in different pictures.

    A channel's strongest mean |effect| over the columns is held against what it would be if every picture's effects
    pointed either way: pictures' signs are flipped at random, `draws` times, and the strongest is taken again.

    Args:
        effects: of each picture, (B, C, P).
        level: share of channels without a consistent effect that pass nonetheless.
        draws: of the signs.
        seed: of the draws.

    Raises:
        ValueError: fewer pictures than can tell at this level.
    """
    if 2.0 ** (1 - len(effects)) > level:
        raise ValueError(f"{len(effects)} pictures cannot tell effects at a level of {level:g}; take more")
    signs = torch.randint(2, (draws, len(effects)), generator=torch.Generator().manual_seed(seed)) * 2.0 - 1.0
    flipped = torch.stack([torch.tensordot(sign.to(effects), effects, 1).abs().amax(1) for sign in signs])
    return effects.sum(0).abs().amax(1) > flipped.quantile(1 - level, dim=0)


class RegionAgreement(NamedTuple):
    """Hold how often a channel's strongest attribute shows in the region that the channel was found to act on.

    Args:
        judged: channels of each region, (K,).
        right: those of them whose strongest attribute shows there, (K,).
        chance: share that would be right if the same regions were dealt out to the same channels at random.
    """

    judged: Tensor
    right: Tensor
    chance: float

    @property
    def precision(self) -> float:
        """Share of all judged channels that are right; NaN without any."""
        return float(self.right.sum() / self.judged.sum())


def region_agreement(
    effect: Float[Tensor, "c p"], shows: Bool[Tensor, "p k"], region: Int[Tensor, " c"], known: Bool[Tensor, " c"]
) -> RegionAgreement:
    """Compare the channels' regions with where their strongest attributes show.

    Args:
        effect: of each channel on each column, in σ of the column, (C, P).
        shows: in which regions each column's attribute shows, (P, K).
        region: of each channel, −1 for none, (C,); `ChannelRegions.local`.
        known: channels whose strongest attribute is known, (C,); `consistent`.
    """
    chosen = known & (region >= 0)
    where, right_in = region[chosen], shows[effect[chosen].abs().argmax(1)]
    right = right_in.gather(1, where[:, None])[:, 0]
    regions = shows.shape[1]
    judged = torch.bincount(where, minlength=regions)
    chance = (right_in.double().mean(0) * judged).sum() / judged.sum()
    return RegionAgreement(judged, torch.bincount(where[right], minlength=regions), float(chance))


class Hits(NamedTuple):
    """Hold what a ranking of channels is worth for one column.

    Args:
        first: the first channel's |effect| is at least `share` of the strongest.
        five: one of the first five channels' is.
        sign: the first channel's direction is that of its effect; meaningful where `first` holds.
        reach: |effect| of the first channel by the strongest.
        chance: of `first` and of `five` with a random ranking.
    """

    first: bool
    five: bool
    sign: bool
    reach: float
    chance: tuple[float, float]


def ranking_hits(
    theta: Float[Tensor, " c"],
    direction: Float[Tensor, " c"],
    effect: Float[Tensor, " c"],
    candidates: Bool[Tensor, " c"],
    among: Bool[Tensor, " c"] | None = None,
    share: float = 0.5,
) -> Hits:
    """Tell whether the channels that a discovery ranks first are among those that move a column most.

    Args:
        theta: what the channels are ranked by, highest first, (C,).
        direction: in which each is said to raise the column, −1, 0 or 1, (C,).
        effect: true effect of a step up on the column, (C,).
        candidates: channels that are ranked, (C,).
        among: channels whose strongest effect is the measure, (C,); the candidates if not given.
        share: of the strongest effect that makes a hit.

    Raises:
        ValueError: fewer than five candidates.
    """
    pool, size = candidates.nonzero()[:, 0], effect.abs()
    if len(pool) < 5:
        raise ValueError(f"five channels are looked at, the candidates are {len(pool)}")
    strongest = float(size[candidates if among is None else among].max())
    ranked = pool[theta[pool].argsort(descending=True, stable=True)[:5]]
    hit = size[ranked] >= share * strongest
    strong = float((size[pool] >= share * strongest).double().mean())
    missed = 1.0
    for i in range(5):
        missed *= max(0.0, len(pool) * (1 - strong) - i) / (len(pool) - i)
    return Hits(
        bool(hit[0]),
        bool(hit.any()),
        bool(direction[ranked[0]] * effect[ranked[0]] > 0),
        float(size[ranked[0]]) / strongest,
        (strong, 1 - missed),
    )


def target_first(columns: Sequence[str], target: str) -> Int[Tensor, " n"]:
    """Return the target's column and then those of all other attributes: the target's own other classes are left out.

    Raises:
        ValueError: for an unknown target.
    """
    own = target.partition("/")[0]
    others = [i for i, column in enumerate(columns) if column.partition("/")[0] != own]
    return torch.tensor([list(columns).index(target), *others])


def swept_changes(
    generator: Generator,
    scorer: Scorer,
    styles: Float[Tensor, "b c"],
    camera: Camera | None,
    move: Float[Tensor, "b c"] | Float[Tensor, " c"],
    strengths: Sequence[float],
    batch_size: int = 16,
) -> Float[Tensor, "b d p"]:
    """Read how the log-odds change along s + strength · move.

    Args:
        generator: draws.
        scorer: reads.
        styles: (B, C).
        camera: one for each style, or `None` in 2-D.
        move: of each style, or one for all.
        strengths: D.
        batch_size: see `log_odds_of`.

    Returns:
        change against the unedited picture, (B, D, P).
    """
    before = log_odds_of(generator, scorer, styles, camera, batch_size)
    moved = [log_odds_of(generator, scorer, styles + t * move.to(styles), camera, batch_size) for t in strengths]
    return torch.stack(moved, dim=1) - before[:, None]
