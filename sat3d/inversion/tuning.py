"""Pivotal tuning: a private copy of the generator that draws one picture better from its code."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat3d.generators import CodeStream, Generator
from sat3d.inversion.codes import PictureCodes
from sat3d.inversion.losses import LossOptions, PictureDistance
from sat3d.inversion.optimization import Progress
from sat3d.perception.networks import fit_resolution


@dataclass(frozen=True)
class TuningOptions:
    """Set pivotal tuning (Roich et al. 2021, arXiv 2106.05744): the code stays, the generator's weights move.

    Mapping and affine layers stay as they are, so that codes, styles and editors mean the same before and after.

    Args:
        steps: of Adam.
        lr: step size; 3e-4 in the paper.
        locality: weight of the locality regularisation (§3.3): codes near the pivot are to look as before.
        reach: how far from the pivot these codes lie, α; 30 in the paper, where w is 512 wide.
        loss: what the picture is compared by; its `code` is left out.
        seed: of the other codes.
    """

    steps: int = 100
    lr: float = 3e-4
    locality: float = 0.1
    reach: float = 4.0
    loss: LossOptions = field(default_factory=LossOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.lr <= 0 or self.locality < 0:
            raise ValueError(f"tune: steps={self.steps}, lr={self.lr}, locality={self.locality} must be above 0")


def tuned_weights(generator: Generator) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters that pivotal tuning moves, by name: all but those that make codes and styles."""
    for name, weight in generator.named_parameters():
        if ".affine." not in f".{name}" and ".mapping." not in f".{name}" and not name.startswith("mapping."):
            yield name, weight


@torch.enable_grad()
def tune(
    generator: Generator,
    codes: PictureCodes,
    picture: Float[Tensor, "1 3 h w"],
    options: TuningOptions | None = None,
    progress: Progress | None = None,
) -> PictureCodes:
    """Return the codes of one picture with what a private copy of the generator learnt to draw it.

    Args:
        generator: stays as it is.
        codes: of the picture, from `Inverter`.
        picture: in [-1, 1].
        options: of the tuning.
        progress: told after every step.

    Raises:
        ValueError: for more pictures than one.
    """
    if len(codes) != 1 or len(picture) != 1:
        raise ValueError(f"tuning: one picture at a time, not {len(codes)}")
    o = options or TuningOptions()
    distance = PictureDistance(o.loss, generator.name, generator.device)
    net = _private(generator)
    weights = dict(tuned_weights(net))
    for weight in weights.values():
        weight.requires_grad_(True)
    target = distance.seen(fit_resolution(picture.to(generator.device), generator.resolution))
    others = CodeStream(o.seed, generator.z_dim, stream="locality")
    optimizer = torch.optim.Adam(weights.values(), lr=o.lr)
    for step in range(o.steps):
        image = net.synthesize(codes.styles, camera=codes.camera).image
        loss = torch.stack(list(distance(image, target).values())).sum()
        if o.locality:
            near = _towards(generator, codes, others.z([step]).to(generator.device), o.reach)
            with torch.no_grad():
                before = distance.seen(generator.synthesize(near, camera=codes.camera).image)
            after = net.synthesize(near, camera=codes.camera).image
            loss = loss + o.locality * torch.stack(list(distance(after, before).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if progress is not None:
            progress(step + 1, o.steps, float(loss.detach()))
    own = dict(generator.named_parameters())
    moved = {name: (weight.detach() - own[name].detach()) for name, weight in weights.items()}
    return replace(codes, tuned=moved, card={**codes.card, "tuning": asdict(o)})


def with_tuning(generator: Generator, tuned: Mapping[str, Tensor]) -> Generator:
    """Return a generator with what tuning moved: itself without any, else a private copy, frozen.

    Raises:
        ValueError: for weights that it does not have.
    """
    if not tuned:
        return generator
    net = _private(generator)
    own = dict(net.named_parameters())
    if unknown := [name for name in tuned if name not in own or own[name].shape != tuned[name].shape]:
        raise ValueError(f"tuned weights {', '.join(unknown[:3])} are not the generator's; invert the picture again")
    with torch.no_grad():
        for name, moved in tuned.items():
            own[name].add_(moved.to(own[name]))
    return net.freeze()


def _private(generator: Generator) -> Generator:
    with torch.inference_mode(False):
        net = copy.deepcopy(generator)
    net.name = generator.name
    return net


def _towards(generator: Generator, codes: PictureCodes, z: Tensor, reach: float) -> Float[Tensor, "1 c"]:
    """Return the styles of w_p + α·(w_z − w_p)/‖w_z − w_p‖, equation (5) of the paper, for every layer's w."""
    with torch.no_grad():
        c = None
        if generator.c_dim and not generator.is_3d:
            c = torch.eye(generator.c_dim, device=generator.device)[:1]
        way = generator.map(z, c) - codes.ws
        ws = codes.ws + reach * way / way.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        return codes.styles + generator.styles(ws) - generator.styles(codes.ws)
