"""State dicts of two well-known reimplementations of StyleGAN2, under the released networks' names.

rosinality's stylegan2-pytorch numbers its layers (`convs.3.conv.weight`) and keeps the mean w beside the state dict.
genforce's models number them too (`synthesis.layer3.weight`), and keep what the TensorFlow networks kept: the kernels
of upsampling layers turned by 180°, and styles without the 1 that is added to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sat3d.generators.pickles import CheckpointError, TensorRecord, read_tensors
from sat3d.ops.resample import setup_filter

Renamed = Iterator[tuple[str, Tensor]]


@dataclass(frozen=True)
class Layout:
    """Say how a state dict of StyleGAN2 is laid out.

    Args:
        entries: where a file keeps it, best first; the last name is for a file that is nothing else.
        mark: a name that only this layout has.
        dense: name of the i-th layer of the mapping.
        const: name of the first activations.
        layer: reads the i-th convolution.
        rgb: reads the j-th toRGB.
        rgb_name: pattern that counts them.
    """

    entries: tuple[str, ...]
    mark: str
    dense: Callable[[int], str]
    const: str
    layer: Callable[[_Taken, int], Renamed]
    rgb: Callable[[_Taken, int], Renamed]
    rgb_name: str


class _Taken(dict[str, Tensor]):
    """Give out every tensor once, so that what is left over is known."""

    def take(self, name: str) -> Tensor:
        if name not in self:
            raise CheckpointError(f"the state dict lacks {name}")
        return self.pop(name)


def find(entries: Mapping[Any, Any]) -> tuple[str, str, dict[str, TensorRecord]] | None:
    """Find the state dict of a generator in a file, the averaged one first.

    Returns:
        Its layout, the entry's name and its tensors by their own names, the mean w among them as `truncation.w_avg`;
        `None` if there is none.
    """
    nested = entries.get("models")
    places = {**entries, **(nested if type(nested) is dict else {}), "state_dict": entries}
    for layout, how in LAYOUTS.items():
        for name in (*how.entries, "state_dict"):
            state = places.get(name)
            if type(state) is dict and how.mark in state:
                tensors = {k: v for k, v in state.items() if type(k) is str and isinstance(v, TensorRecord)}
                if not all(map(str.isprintable, tensors)):
                    raise CheckpointError("damaged: a name that is none")
                mean = entries.get("latent_avg")
                return layout, name, {**tensors, **({MEAN: mean} if isinstance(mean, TensorRecord) else {})}
    return None


def convert(layout: str, records: Mapping[str, TensorRecord]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the constructor's arguments and the parameters under the released names.

    `mapping.w_avg` is missing where the file does not hold it.

    Raises:
        CheckpointError: something is missing, left over, or computed otherwise than the released networks do.
    """
    how, state = LAYOUTS[layout], _Taken(read_tensors(records))
    try:
        tensors = dict(_renamed(how, state))
        arguments = _arguments(tensors)
    except CheckpointError:
        raise
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"damaged: tensors of other shapes than {layout}'s ({error})") from error
    kernels = [state.pop(name) for name in list(state) if name.endswith(".kernel")]
    filters = setup_filter() * 4
    if not all(k.numel() == filters.numel() and torch.allclose(k.reshape(4, 4).float(), filters) for k in kernels):
        raise CheckpointError("a resampling filter other than (1, 3, 3, 1): not read")
    if state:
        raise CheckpointError(f"parts that StyleGAN2 does not have: {', '.join(sorted(state)[:5])} ({len(state)})")
    return arguments, tensors


def _renamed(how: Layout, state: _Taken) -> Renamed:
    if MEAN in state:
        yield "mapping.w_avg", state.take(MEAN).flatten()
    for i in range(sum(how.dense(i) + ".weight" in state for i in range(64))):
        for part in ("weight", "bias"):
            yield f"mapping.fc{i}.{part}", state.take(f"{how.dense(i)}.{part}")
    yield "synthesis.b4.const", state.take(how.const)[0]
    for j in range(sum(bool(re.fullmatch(how.rgb_name, name)) for name in state)):
        block = f"synthesis.b{4 * 2**j}"
        yield f"{block}.resample_filter", setup_filter()
        for i, conv in ((2 * j - 1, "conv0"), (2 * j, "conv1")) if j else ((0, "conv1"),):
            yield f"{block}.{conv}.resample_filter", setup_filter()
            for part, tensor in how.layer(state, i):
                yield f"{block}.{conv}.{part}", tensor
        for part, tensor in how.rgb(state, j):
            yield f"{block}.torgb.{part}", tensor


def _arguments(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the constructor's arguments from the parameters' shapes."""
    layers = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in tensors)
    first, last = tensors["mapping.fc0.weight"], tensors[f"mapping.fc{layers - 1}.weight"]
    channels = {
        int(n[11:-13]): len(t) for n, t in tensors.items() if re.fullmatch(r"synthesis\.b\d+\.conv1\.weight", n)
    }
    return {
        "z_dim": first.shape[1],
        "c_dim": 0,
        "w_dim": last.shape[0],
        "img_resolution": max(channels),
        "img_channels": len(tensors["synthesis.b4.torgb.weight"]),
        "mapping_kwargs": {"num_layers": layers, "layer_features": first.shape[0]},
        "synthesis_kwargs": {
            "channel_base": max(side * count for side, count in channels.items()),
            "channel_max": max(channels.values()),
        },
    }


def _rosinality_styled(state: _Taken, name: str) -> Renamed:
    yield "weight", state.take(f"{name}.conv.weight")[0]
    for part in ("weight", "bias"):
        yield f"affine.{part}", state.take(f"{name}.conv.modulation.{part}")


def _rosinality_layer(state: _Taken, i: int) -> Renamed:
    name = f"convs.{i - 1}" if i else "conv1"
    yield from _rosinality_styled(state, name)
    yield "bias", state.take(f"{name}.activate.bias")
    yield "noise_strength", state.take(f"{name}.noise.weight").reshape([])
    yield "noise_const", state.take(f"noises.noise_{i}")[0, 0]


def _rosinality_rgb(state: _Taken, j: int) -> Renamed:
    name = f"to_rgbs.{j - 1}" if j else "to_rgb1"
    yield from _rosinality_styled(state, name)
    yield "bias", state.take(f"{name}.bias").flatten()


def _genforce_styled(state: _Taken, name: str) -> Renamed:
    yield "bias", state.take(f"{name}.bias")
    yield "affine.weight", state.take(f"{name}.style.weight")
    yield "affine.bias", state.take(f"{name}.style.bias") + 1


def _genforce_layer(state: _Taken, i: int) -> Renamed:
    name = f"synthesis.layer{i}"
    weight = state.take(f"{name}.weight")
    yield "weight", weight.flip((2, 3)) if i % 2 else weight
    yield from _genforce_styled(state, name)
    yield "noise_strength", state.take(f"{name}.noise_strength").reshape([])
    yield "noise_const", state.take(f"{name}.noise")[0, 0]


def _genforce_rgb(state: _Taken, j: int) -> Renamed:
    name = f"synthesis.output{j}"
    yield "weight", state.take(f"{name}.weight")
    yield from _genforce_styled(state, name)


MEAN = "truncation.w_avg"
LAYOUTS = {
    "rosinality": Layout(
        entries=("g_ema", "g"),
        mark="conv1.conv.modulation.weight",
        dense=lambda i: f"style.{i + 1}",
        const="input.input",
        layer=_rosinality_layer,
        rgb=_rosinality_rgb,
        rgb_name=r"to_rgb1\.bias|to_rgbs\.\d+\.bias",
    ),
    "genforce": Layout(
        entries=("generator_smooth", "generator"),
        mark="synthesis.early_layer.const",
        dense=lambda i: f"mapping.dense{i}",
        const="synthesis.early_layer.const",
        layer=_genforce_layer,
        rgb=_genforce_rgb,
        rgb_name=r"synthesis\.output\d+\.bias",
    ),
}
