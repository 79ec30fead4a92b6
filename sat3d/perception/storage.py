"""Observers on disk: one safetensors file each, with the configuration that rebuilds the network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sat3d.perception.attributes import AttributePredictor, PredictorConfig
from sat3d.perception.identity import IdentityConfig, IdentityEmbedder, ScriptedIdentity
from sat3d.perception.observer import Observer
from sat3d.perception.parsing import ParserConfig, PartParser
from sat3d.replacing import replacing
from sat3d.shipped import shipped_path

_BUILDERS: Mapping[str, Callable[[dict[str, Any]], Observer]] = {
    "attributes": lambda data: AttributePredictor(PredictorConfig.from_dict(data)),
    "parser": lambda data: PartParser(ParserConfig.from_dict(data)),
    "identity": lambda data: IdentityEmbedder(IdentityConfig.from_dict(data)),
}


def save_weights(state: Mapping[str, Tensor], config: Mapping[str, Any], path: str | Path) -> Path:
    """Write weights in half precision, with a configuration, all at once or not at all.

    Returns:
        The file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = {
        name: (tensor.detach().half() if tensor.is_floating_point() else tensor.detach()).cpu().contiguous()
        for name, tensor in state.items()
    }
    with replacing(path) as partial:
        save_file(half, partial, metadata={"format": "pt", "config": json.dumps(config, sort_keys=True)})
    return path


def save_observer(observer: Observer, path: str | Path) -> Path:
    """Write an observer for :func:`load_observer`, in half precision."""
    return save_weights(observer.state_dict(), observer.describe(), path)


def read_weights(path: Path, what: str = "observer") -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `save_weights` wrote: the configuration, and weights in float32.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{what} file {str(path)!r} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {}).get("config", "{}"))
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{what} file {str(path)!r} is damaged or truncated: {error}") from error
    return config, {key: t.float() if t.is_floating_point() else t for key, t in state.items()}


@cache
@torch.inference_mode(False)  # what is shared may be asked for within a test, and is written to elsewhere
def load_observer(name: str | Path) -> Observer:
    """Load a frozen observer in float32; what is returned is shared within the process.

    Args:
        name: A shipped name (``toyfaces-labeller``, ``toyfaces-judge``, ``toyfaces-parser``, ``toyfaces-identity``)
            or a ``.safetensors`` file; a TorchScript file (``.pt``, ``.ts``) is taken for an identity embedder.

    Example:
        >>> judge = load_observer("toyfaces-judge")
        >>> judge.values(judge(images))

    Raises:
        FileNotFoundError: If there is no such file or shipped name.
        ValueError: If the file is damaged or holds no observer.
    """
    if Path(name).suffix in (".pt", ".ts"):
        return ScriptedIdentity(name)
    path = Path(name) if Path(name).suffix == ".safetensors" else shipped_path(str(name))
    config, state = read_weights(path)
    kind = str(config.get("kind"))
    if kind not in _BUILDERS:
        raise ValueError(f"{str(path)!r} holds no observer (kind {kind!r}); known kinds: {', '.join(_BUILDERS)}")
    # The initial weights are overwritten at once; drawing them must not move the caller's random numbers.
    with torch.random.fork_rng(devices=[]):
        observer = _BUILDERS[kind](config)
    try:
        observer.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{str(path)!r} does not fit its own configuration: {error}") from error
    return observer.freeze()
