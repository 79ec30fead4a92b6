"""Generators by name or file: what `load_generator` takes, and how ours are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sat3d.generators.base import Generator
from sat3d.generators.catalogue import Entry, entries, find, record_use
from sat3d.generators.declared import declared
from sat3d.generators.eg3d import EG3D, EG3DOptions, SuperResolutionOptions
from sat3d.generators.official import load_parameters
from sat3d.generators.pickles import CheckpointError
from sat3d.generators.released import read_released
from sat3d.generators.renderer import RenderingOptions
from sat3d.generators.sampling import TOY_CAMERAS
from sat3d.generators.stylegan2 import StyleGAN2, StyleGAN2Options, SynthesisOptions
from sat3d.ops.camera import CameraDistribution
from sat3d.replacing import replacing
from sat3d.shipped import manifest, shipped_path

T = TypeVar("T")


def load_generator(name: str | Path, *, trainable: bool = False, device: str | torch.device = "cpu") -> Generator:
    """Load a generator by its name in the zoo, from a `.safetensors` file of ours, or from a released checkpoint.

    Released are NVIDIA's pickles of StyleGAN2-ADA and EG3D, and StyleGAN2 in rosinality's and genforce's layouts. They
    are read as data: nothing that a file names is imported, called or evaluated. The file of a released network's name
    is looked for in the folder that the variable SAT3D_ZOO names, and its cameras are those that are known of it.

    Calls that name the same generator and device share one instance: in eval(), without gradients on its weights.

    Args:
        name: e.g. `toyfaces64`, `eg3d-ffhq512-128`, or the path of a `.safetensors`, `.pkl`, `.pt` or `.pth`.
        trainable: return a private copy whose weights take gradients.
        device: where the weights go.

    Raises:
        FileNotFoundError: if there is no such name or file.
        CheckpointError: if the file is damaged, is no generator's, asks for something that is refused, or is not what
            it was at its first use, or not the network of that name.
    """
    path, entry = resolve(name), entries().get(str(name))
    if trainable:
        return _read(path, entry).to(device).requires_grad_(True).train()
    return _shared(str(path), entry, str(torch.device(device)))


@cache
@torch.inference_mode(False)  # what is shared may be asked for within a test, and is written to elsewhere
def _shared(path: str, entry: Entry | None, device: str) -> Generator:
    return _read(Path(path), entry).to(device).freeze()


def _read(path: Path, entry: Entry | None) -> Generator:
    generator = read_generator(path)
    if entry is not None:
        entry.check(generator)
        record_use(path)
        generator.name, generator.cameras = entry.name, entry.cameras
    return generator


def resolve(name: str | Path, option: str = "generator") -> Path:
    """Return the file of a generator: a released or shipped one by its name, else the path itself.

    Args:
        name: what the user gave.
        option: what the user gave it for.

    Raises:
        FileNotFoundError: if there is no such name or file.
        CheckpointError: if a released network's file is not what it was at its first use.
    """
    if entry := entries().get(str(name)):
        return find(entry, option)
    path = Path(name).expanduser()
    if path.suffix:
        if not path.is_file():
            raise FileNotFoundError(f"{option}={str(name)!r}: there is no such file")
        return path.resolve()
    if str(name) not in manifest():
        shipped = [known for known, record in manifest().items() if record["kind"] == "generator"]
        near = get_close_matches(str(name), [*shipped, *entries()], n=1)
        raise FileNotFoundError(
            f"{option}={str(name)!r}: neither a file nor a known name{f'; did you mean {near[0]}?' if near else ''}\n"
            f"shipped: {', '.join(shipped) or 'none'}\nreleased, from files of your own: {', '.join(entries())}"
        )
    try:
        return shipped_path(str(name))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{option}={str(name)!r}: {error}") from error


def save_generator(generator: Generator, path: str | Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Store weights and configuration in one `.safetensors` file, atomically.

    Args:
        generator: one of ours.
        path: target.
        dtype: of the stored weights; float16 halves the file.
    """
    tensors = {k: v.detach().cpu().to(dtype).contiguous() for k, v in generator.state_dict().items()}
    described = {"options": generator.config, "cameras": generator.cameras and asdict(generator.cameras)}
    with replacing(path) as partial:
        save_file(tensors, partial, metadata={"config": json.dumps(described), "name": generator.name})


def read_generator(path: Path) -> Generator:
    """Build a generator from a file that `save_generator` wrote, or from a released checkpoint.

    Raises:
        CheckpointError: the file is damaged, is no generator's, or asks for something that is refused.
    """
    return _read_ours(path) if path.suffix == ".safetensors" else read_released(path)


def _read_ours(path: Path) -> Generator:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise CheckpointError(f"generator={str(path)!r} is damaged or no safetensors file: {error}") from error
    if "config" not in metadata:
        raise CheckpointError(f"generator={str(path)!r} holds no configuration; was it written by sat3d?")
    try:
        described = json.loads(metadata["config"])
        with declared():
            generator = build_generator(described["options"])
        if described["cameras"]:
            generator.cameras = _from_dict(CameraDistribution, described["cameras"])
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"generator={str(path)!r}: its configuration describes none: {error!r:.200}") from error
    # Cloned: the file is mapped into memory, and may be replaced while the generator lives.
    load_parameters(generator, {k: v.clone() if v.dtype is torch.float32 else v for k, v in state.items()})
    generator.name = metadata.get("name", "")
    return generator


def build_generator(config: Mapping[str, Any]) -> Generator:
    """Build a generator with random weights from its configuration (`Generator.config`)."""
    options = {k: v for k, v in config.items() if k != "class"}
    if config["class"] == "EG3D":
        return EG3D(_from_dict(EG3DOptions, options))
    if config["class"] == "StyleGAN2":
        return StyleGAN2(_from_dict(StyleGAN2Options, options))
    raise ValueError(f"unknown generator class {config['class']!r}; known are EG3D and StyleGAN2")


@cache
def _hints(cls: type) -> dict[str, Any]:
    """Evaluate our annotations, once."""
    return get_type_hints(cls)


def _from_dict(cls: type[T], values: Mapping[str, Any]) -> T:
    """Rebuild a dataclass from its `asdict`, also after a trip through JSON."""
    hints = _hints(cls)  # type: ignore[arg-type]
    return cls(**{f.name: _value(hints[f.name], values[f.name]) for f in fields(cls) if f.name in values})  # type: ignore[arg-type]


def _value(hint: Any, value: Any) -> Any:
    nested = [t for t in (hint, *get_args(hint)) if isinstance(t, type) and is_dataclass(t)]
    if nested and isinstance(value, Mapping):
        return _from_dict(nested[0], value)
    if isinstance(value, list) and (get_origin(hint) is tuple or any(get_origin(t) is tuple for t in get_args(hint))):
        return _tuples(value)
    return value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def tiny_generator(seed: int = 0, kind: str = "eg3d") -> Generator:
    """Build a frozen generator of a few thousand random weights, for tests and documentation.

    Args:
        seed: of the weights.
        kind: `eg3d` (64 px, toy cameras) or `stylegan2` (32 px, no camera).
    """
    small = SynthesisOptions(channel_base=128, channel_max=8)
    generator: Generator
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "stylegan2":
            mapping = {"num_layers": 2}
            generator = StyleGAN2(StyleGAN2Options(z_dim=16, w_dim=16, resolution=32, mapping=mapping, synthesis=small))
        else:
            generator = EG3D(
                EG3DOptions(
                    z_dim=16,
                    c_dim=0,
                    w_dim=16,
                    resolution=64,
                    plane_resolution=16,
                    plane_channels=4,
                    decoder_hidden=8,
                    decoder_channels=4,
                    density_gain=10.0,
                    neural_resolution=16,
                    backbone=small,
                    rendering=RenderingOptions(2.2, 3.2, 8, 0),
                    superresolution=SuperResolutionOptions(16, (4, 4), (True, True)),
                )
            )
            generator.cameras = TOY_CAMERAS
    generator.name = f"tiny-{kind}"
    return generator.freeze()
