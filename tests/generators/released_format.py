"""Files in the released format, written without the released code.

What such a file names (`torch_utils.persistence`, `dnnlib.util`, …) is stood in for while it is written, as pickle
looks names up then; reading it must do without.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SOURCE = "import os\nos.system('touch executed')\nraise SystemExit('the source in the file was run')\n"
PLAIN = {
    "decoder": "training.triplane.OSGDecoder",
    "renderer": "training.volumetric_rendering.renderer.ImportanceRenderer",
    "net": "torch.nn.modules.container.Sequential",
}
BUFFERS = ("resample_filter", "noise_const", "w_avg", "dataset_label_std")


def _reconstruct_persistent_obj(meta: object) -> None:
    raise AssertionError("a stand-in was called")


class EasyDict(dict):
    """Stand for the dictionary of settings."""


class Part:
    """Stand for a module of a released network; pickled as a persistent object."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.class_name, self.state = class_name, state

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": self.class_name, "state": self.state}
        return _reconstruct_persistent_obj, (meta,)


def stand_in(dotted: str, what: Any) -> Any:
    """Give an object the name under which a released file knows it."""
    module, name = dotted.rsplit(".", 1)
    what.__module__, what.__qualname__, what.__name__ = module, name, name
    return what


NAMED = {
    "torch_utils.persistence._reconstruct_persistent_obj": _reconstruct_persistent_obj,
    "dnnlib.util.EasyDict": EasyDict,
    **{dotted: type(dotted, (), {}) for dotted in PLAIN.values() if not dotted.startswith("torch.")},
}
for _dotted, _what in NAMED.items():
    stand_in(_dotted, _what)


@contextmanager
def named(extra: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Let pickle find the stand-ins."""
    added = []
    for dotted, what in {**NAMED, **(extra or {})}.items():
        module, name = dotted.rsplit(".", 1)
        for i in range(module.count(".") + 1):
            package = ".".join(module.split(".")[: i + 1])
            if package not in sys.modules:
                sys.modules[package] = ModuleType(package)
                added.append(package)
        setattr(sys.modules[module], name, what)
    try:
        yield
    finally:
        for package in added:
            del sys.modules[package]


def dump(value: object, protocol: int = 4, extra: Mapping[str, Any] | None = None) -> bytes:
    """Pickle a value that holds stand-ins."""
    with named(extra):
        return pickle.dumps(value, protocol)


def network(
    class_name: str, kwargs: dict[str, Any], tensors: Mapping[str, Tensor], attributes: Mapping[str, Any] | None = None
) -> Part:
    """Arrange parameters by name as the modules of a released network."""
    root: dict[str, Any] = {}
    for name, tensor in tensors.items():
        *path, last = name.split(".")
        place = root
        for step in path:
            place = place.setdefault(step, {})
        place[last] = tensor
    part = _part(class_name, root)
    part.state.update(attributes or {})
    part.state.update(_init_args=(), _init_kwargs=EasyDict(kwargs))
    if "plane_axes" in part.state:
        renderer = NAMED[PLAIN["renderer"]]()
        renderer.__dict__.update(_state({}), plane_axes=part.state.pop("plane_axes"))
        part.state["_modules"]["renderer"] = renderer
    return part


def _state(content: Mapping[str, Any]) -> dict[str, Any]:
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)}
    return {
        "training": False,
        "_parameters": OrderedDict((k, nn.Parameter(v)) for k, v in tensors.items() if k not in BUFFERS),
        "_buffers": OrderedDict((k, v) for k, v in tensors.items() if k in BUFFERS),
        "_non_persistent_buffers_set": set(),
        "_modules": OrderedDict((k, _part(k, v)) for k, v in content.items() if not isinstance(v, Tensor)),
    }


def _part(name: str, content: Mapping[str, Any]) -> Any:
    state = _state(content)
    if name not in PLAIN:
        return Part(name, state)
    cls = nn.Sequential if name == "net" else NAMED[PLAIN[name]]
    made = cls.__new__(cls)
    made.__dict__.update(state)
    return made


STYLEGAN2_KWARGS = {
    "z_dim": 8, "c_dim": 0, "w_dim": 8, "img_resolution": 16, "img_channels": 3,
    "mapping_kwargs": EasyDict(num_layers=2),
    "synthesis_kwargs": EasyDict(channel_base=64, channel_max=8, num_fp16_res=0, conv_clamp=None),
}  # fmt: skip
EG3D_KWARGS = {
    "z_dim": 8, "c_dim": 25, "w_dim": 8, "img_resolution": 128, "img_channels": 3,
    "mapping_kwargs": EasyDict(num_layers=2), "channel_base": 512, "channel_max": 4, "sr_num_fp16_res": 4,
    "rendering_kwargs": {
        "superresolution_module": "training.superresolution.SuperresolutionHybrid2X", "c_scale": 1,
        "superresolution_noise_mode": "none", "sr_antialias": True, "clamp_mode": "softplus", "decoder_lr_mul": 1,
        "depth_resolution": 4, "depth_resolution_importance": np.int64(4), "ray_start": 2.25, "ray_end": 3.3,
        "box_warp": 1, "avg_camera_radius": 2.7, "avg_camera_pivot": [0, 0, 0.2],
    },
}  # fmt: skip


def random_tensors(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Draw parameters; filters stay what they are for."""
    from sat3d.ops.resample import setup_filter

    draw = torch.Generator().manual_seed(seed)
    return {
        name: setup_filter() if name.endswith("resample_filter") else torch.randn(shape, generator=draw)
        for name, shape in shapes.items()
    }


def example(kind: str, seed: int = 0) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return a small network as `from_official` takes it: configuration and parameters."""
    from sat3d.generators.official import declare_official

    attributes: dict[str, Any] = {}
    if kind == "eg3d":
        attributes = {"neural_rendering_resolution": 8, "plane_axes": torch.eye(3).repeat(3, 1, 1)}
    config = {
        "class_name": "TriPlaneGenerator" if kind == "eg3d" else "Generator",
        "init_kwargs": EG3D_KWARGS if kind == "eg3d" else STYLEGAN2_KWARGS,
        "attributes": attributes,
    }
    shapes = {k: tuple(v.shape) for k, v in declare_official(config).state_dict().items()}
    return config, random_tensors(shapes, seed)


def released_file(kind: str, protocol: int = 4, dtype: torch.dtype = torch.float32) -> bytes:
    """Write a small network as a released training does, with a G, a D and what else stands there."""
    config, tensors = example(kind)
    arguments = (config["class_name"], config["init_kwargs"])
    others = {"b4.conv.weight": torch.ones(2, 2), "b4.resample_filter": torch.ones(4, 4)}
    value = {
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset", max_size=np.int64(100)),
        "G": network(*arguments, example(kind, 1)[1], config["attributes"]),
        "D": network("Discriminator", {"c_dim": 0}, others),
        "G_ema": network(*arguments, {k: v.to(dtype) for k, v in tensors.items()}, config["attributes"]),
        "augment_pipe": None,
    }
    return dump(value, protocol)


def torch_file(value: object, zipped: bool = True) -> bytes:
    """Write a value as torch.save does, in the newer or the older format."""
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()
