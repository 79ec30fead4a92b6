"""Teach a mapping network the w that attributes give: its early layers read normal scores off z, its late ones classes.

Where one class ends and the next begins, w jumps. A network that follows w from random weights must find both at once:
what the world does to codes, which is smooth, and where its classes end, which is known. So the first is learned alone,
a stage at a time, the second is written down, and both are joined into one mapping network of ordinary layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from sat3d.generators.layers import FullyConnected, MappingNetwork
from sat3d.world import World
from sat3d.world.codes import normal_from_uniform

HIDDEN = 128  # width of the network from attributes
LATE = 3  # layers from normal scores to w: the classes' steps, and the two of the network from attributes
STEEPNESS = 30.0  # of the steps: they rise within 1/30 of a normal score's standard deviation


def fit(network: nn.Module, rate: float, steps: int, loss: Callable[[int], Tensor], doing: str, quiet: bool) -> None:
    """Train fully connected layers alone, on a cosine: square weights by Muon (Jordan 2024), all else by Adam.

    Muon's step has the same length in every direction, which serves regressions as exact as these.

    Args:
        network: of `FullyConnected` layers.
        rate: Adam's; Muon's is this times √width, which equalised weights are divided by.
        steps: to take.
        loss: of a step's number.
        doing: what the progress bar says.
        quiet: show no bar.

    Raises:
        RuntimeError: if torch is older than Muon.
    """
    if not hasattr(torch.optim, "Muon"):
        raise RuntimeError(f"Muon came with torch 2.9, and this is {torch.__version__}: pip install 'torch>=2.9'")
    square = [m.weight for m in network.modules() if isinstance(m, FullyConnected) and _is_square(m.weight)]
    chosen = {id(p) for p in square}
    rest = [p for p in network.parameters() if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(rest, lr=rate, betas=(0.9, 0.99))]
    if square:
        groups = [{"params": [p], "lr": rate * math.sqrt(len(p))} for p in square]
        optimizers.append(torch.optim.Muon(groups, weight_decay=0.0))
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(o, max(1, steps)) for o in optimizers]
    with torch.enable_grad(), torch.autocast(next(network.parameters()).device.type, enabled=False):
        for step in (bar := tqdm(range(steps), desc=doing, disable=quiet)):
            difference = loss(step)
            for optimizer in optimizers:
                optimizer.zero_grad()
            difference.backward()
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                schedule.step()
            if step % 50 == 0:
                bar.set_postfix(difference=f"{float(difference.detach()):.2e}")


def attribute_network(world: World, w_dim: int) -> nn.Sequential:
    """Return a fresh network from the world's features (B, F) to w (B, w)."""
    features = world.features(torch.full((1, len(world.attributes)), 0.5)).shape[1]
    return nn.Sequential(FullyConnected(features, HIDDEN, activate=True), FullyConnected(HIDDEN, w_dim, activate=True))


def stage_networks(mapping: MappingNetwork, world: World, seed: int) -> list[nn.Sequential]:
    """Return fresh networks from each of the world's stages to the next, which a mapping network has room for.

    Args:
        mapping: whose early layers are shared out; the last stage has more of them if they do not come out even.
        world: of the codes.
        seed: of the weights.

    Raises:
        ValueError: if the mapping network is not deep or wide enough for the stages and the classes.
    """
    layers = _layers(mapping)
    stages = len(world.stages(torch.zeros(1, world.z_dim)))
    width = len(layers[0].weight)
    early = len(layers) - LATE
    if early < stages:
        raise ValueError(f"mapping_layers={len(layers)}: this world takes {stages + LATE} or more")
    if width < (units := max(HIDDEN, len(_steps(world)[0]))):
        raise ValueError(f"mapping_width={width}: this world takes {units} or more")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = []
        for stage in range(stages):
            depth = early * (stage + 1) // stages - early * stage // stages
            widths = [world.z_dim, *[width] * depth]
            hidden = [FullyConnected(i, o, activate=True) for i, o in pairwise(widths)]
            networks.append(nn.Sequential(*hidden, FullyConnected(width, world.z_dim)))
    return networks


@torch.no_grad()
def late_layers(world: World, from_attributes: nn.Sequential) -> nn.Sequential:
    """Return layers from normal scores (B, A) to the w that the network from attributes gives (B, w).

    Away from the classes' steps they are the same to rounding. A step is the difference of two leaky ReLUs,
    (l(k(x − t) + ½) − l(k(x − t) − ½) − ⅕) / ⅘, which is 0 below and 1 above the edge t, and a ramp of width 1/k
    between.
    """
    into, bias, out, constant = _steps(world)
    first = FullyConnected(into.shape[1], len(into), activate=True)
    _write(first, into, bias)
    weight, offset = _read(from_attributes[0])
    second = FullyConnected(len(into), len(weight), activate=True)
    _write(second, weight @ out, offset + weight @ constant)
    return nn.Sequential(first, second, from_attributes[1])


@torch.no_grad()
def join(mapping: MappingNetwork, parts: Sequence[nn.Sequential], seed: int) -> None:
    """Make a mapping network do what parts do one after the other.

    A part's last layer is linear, unless it is the last part's, and becomes one with the next part's first. Units that
    no part needs read at random, and nothing reads them.

    Args:
        mapping: overwritten.
        parts: of `FullyConnected` layers, as many in all as the mapping network has.
        seed: of what spare units read.

    Raises:
        ValueError: if it is too narrow, or has another number of layers.
    """
    wanted: list[tuple[Tensor, Tensor]] = []
    linear: tuple[Tensor, Tensor] | None = None
    for part in parts:
        for layer in part:
            weight, bias = _read(layer)
            if linear is not None:
                weight, bias = weight @ linear[0], bias + weight @ linear[1]
                linear = None
            if isinstance(layer, FullyConnected) and not layer.activate:
                linear = weight, bias
            else:
                wanted.append((weight, bias))
    layers = _layers(mapping)
    needed, has = [len(weight) for weight, _ in wanted], [len(layer.weight) for layer in layers]
    if len(needed) != len(has) or any(n > h for n, h in zip(needed, has, strict=True)):
        raise ValueError(f"layers of {needed} units do not go into a mapping network of {has}")
    random = torch.Generator().manual_seed(seed)
    for layer, (weight, bias) in zip(layers, wanted, strict=True):
        whole = torch.randn(layer.weight.shape, generator=random, dtype=torch.float64)
        whole /= math.sqrt(layer.weight.shape[1])
        whole[: len(weight)] = 0
        whole[: len(weight), : weight.shape[1]] = weight.cpu()
        shift = torch.zeros(len(layer.bias), dtype=torch.float64)
        shift[: len(bias)] = bias.cpu()
        _write(layer, whole, shift)


def _steps(world: World) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return rows and biases of units on normal scores, and the linear map of these to the world's features."""
    root = math.sqrt(2)  # a leaky ReLU's gain
    rows: list[Tensor] = []
    biases: list[float] = []
    features: list[tuple[dict[int, float], float]] = []
    for i, attribute in enumerate(world.attributes):
        one = torch.zeros(len(world.attributes), dtype=torch.float64)
        one[i] = 1
        first = len(rows)
        if attribute.kind == "continuous":  # x = (l(x) − l(−x)) / 1.2
            rows += [one, -one]
            biases += [0.0, 0.0]
            features.append(({first: 1 / (1.2 * root), first + 1: -1 / (1.2 * root)}, 0.0))
            continue
        steps: list[tuple[dict[int, float], float]] = [({}, 1.0)]
        for edge in normal_from_uniform(attribute.edges[1:-1]):
            steps.append(({len(rows): 1 / (0.8 * root), len(rows) + 1: -1 / (0.8 * root)}, -0.25))
            rows += [STEEPNESS * one, STEEPNESS * one]
            biases += [0.5 - STEEPNESS * float(edge), -0.5 - STEEPNESS * float(edge)]
        steps.append(({}, 0.0))
        for (up, risen), (down, fallen) in pairwise(steps):
            features.append(({**up, **{unit: -gain for unit, gain in down.items()}}, risen - fallen))
    out = torch.zeros(len(features), len(rows), dtype=torch.float64)
    for f, (gains, _) in enumerate(features):
        for unit, gain in gains.items():
            out[f, unit] = gain
    constant = torch.tensor([c for _, c in features], dtype=torch.float64)
    return torch.stack(rows), torch.tensor(biases, dtype=torch.float64), out, constant


def _layers(mapping: MappingNetwork) -> list[FullyConnected]:
    return [layer for layer in mapping.children() if isinstance(layer, FullyConnected)]


def _is_square(weight: Float[Tensor, "o i"]) -> bool:
    return weight.shape[0] == weight.shape[1]


def _read(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the weight and bias that a layer multiplies and adds, in float64."""
    assert isinstance(layer, FullyConnected)
    gain = layer.lr / math.sqrt(layer.weight.shape[1])
    return layer.weight.detach().double() * gain, layer.bias.detach().double() * layer.lr


def _write(layer: FullyConnected, weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"]) -> None:
    layer.weight.copy_(weight * (math.sqrt(layer.weight.shape[1]) / layer.lr))
    layer.bias.copy_(bias / layer.lr)
