"""Networks in what a checkpoint file holds: their arguments, and their parameters by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sat3d.generators import layouts
from sat3d.generators.base import Generator
from sat3d.generators.official import check_parameters, declare_official, load_parameters
from sat3d.generators.pickles import (
    ArrayRecord,
    Budget,
    CheckpointError,
    Persistent,
    Record,
    Reference,
    TensorRecord,
    read_file,
    read_tensors,
)

POSITIONAL = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
MOST_NETWORKS, MOST_PARTS, DEEPEST, LONGEST_NAME = 16, 100_000, 32, 300
ESTIMATED, SAMPLES = "mapping.w_avg", 4096
MOST_VALUES, MOST_BYTES = 20_000, 2**16


@dataclass(frozen=True)
class Network:
    """Describe a network of a file. Its tensors stay in the file until they are asked for.

    Args:
        class_name: as the file gives it.
        init_kwargs: the constructor's arguments, as plain data.
        attributes: what else belongs to the network: `neural_rendering_resolution`, `rendering_kwargs` (as they were
            last), `plane_axes`.
        tensors: parameters and persistent buffers by their released names, in the order of a state dict.
    """

    class_name: str
    init_kwargs: dict[str, Any]
    attributes: dict[str, Any]
    tensors: Mapping[str, TensorRecord | Tensor]

    @property
    def config(self) -> dict[str, Any]:
        """What `from_official` takes."""
        return {"class_name": self.class_name, "init_kwargs": self.init_kwargs, "attributes": self.attributes}

    def state_dict(self) -> dict[str, Tensor]:
        """Read the tensors.

        Raises:
            CheckpointError: if the file declares far more of them than it holds.
        """
        records = {k: v for k, v in self.tensors.items() if isinstance(v, TensorRecord)}
        return {**self.tensors, **read_tensors(records)}  # type: ignore[dict-item]


@dataclass(frozen=True)
class Checkpoint:
    """Say what a file holds.

    Args:
        layout: `released`, `rosinality` or `genforce`.
        networks: by the name that the file gives them.
        chosen: the network that makes the pictures: the averaged one where there is one.
    """

    layout: str
    networks: dict[str, Network]
    chosen: str


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read the networks of a checkpoint file; nothing that the file names is imported, called or evaluated.

    Args:
        path: a released `.pkl`, or a `.pt`/`.pth` of torch.save in a layout that `docs/checkpoints.md` names.

    Raises:
        CheckpointError: the file is damaged, asks for something that is refused, or holds no network.
        OSError: it cannot be read.
    """
    tree = read_file(path)
    try:
        return _checkpoint(tree)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def declare_released(checkpoint: Checkpoint) -> Generator:
    """Build the chosen network, its weights declared but not read, and check that those in the file fit.

    Raises:
        CheckpointError: it is no StyleGAN2 or EG3D generator, or its weights do not fit.
    """
    network = checkpoint.networks[checkpoint.chosen]
    try:
        generator = declare_official(network.config)
        check_parameters(generator, network.tensors, may_lack=ESTIMATED if checkpoint.layout != "released" else "")
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.chosen}: {error}") from error
    return generator


def read_released(path: Path) -> Generator:
    """Build the generator of a checkpoint file.

    Raises:
        CheckpointError: see `read_checkpoint` and `declare_released`.
    """
    checkpoint = read_checkpoint(path)
    try:
        generator = declare_released(checkpoint)
        tensors = checkpoint.networks[checkpoint.chosen].state_dict()
        unknown_mean = ESTIMATED not in tensors and checkpoint.layout != "released"
        if unknown_mean:
            tensors[ESTIMATED] = torch.zeros(generator.w_dim)
        load_parameters(generator, tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    generator.name = path.stem
    if unknown_mean:
        estimate_mean(generator)
    return generator


@torch.no_grad()
def estimate_mean(generator: Generator) -> None:
    """Set the mean w, which truncation pulls to, from fixed latents: rosinality's training leaves it out."""
    z = torch.randn(SAMPLES, generator.z_dim, generator=torch.Generator().manual_seed(0))
    generator.get_buffer(ESTIMATED).copy_(generator.map(z)[:, 0].mean(0))


def _checkpoint(tree: Any) -> Checkpoint:
    entries = tree if type(tree) is dict else {"network": tree}
    found = {name: v for name, v in entries.items() if _is_name(name) and isinstance(v, Persistent)}
    if len(found) > MOST_NETWORKS:
        raise CheckpointError(f"{len(found)} networks in one file: refused")
    budget = Budget(MOST_PARTS)
    networks = {name: network_of(value, budget) for name, value in found.items()}
    for chosen in ("G_ema", "G", "network"):
        if chosen in networks:
            return Checkpoint("released", networks, chosen)
    state = layouts.find(entries)
    if state is None:
        known = ", ".join(ascii(key)[:40] for key in list(entries)[:8]) if type(tree) is dict else type(tree).__name__
        raise CheckpointError(
            f"no generator in it (it holds: {known}); known are pickles with G_ema, and state dicts in rosinality's "
            "and genforce's layout"
        )
    layout, name, records = state
    arguments, tensors = layouts.convert(layout, records)
    return Checkpoint(layout, {name: Network("Generator", arguments, {}, tensors)}, name)


def network_of(module: Persistent, budget: Budget) -> Network:
    """Describe a network of a released pickle; the budget pays for its parts.

    Raises:
        CheckpointError: if its parts are no modules, parameters and arguments.
    """
    state = module.state
    kwargs, args = plain(state.get("_init_kwargs", {})), plain(state.get("_init_args", ()))
    if not isinstance(kwargs, dict) or not isinstance(args, list) or len(args) > len(POSITIONAL):
        raise CheckpointError(f"{module.class_name}: its constructor's arguments are none")
    tensors = dict(_tensors(module, budget))
    attributes: dict[str, Any] = {}
    if "neural_rendering_resolution" in state:
        attributes["neural_rendering_resolution"] = plain(state["neural_rendering_resolution"])
    if "rendering_kwargs" in state:
        attributes["rendering_kwargs"] = plain(state["rendering_kwargs"])
    renderer = _entries(_state(module), "_modules").get("renderer")
    axes = _state(renderer).get("plane_axes") if isinstance(renderer, Persistent | Record) else None
    if isinstance(axes, TensorRecord):
        attributes["plane_axes"] = plain(axes)
    return Network(module.class_name, {**dict(zip(POSITIONAL, args, strict=False)), **kwargs}, attributes, tensors)


def _state(module: Persistent | Record) -> dict[Any, Any]:
    return module.state if type(module.state) is dict else {}


def _is_name(key: Any) -> bool:
    return type(key) is str and len(key) <= LONGEST_NAME and key.isprintable()


def _entries(state: dict[Any, Any], name: str) -> dict[str, Any]:
    """Return one of a module's dictionaries, without the entries that are None."""
    entries = state.get(name, {})
    if type(entries) is not dict or not all(map(_is_name, entries)):
        raise CheckpointError(f"damaged: {name} of a module is no dictionary by name")
    return {key: value for key, value in entries.items() if value is not None}


def _tensors(module: Persistent, budget: Budget) -> Iterator[tuple[str, TensorRecord]]:
    """Yield the names and tensors of a module's state dict: parameters, persistent buffers, then the parts'."""
    waiting: list[tuple[str, int, Any]] = [("", 0, module)]
    while waiting:
        prefix, depth, part = waiting.pop()
        if not isinstance(part, Persistent | Record) or depth > DEEPEST:
            raise CheckpointError(f"damaged: {prefix} is no part of a network")
        state = _state(part)
        parameters, buffers, parts = (_entries(state, name) for name in ("_parameters", "_buffers", "_modules"))
        budget.spend(1 + len(parameters) + len(buffers) + len(parts))
        passing = state.get("_non_persistent_buffers_set", ())
        if type(passing) is not set:
            passing = set()
        for name, value in (*parameters.items(), *((k, v) for k, v in buffers.items() if k not in passing)):
            if not isinstance(value, TensorRecord):
                raise CheckpointError(f"damaged: {prefix}{name} is no tensor")
            yield prefix + name, value
        waiting += [(f"{prefix}{name}.", depth + 1, parts[name]) for name in reversed(parts)]


def plain(value: Any) -> Any:
    """Return settings as plain data: None, numbers, text, lists and dictionaries; what is unknown by its name.

    Raises:
        CheckpointError: if they are nested too deep, or too many.
    """
    return _plain(value, [MOST_VALUES], DEEPEST)


def _plain(value: Any, left: list[int], depth: int) -> Any:
    left[0] -= 1
    if isinstance(value, TensorRecord | ArrayRecord):
        left[0] -= value.numel
    if left[0] < 0 or depth < 0:
        raise CheckpointError("settings nested deeper, or more of them, than any network needs: refused")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        named = ((k if isinstance(k, str) else f"<{type(k).__name__}>", v) for k, v in value.items())
        return {k: _plain(v, left, depth - 1) for k, v in named}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v, left, depth - 1) for v in value]
    if isinstance(value, Reference | Record):
        return (value if isinstance(value, Reference) else value.cls).dotted
    if isinstance(value, TensorRecord) and value.storage.nbytes <= MOST_BYTES:
        return value.tensor().tolist()
    if isinstance(value, ArrayRecord):
        return value.array().tolist()
    return f"<{type(value).__name__}>"
