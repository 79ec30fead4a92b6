"""The released networks' constructor arguments and parameter names, read into our generators."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from sat3d.generators.base import Generator
from sat3d.generators.declared import declared
from sat3d.generators.eg3d import EG3D, EG3DOptions, SuperResolutionOptions
from sat3d.generators.pickles import CheckpointError
from sat3d.generators.renderer import RenderingOptions
from sat3d.generators.stylegan2 import StyleGAN2, StyleGAN2Options, SynthesisOptions
from sat3d.ops.camera import CameraDistribution
from sat3d.ops.triplane import PLANE_AXES

LARGEST, TAPS = 2**20, range(2, 8)  # from eight taps on the released code keeps its filters in another shape
# Released super-resolution modules: side of the input, channels of the blocks, whether each block upsamples.
_SUPERRESOLUTION: dict[str, dict[str, Any]] = {
    "SuperresolutionHybrid8XDC": {"input_resolution": 128, "channels": (256, 128), "up": (True, True)},
    "SuperresolutionHybrid8X": {"input_resolution": 128, "channels": (128, 64), "up": (True, True)},
    "SuperresolutionHybrid4X": {
        "input_resolution": 128, "channels": (128, 64), "up": (False, True), "resize_only_up": True,
    },
    "SuperresolutionHybrid2X": {"input_resolution": 64, "channels": (128, 64), "up": (False, True)},
    "SuperresolutionHybridDeepfp32": {  # 4X as it first was: its resizing knows no antialiasing
        "input_resolution": 128, "channels": (128, 64), "up": (False, True), "resize_only_up": True,
    },
}  # fmt: skip
# Arguments of the released constructors. Those of one layer are `_LAYERS`; the rest of them says how, not what.
_NETWORK = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs")
_STYLEGAN2 = (*_NETWORK, "synthesis_kwargs")
_EG3D = (*_NETWORK, "rendering_kwargs", "sr_kwargs", "sr_num_fp16_res")
_MAPPING = ("num_layers", "embed_features", "layer_features", "lr_multiplier")
_LAYERS = ("architecture", "resample_filter", "conv_clamp", "use_noise", "activation")
_SIZES = ("channel_base", "channel_max", "num_fp16_res", "fp16_channels_last", "fused_modconv_default")
LATER_CLAMP = (
    256.0  # of the layers that stylegan3's networks_stylegan2 brought, and EG3D with it; earlier ones have none
)


def from_official(config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> Generator:
    """Build a frozen generator from the released networks' arguments and parameters.

    Args:
        config: `class_name` (e.g. `training.networks.Generator`, `training.triplane.TriPlaneGenerator`), `init_kwargs`
            (the constructor's), and optionally `attributes` (`neural_rendering_resolution`, `plane_axes`).
        state_dict: tensors under the released names.

    Raises:
        CheckpointError: for a class that is no StyleGAN2 or EG3D generator, an unknown super-resolution module, or
            parameters that do not fit.
    """
    generator = declare_official(config)
    load_parameters(generator, {k: v.clone() for k, v in state_dict.items()})
    return generator.freeze()


def declare_official(config: Mapping[str, Any]) -> Generator:
    """Build the generator that the released networks' arguments describe, its weights declared but not there (`meta`).

    Raises:
        CheckpointError: see `from_official`.
    """
    module, _, name = str(config["class_name"]).rpartition(".")
    if name not in ("TriPlaneGenerator", "Generator") or module.endswith("networks_stylegan3"):
        raise CheckpointError(
            f"class_name is {config['class_name']!r}; known are Generator (StyleGAN2) and TriPlaneGenerator (EG3D)"
        )
    kwargs, attributes = dict(config["init_kwargs"]), dict(config.get("attributes", {}))
    try:
        with declared():
            if name == "Generator":
                clamp = LATER_CLAMP if module.endswith("networks_stylegan2") else None
                return StyleGAN2(_stylegan2_options(kwargs, clamp))
            # What pictures are made with is an attribute too, and settings may have been changed there.
            rendering = {**kwargs["rendering_kwargs"], **attributes.get("rendering_kwargs", {})}
            kwargs["rendering_kwargs"] = rendering
            generator = EG3D(_eg3d_options(kwargs, attributes))
        generator.cameras = _cameras(kwargs["rendering_kwargs"])
    except CheckpointError:
        raise
    except KeyError as error:
        raise CheckpointError(f"{name}: the argument {error} is missing (the file's module_src is not run)") from error
    except (ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{name}: its arguments describe no network: {str(error)[:200]}") from error
    return generator


def load_parameters(generator: Generator, state_dict: Mapping[str, Tensor]) -> None:
    """Give a generator its parameters by name, in float32; every one that is used must be there, of the right shape.

    The tensors become the generator's own, without a copy where they can.

    Raises:
        CheckpointError: naming what is missing, left over or of another shape.
    """
    check_parameters(generator, state_dict)
    owned: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in state_dict.items():
        own = tensor.detach().to(torch.float32).contiguous()
        storage = own.untyped_storage()
        if storage.nbytes() != own.nbytes or storage.data_ptr() in taken:  # a view: trained weights share nothing
            own = own.clone()
        taken.add(own.untyped_storage().data_ptr())
        owned[name] = own
    kept = {k: v for k, v in generator.state_dict().items() if k in generator.unused}
    generator.load_state_dict({**kept, **owned}, assign=True)


def check_parameters(generator: Generator, state_dict: Mapping[str, Any], may_lack: str = "") -> None:
    """Compare names and shapes with a generator's parameters.

    Args:
        generator: its weights need not be there.
        state_dict: by name, what has a `shape`.
        may_lack: a name that may be missing.

    Raises:
        CheckpointError: naming what is missing, left over or of another shape.
    """
    own = generator.state_dict()
    missing = sorted(own.keys() - state_dict.keys() - generator.unused - {may_lack})
    unknown = sorted(state_dict.keys() - own.keys())
    wrong = sorted(k for k in own.keys() & state_dict.keys() if tuple(own[k].shape) != tuple(state_dict[k].shape))
    if missing or unknown or wrong:
        problems = {"missing": missing, "not of this network": unknown, "of another shape": wrong}
        told = "; ".join(f"{what}: {', '.join(names[:5])} ({len(names)})" for what, names in problems.items() if names)
        raise CheckpointError(f"the weights do not fit the configuration: {told}")


def _synthesis(kwargs: Mapping[str, Any], clamp: float | None) -> SynthesisOptions:
    _only(kwargs, *_LAYERS, *_SIZES)
    taps = kwargs.get("resample_filter", (1, 3, 3, 1))
    if len(taps) not in TAPS:
        raise CheckpointError(f"resample_filter has {len(taps)} taps; known are filters of {TAPS[0]} to {TAPS[-1]}")
    _one_of(kwargs, "architecture", "skip", "resnet", "orig")
    _one_of(kwargs, "activation", "lrelu")
    given = {"conv_clamp": clamp, **kwargs}
    limit = None if given["conv_clamp"] is None else _number(given, "conv_clamp")
    return SynthesisOptions(
        channel_base=int(kwargs.get("channel_base", 32768)),
        channel_max=int(kwargs.get("channel_max", 512)),
        architecture=kwargs.get("architecture", "skip"),
        conv_clamp=None if limit is None or limit < 0 else limit,
        resample_filter=tuple(float(t) for t in taps),
        use_noise=bool(kwargs.get("use_noise", True)),
    )


def _only(kwargs: Mapping[str, Any], *known: str) -> None:
    """Refuse arguments that no released network takes: pictures would be other ones without them."""
    unknown = sorted(str(key)[:80] for key in kwargs.keys() - set(known))
    if unknown:
        raise CheckpointError(f"{', '.join(unknown[:5])}: no argument of the released networks")


def _one_of(kwargs: Mapping[str, Any], name: str, *known: object) -> None:
    """Refuse a setting that changes pictures in a way that is not built here; the first is the default."""
    if kwargs.get(name, known[0]) not in known:
        raise CheckpointError(f"{name} is {str(kwargs[name])[:80]!r}; known are {', '.join(map(str, known))}")


def _number(kwargs: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = kwargs[name] if default is None else kwargs.get(name, default)
    if isinstance(value, bool) or not isinstance(value, Real) or not abs(float(value)) < LARGEST:
        raise CheckpointError(f"{name} is no number, or none that makes sense")
    return int(value) if isinstance(value, Integral) else float(value)


def _stylegan2_options(kwargs: Mapping[str, Any], clamp: float | None) -> StyleGAN2Options:
    flat = {k: v for k, v in kwargs.items() if k not in _STYLEGAN2}  # as stylegan3's code has them
    return StyleGAN2Options(
        z_dim=kwargs["z_dim"],
        c_dim=kwargs["c_dim"],
        w_dim=kwargs["w_dim"],
        resolution=kwargs["img_resolution"],
        channels=kwargs["img_channels"],
        mapping=_mapping(kwargs.get("mapping_kwargs", {})),
        synthesis=_synthesis({**flat, **kwargs.get("synthesis_kwargs", {})}, clamp),
    )


def _mapping(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    _only(kwargs, *_MAPPING, "activation", "w_avg_beta")
    _one_of(kwargs, "activation", "lrelu")
    return {k: kwargs[k] for k in _MAPPING if kwargs.get(k) is not None}


def _eg3d_options(kwargs: Mapping[str, Any], attributes: Mapping[str, Any]) -> EG3DOptions:
    r = kwargs["rendering_kwargs"]
    axes = attributes.get("plane_axes")
    axes = axes.tolist() if isinstance(axes, Tensor) else axes
    axes = None if axes == PLANE_AXES["released"] else axes  # one network, one configuration
    _one_of(r, "clamp_mode", "softplus")
    _one_of(r, "density_noise", 0)
    return EG3DOptions(
        z_dim=kwargs["z_dim"],
        c_dim=kwargs["c_dim"],
        w_dim=kwargs["w_dim"],
        resolution=kwargs["img_resolution"],
        decoder_lr=_number(r, "decoder_lr_mul", 1.0),
        c_scale=0.0 if r.get("c_gen_conditioning_zero") else float(_number(r, "c_scale", 0)),
        neural_resolution=int(attributes.get("neural_rendering_resolution", 64)),
        plane_axes=None if axes is None else tuple(tuple(tuple(map(float, row)) for row in plane) for plane in axes),
        mapping=_mapping(kwargs.get("mapping_kwargs", {})),
        backbone=_synthesis({k: v for k, v in kwargs.items() if k not in _EG3D}, LATER_CLAMP),
        rendering=RenderingOptions(
            ray_start=r["ray_start"] if r["ray_start"] == "auto" else _number(r, "ray_start"),
            ray_end=r["ray_end"] if r["ray_end"] == "auto" else _number(r, "ray_end"),
            depth_resolution=int(_number(r, "depth_resolution")),
            depth_resolution_importance=int(_number(r, "depth_resolution_importance")),
            box_warp=_number(r, "box_warp"),
            disparity=bool(r.get("disparity_space_sampling", False)),
            white_back=bool(r.get("white_back", False)),
        ),
        superresolution=_superresolution(kwargs),
    )


def _superresolution(kwargs: Mapping[str, Any]) -> SuperResolutionOptions:
    r = kwargs["rendering_kwargs"]
    _one_of(r, "superresolution_noise_mode", "none", "const", "random")
    layers = kwargs.get("sr_kwargs", {})
    _only(layers, *_LAYERS, *_SIZES)  # the modules have sizes and a clamp of their own
    _one_of(layers, "architecture", "skip")
    _one_of(layers, "activation", "lrelu")
    _one_of(layers, "use_noise", True)
    _one_of(layers, "resample_filter", (1, 3, 3, 1), [1, 3, 3, 1])
    name = str(r["superresolution_module"]).rsplit(".", 1)[-1]
    if name not in _SUPERRESOLUTION:
        raise CheckpointError(f"superresolution_module is {name!r}; known are {', '.join(_SUPERRESOLUTION)}")
    return SuperResolutionOptions(
        **_SUPERRESOLUTION[name],
        clamp=256.0 if kwargs.get("sr_num_fp16_res", 0) > 0 else None,
        noise=r.get("superresolution_noise_mode", "none"),
        antialias=name != "SuperresolutionHybridDeepfp32" and bool(r["sr_antialias"]),
    )


def _cameras(rendering: Mapping[str, Any]) -> CameraDistribution:
    pivot = tuple(float(v) for v in rendering.get("avg_camera_pivot", (0.0, 0.0, 0.0)))
    return CameraDistribution(
        pivot=(pivot[0], pivot[1], pivot[2]), radius=float(_number(rendering, "avg_camera_radius", 2.7))
    )
