"""The released networks by name: what belongs to each, and that its file is there and stays the same."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from sat3d.folders import zoo_folder
from sat3d.generators.base import Generator
from sat3d.generators.eg3d import EG3D
from sat3d.generators.pickles import CheckpointError
from sat3d.ops.camera import CameraDistribution
from sat3d.replacing import replacing
from sat3d.shipped import sha256_of


@dataclass(frozen=True)
class Entry:
    """Say what is publicly known of a released network. `None` where something is unknown, or only 3-D ones have it.

    Args:
        name: under which `load_generator` takes it.
        file: its official file name.
        source: where that is published, in words.
        licence: of the weights.
        architecture: `EG3D` or `StyleGAN2`.
        resolution: of the picture, pixels.
        classes: 2-D only: labels of a conditional network, 0 for none.
        neural_resolution: 3-D only: side of the ray-marched picture in training, pixels.
        samples: 3-D only: coarse samples along a ray, and further ones where they matter.
        planes: 3-D only: convention of the tri-planes.
        background: 3-D only: what rays see that meet nothing.
        conditioning: 3-D only: `frontal` if the mapping was trained on camera labels, else `none`.
        cameras: 3-D only: pivot, radius, field of view, and ranges of yaw and pitch.
        poses: 3-D only: what is known of the cameras in training.
    """

    name: str
    file: str
    source: str
    licence: str
    architecture: Literal["EG3D", "StyleGAN2"]
    resolution: int
    classes: int | None = None
    neural_resolution: int | None = None
    samples: tuple[int, int] | None = None
    planes: Literal["released", "corrected"] | None = None
    background: Literal["black", "white"] | None = None
    conditioning: Literal["frontal", "none"] | None = None
    cameras: CameraDistribution | None = None
    poses: str | None = None

    @property
    def path(self) -> Path:
        """Where the file belongs."""
        return zoo_folder() / self.file

    @property
    def missing(self) -> str:
        """What to do about a missing file."""
        return (
            f"{self.file} is not there: put it into {self.path.parent} (SAT3D_ZOO names another folder), or let "
            f"`sat3d fetch {self.name} URL` do so"
        )

    def check(self, generator: Generator) -> None:
        """Compare a generator with what is known of this one.

        Raises:
            CheckpointError: it is another network.
        """
        found: dict[str, object] = {"architecture": type(generator).__name__, "resolution": generator.resolution}
        if isinstance(generator, EG3D):
            found["planes"] = "released" if generator.options.plane_axes is None else "corrected"
        else:
            found["classes"] = generator.c_dim
        known = {name: getattr(self, name) for name in found}
        if wrong := [name for name in found if known[name] is not None and known[name] != found[name]]:
            told = ", ".join(f"{name} {found[name]} where {known[name]} is known" for name in wrong)
            raise CheckpointError(f"{self.path} is not {self.name}: {told}")


@cache
def entries() -> Mapping[str, Entry]:
    """Return what is known of every released network, by name."""
    table = yaml.safe_load(Path(__file__).with_name("zoo.yaml").read_text())
    return {name: _entry(name, facts) for name, facts in table["networks"].items()}


def _entry(name: str, facts: dict[str, Any]) -> Entry:
    cameras, samples = facts.pop("cameras", None), facts.pop("samples", None)
    if cameras is not None:
        cameras = CameraDistribution(**{k: tuple(v) if isinstance(v, list) else v for k, v in cameras.items()})  # type: ignore[arg-type]
    return Entry(name, **facts, samples=samples and tuple(samples), cameras=cameras)


def find(entry: Entry, option: str = "generator") -> Path:
    """Return the file of a released network, after comparing it with the sha256 that its first use recorded.

    Args:
        entry: the network.
        option: what its name was given for.

    Raises:
        FileNotFoundError: the file is not there; says where it belongs and comes from.
        CheckpointError: it is another file than at its first use.
    """
    if not entry.path.is_file():
        raise FileNotFoundError(
            f"{option}={entry.name!r}: {entry.missing}\nsource: {entry.source}\nlicence: {entry.licence}"
        )
    compare_with_record(entry.path)
    return entry.path


def compare_with_record(path: Path, file: Path | None = None) -> None:
    """Compare a file with the record beside it, if there is one.

    Args:
        path: of the file; its record is beside it, in the format of sha256sum.
        file: another file that is to take its place.

    Raises:
        CheckpointError: it is another file.
    """
    record, now = _record(path), sha256_of(file or path)
    if record.is_file() and (known := record.read_text().strip()[:64]) != now:
        raise CheckpointError(
            f"{path} is not the file that was used first: its sha256 is {now}, and {record.name} beside it says {known}"
            "; restore the file, or remove the record if the new one is meant"
        )


def record_use(path: Path) -> None:
    """Record the sha256 of a file that has proved good, unless that was done before."""
    record = _record(path)
    if record.is_file():
        return
    line = f"{sha256_of(path)}  {path.name}\n"
    try:
        with replacing(record) as partial:
            partial.write_text(line)
    except OSError as error:
        warnings.warn(f"{record}: cannot be written ({error.strerror}), so a change of {path.name} would go unnoticed")


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
