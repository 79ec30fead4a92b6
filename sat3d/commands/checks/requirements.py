"""What the package's own metadata asks for, and the commands that would bring it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

DEVELOPMENT = "dev"  # the extra that users need none of
MODULES = {  # where the module is not called as the distribution
    "dlib-bin": "dlib",
    "imageio-ffmpeg": "imageio_ffmpeg",
    "open-clip-torch": "open_clip",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}
DATA = frozenset({"face-recognition-models"})  # carry files alone; this one's module needs a setuptools of old


@dataclass(frozen=True)
class Wanted:
    """Say what is wanted of a distribution.

    Args:
        requirement: its name and versions.
        extra: which of our extras brings it; empty for what is always needed.
    """

    requirement: Requirement
    extra: str

    @property
    def name(self) -> str:
        """The distribution, as registries spell it."""
        return canonicalize_name(self.requirement.name)

    @property
    def asked(self) -> str:
        """What to give an installer, e.g. `numba>=0.61`."""
        return f"{self.name}{self.requirement.specifier}"

    @property
    def installed(self) -> str | None:
        """The version that is there; `?` where its metadata is damaged."""
        return version_of(self.name)

    @property
    def fits(self) -> bool:
        """Tell whether the version that is there is one of those wanted."""
        try:
            return self.requirement.specifier.contains(Version(self.installed or ""), prereleases=True)
        except InvalidVersion:
            return False


def wanted(distribution: str = "sat3d") -> list[Wanted]:
    """Read what a distribution asks for here; what an extra asks for comes once for each extra that names it.

    Raises:
        importlib.metadata.PackageNotFoundError: it is not installed.
    """
    found = metadata.distribution(distribution)
    every = [Requirement(line) for line in found.requires or []]
    every = [each for each in every if canonicalize_name(each.name) != distribution]
    always = [each for each in every if _applies(each, "")]
    extras = found.metadata.get_all("Provides-Extra") or []
    further = [(each, extra) for extra in extras for each in every if each not in always and _applies(each, extra)]
    return [Wanted(each, extra) for each, extra in [*((each, "") for each in always), *further]]


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def version_of(distribution: str) -> str | None:
    """Return the version of an installed distribution, `?` where its metadata is damaged, or nothing."""
    try:
        return metadata.version(distribution) or "?"
    except metadata.PackageNotFoundError:
        return None
    except (KeyError, TypeError):  # a folder without the metadata in it
        return "?"


def module_of(distribution: str) -> str:
    """Return what to import of a distribution."""
    return MODULES.get(distribution, distribution.replace("-", "_"))


def distribution_of(module: str) -> str:
    """Return the distribution that a module comes from."""
    return next((name for name, known in MODULES.items() if known == module), module.replace("_", "-"))


def source_tree() -> Path | None:
    """Return the source tree that the package is imported from, if it is not a wheel's."""
    tree = Path(__file__).resolve().parents[3]
    return tree if (tree / "pyproject.toml").is_file() else None


def install(packages: Iterable[str], options: str = "") -> str:
    """Write the command that installs packages into this Python, with pip or, where there is none, with uv."""
    what = " ".join([*options.split(), *(quote(package) for package in packages)])
    if find_spec("pip") is None and shutil.which("uv"):
        return f"uv pip install {'' if python() == 'python' else f'--python {python()} '}{what}"
    return f"{python()} -m pip install {what}"


def python() -> str:
    """Write this Python as one types it: by its path, unless its environment is the activated one."""
    activated = Path(os.environ.get("VIRTUAL_ENV") or os.devnull).resolve() == Path(sys.prefix).resolve()
    return "python" if activated else typed(sys.executable)


def reinstall(packages: Iterable[str]) -> str:
    """Write the command that installs packages once more, whether or not they seem to be there."""
    return install(packages, "--force-reinstall")


def install_again() -> str:
    """Write the command that installs sat3d itself again, from where it came."""
    tree = source_tree()
    return f"cd {typed(tree)} && {install(['.[all]'], '-e')}" if tree else reinstall(["sat3d[all]"])


def typed(path: str | Path) -> str:
    """Write a path as one types it in a shell, the home folder as `~`."""
    home = Path.home()
    if Path(path).is_relative_to(home) and home != Path(home.anchor):
        return f"~/{quote(str(Path(path).relative_to(home)))}"
    return quote(str(path))
