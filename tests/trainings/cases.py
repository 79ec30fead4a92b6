"""Every LightningModule of the project, made so small that it trains in a second, as configs for the door."""

import json
from pathlib import Path

import yaml

from sat3d.configs import experiments_folder

PAIRS = {"num_codes": 16, "num_cameras": 2, "block_size": 4, "batch_size": 4, "epoch_size": 24, "val_size": 4}
CODES = {"batch": "codes", "batch_size": 4, "epoch_size": 24, "val_size": 4, "truncation": 1.0}
GRADED = {"graded_codes": 4}
PRETRAININGS = ("clip", "labeller", "parser", "identity")


def methods(toys, cache) -> dict:
    """Return model, data and trainer settings by name; `toys` are files of tiny networks."""
    net, scorer = toys.generator, toys.scorer
    taught = {"scorer": scorer, "labeller": scorer, "judge": toys.judge}
    source = {"generator": net, "scorer": scorer, "count": 56, "truncation": 1.0, "root": str(cache)}

    def made(name, data="codes", **settings):
        model = {"class_path": f"sat3d.methods.{name}", "init_args": settings}
        streams = {"pairs": {"generator": net, **PAIRS}, "codes": {"generator": net, **CODES}}
        if data in streams:
            return model, {"class_path": "sat3d.data.StyleCodeDataModule", "init_args": streams[data]}
        latents = {"class_path": "sat3d.data.SampledLatents", "init_args": source}
        rows = {"source": latents, "val": 4, "test": 4, "batch_size": 8}
        return model, {"class_path": "sat3d.data.LabelledLatentDataModule", "init_args": rows}

    background = {"region": "parser", "parser": toys.parser, "parts": ["background"]}
    steps = {"max_steps": 10, "check_val_every_n_epoch": None, "val_check_interval": 4}
    cases = {
        "sat3d": (
            *made("SAT3D", "pairs", generator=net, **taught, background=background, probe_codes=8, preselect=0.5,
                  min_distance=0.0, val_strengths=[1.0], loss_weights={"ramp_steps": 10}),
            steps,
        ),
        "styleae": (*made("StyleAE", "labelled", generator=net, hidden=[8]), {"max_epochs": 2}),
        "plugen": (*made("PluGeN", "labelled", hidden=8), {"max_epochs": 2}),
        "styleflow": (*made("StyleFlow", "labelled", hidden=[8], regressor=[8], tolerance=1e-6), {"max_epochs": 2}),
        "stylespace": (
            *made("StyleSpaceDiscovery", generator=net, regions={"parser": toys.parser}, grid=8, pictures=6,
                  scored=20, positives=4, strengths=[5.0], render_batch=4, **taught, **GRADED),
            {"max_epochs": 1},
        ),
        "styleclip": (
            *made("StyleCLIPDirections", generator=net, clip="toyfaces-clip", pictures=2, population=20,
                  max_resolution=8, threshold=0.0, texts={"smile": ["a smile", "a frown"]}, **GRADED),
            {"max_epochs": 1},
        ),
        "interfacegan": (*made("InterFaceGAN", "labelled", generator=net, ratio=0.1), {"max_epochs": 1}),
        "ganspace": (*made("GANSpace", generator=net, named=3, named_codes=4, **taught, **GRADED), {"max_epochs": 1}),
        "sefa": (*made("SeFa", generator=net, named=3, named_codes=4, **taught, **GRADED), {"max_epochs": 1}),
        "editing-in-style": (
            *made("EditingInStyle", generator=net, regions={"clusters": 3, "layer": "renderer", "codes": 4},
                  attributes={"hat": ["head"]}, named_by=toys.parser, render_batch=4, labeller=scorer),
            {"max_epochs": 1},
        ),
        "encoder": (
            {"class_path": "sat3d.inversion.EncoderTraining", "init_args": {
                "generator": net, "widths": [16, 16], "resolution": 32, "picture_from": 0.5,
                "loss": {"perceptual_network": scorer, "code": 0.0}}},
            made("", "codes")[1],
            steps,
        ),
    }  # fmt: skip
    return {name: {"model": m, "data": d, "trainer": t} for name, (m, d, t) in cases.items()}


def pretrainings(world_generator, cache, export) -> dict:
    """Return the trainings of what is shipped, on few pictures."""
    cases = {}
    for name in PRETRAININGS:
        case = _experiment(f"pretraining/{name}.yaml")
        few = {"first_seed": 3, "count": 96, "batch_size": 16, "generated_count": 16, "val_count": 24, "test_count": 24}
        case["data"]["init_args"] |= few | {"generator": str(world_generator), "render_workers": 1}
        case["trainer"] |= {"max_steps": 8, "val_check_interval": 3, "precision": "32-true"}
        cases[f"pretraining-{name}"] = case
    case = _experiment("pretraining/generator.yaml")
    case["data"]["init_args"] |= {"count": 64, "batch_size": 8, "val_count": 8, "test_count": 8, "seed": 3}
    case["data"]["init_args"] |= {"render_workers": 1}
    tiny = {"w_dim": 16, "mapping_layers": 5, "mapping_width": 128, "channel_base": 128, "channel_max": 8}
    tiny |= {"plane_resolution": 16, "plane_channels": 4, "decoder_hidden": 8, "features": 4, "samples": 8}
    tiny |= {"neural_resolution": 32, "superresolution_channels": 4}
    case["model"]["init_args"] |= {"config": tiny, "mapping_steps": 20, "mapping_batch": 64}
    case["trainer"] |= {"max_steps": 6, "val_check_interval": 4, "callbacks": []}
    cases["pretraining-generator"] = case
    for case in cases.values():
        case["model"]["init_args"] |= {"export": {"folder": str(export)}}
    return cases


def _experiment(name: str) -> dict:
    return yaml.safe_load((experiments_folder() / name).read_text())


def write(case: dict, path: Path, **trainer) -> Path:
    """Write a config that is quiet and quick."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    fixed = {"accelerator": "cpu", "devices": 1, "log_every_n_steps": 2, **quiet}
    path.write_text(json.dumps({**case, "trainer": {**case["trainer"], **fixed, **trainer}}))  # JSON is YAML
    return path
