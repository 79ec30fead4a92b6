"""Who takes part in a comparison: runs that are there, or are trained when they are missing; and who taught them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor

from sat3d.configs import read_config, with_bases
from sat3d.shipped import manifest
from sat3d.visualization import replacing

SETTINGS = "settings.json"
"""In a run folder: what its editor was trained with, so that another one is not taken for it."""


class Place(NamedTuple):
    """Where a run and its editor are."""

    run: Path
    editor: Path


def slug(name: str) -> str:
    """Return a name as a folder's: `StyleAE, codes` is `styleae-codes`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "method"


def find_run(path: str | Path) -> Place:
    """Find the run that a path means: its folder, or that of an editor in it.

    Raises:
        FileNotFoundError: if there is no editor, or no config of the run.
    """
    asked = Path(path)
    editor = asked if (asked / "card.json").is_file() else asked / "editor"
    if not (editor / "card.json").is_file():
        raise FileNotFoundError(f"runs: no editor in {path}; give the folder of a run that `lightning fit` ended")
    for folder in (asked, *asked.parents):
        if (folder / "config.yaml").is_file():
            return Place(folder, editor)
    raise FileNotFoundError(f"runs: no config.yaml in or above {path}")


# Training -------------------------------------------------------------------------------------------------------------


def run_door(words: Sequence[str], log: Path, threads: int = 1) -> None:
    """Run `lightning` in a process of its own, its output into a file.

    Raises:
        RuntimeError: if it fails; the message ends with the file's last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with log.open("w") as file:
        done = subprocess.run([sys.executable, "-m", "sat3d.cli", *words], stdout=file, stderr=file, env=environment)
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise RuntimeError(f"lightning {' '.join(words)}\nfailed; {log} ends with:\n{tail}")


def fit_editor(configs: Sequence[str], options: Mapping[str, Any], folder: Path, log: Path, threads: int = 1) -> bool:
    """Train an editor into a run folder, unless that has been done; what a stopped run left is removed.

    Args:
        configs: files of experiments that stack.
        options: settings in their place.
        folder: of the run.
        log: file for the output.
        threads: of the process.

    Returns:
        whether there was anything to train.

    Raises:
        ValueError: if the folder holds an editor of other settings.
        RuntimeError: if the training fails.
    """
    wanted = settings_of(configs, options)
    if (folder / "editor/card.json").is_file():
        found = json.loads((folder / SETTINGS).read_text()) if (folder / SETTINGS).is_file() else None
        if found != wanted:
            raise ValueError(
                f"{folder} holds an editor that was trained with other settings; remove it, or name another folder"
            )
        return False
    shutil.rmtree(folder, ignore_errors=True)
    quiet = {"trainer.enable_progress_bar": False}
    words = [f"--{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in {**quiet, **options}.items()]
    run_door(["fit", *(f"--config={c}" for c in configs), *words, f"--run.dir={folder}"], log, threads)
    with replacing(folder / SETTINGS) as path:
        path.write_text(json.dumps(wanted, indent=1) + "\n")
    return True


def settings_of(configs: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells one training from another: the configs' contents, and what replaces them."""
    files = [file for name in configs for file in with_bases(Path(name))]
    texts = [json.dumps(yaml.safe_load(file.read_text()), sort_keys=True) for file in files]
    return {
        "configs": [hashlib.sha256(text.encode()).hexdigest() for text in texts],
        "options": json.loads(json.dumps(dict(options))),
    }


def fit_facts(runs: Sequence[Path]) -> dict[str, str]:
    """Return what fitting took, means over runs, as `sat3d.callbacks.Summary` wrote it; nothing where it did not."""
    told = [json.loads((run / "fit.json").read_text()) for run in runs if (run / "fit.json").is_file()]
    if not told:
        return {}
    seconds, memory = (statistics.fmean(float(one[key]) for one in told) for key in ("seconds", "peak_memory_mib"))
    return {"fit, s": f"{seconds:.0f}", "fit, peak MiB": f"{memory:.0f}"}


# Labels ---------------------------------------------------------------------------------------------------------------


def labelled_data(config: Path) -> Any | None:
    """Return the labelled codes of a config, ready for use; `None` if its data are others.

    Raises:
        ValueError: if they cannot be made, or come from files, without a generator.
    """
    from lightning.pytorch import LightningDataModule

    from sat3d.data import LabelledLatentDataModule, SampledLatents

    settings = read_config(config).get("data")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    try:
        data = parser.instantiate_classes(parser.parse_object({"data": settings})).data
    except ArgumentError as error:
        raise ValueError(f"{config}: its data cannot be made: {error}") from error
    if not isinstance(data, LabelledLatentDataModule):
        return None
    if not isinstance(data.source, SampledLatents):
        raise ValueError(f"{config}: its codes come from files; pictures of a generator are needed")
    data.prepare_data()
    data.setup()
    return data


def labels_of(run: Path) -> tuple[Callable[[Tensor], Tensor], str] | None:
    """Return what turns a labeller's log-odds into a run's labels, and that labeller's hash; `None` without labels."""
    data = labelled_data(run / "config.yaml")
    if data is None:
        return None
    coder = data.coder

    def labels(log_odds: Tensor) -> Tensor:
        values = coder.values(log_odds.detach().cpu().double().numpy())
        return cast(Tensor, coder.scale(values)).to(log_odds.device)

    return labels, data.source.scorer.hash


# The judge rule -------------------------------------------------------------------------------------------------------

UNSEEN = {"judge"}
"""Settings that name who grades in the end, and teaches nothing."""


def teachers(run: Path) -> dict[str, str]:
    """Return the hashes of the observers that a run's config names, by name: they trained, tuned or labelled it."""
    from sat3d.perception import load_clip, load_observer

    names = set(_strings(yaml.safe_load((run / "config.yaml").read_text())))
    found = {}
    for name in sorted(names):
        kind = manifest().get(name, {}).get("kind")
        if kind == "clip":
            found[name] = load_clip(name).hash
        elif kind in ("attributes", "parser", "identity"):
            found[name] = load_observer(name).hash
        elif name.endswith(".safetensors") and Path(name).is_file():
            try:
                found[name] = load_observer(name).hash
            except ValueError:
                continue  # a generator, say
    return found


def _strings(settings: Any) -> Iterator[str]:
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if key not in UNSEEN:
                yield from _strings(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from _strings(value)
    elif isinstance(settings, str):
        yield settings


def marks_of(name: str, taught: Mapping[str, str], eyes: Mapping[str, str], strict: bool = True) -> dict[str, str]:
    """Return why the cells of an observer do not count for a method, by the observer's role.

    Args:
        name: of the method.
        taught: hashes of the observers that the method has seen, by name.
        eyes: hashes of the comparison's observers, by role (`judge`, `identity`, …).
        strict: refuse a judge that the method has seen, rather than mark it.

    Raises:
        ValueError: for such a judge.
    """
    found = {
        role: f"{observer}, which tells this, also taught {name}"
        for observer, digest in taught.items()
        for role, own in eyes.items()
        if digest == own and role != "labeller"
    }
    if "judge" in found and strict:
        raise ValueError(
            f"judge: {found['judge']}; name another with --judge, or take --marked true, which marks its cells"
        )
    return found


def device_name() -> str:
    """Return the processor or GPU in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", info.read_text()) if info.is_file() else []
    return f"{names[0] if names else 'a processor'}, {os.cpu_count()} cores"
