"""What all tests share: no network, one thread a worker, checked shapes, and the recordings where there are any."""

import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: two workers on two cores, children included
os.environ["WANDB_MODE"] = "offline"

import pytest
import torch
from jaxtyping import install_import_hook

# Shapes in the annotations are checked in the tests, and cost nothing outside them. An int is a float, as for mypy.
CHECKED = [
    "sat3d.data.label_coder",
    "sat3d.metrics",
    *(
        f"sat3d.ops.{name}"
        for name in ("camera", "jacobian", "kmeans", "modulation", "queries", "raymarch", "resample", "triplane")
    ),
    *(f"sat3d.inversion.{name}" for name in ("alignment", "landmarks", "pictures")),
    *(f"sat3d.methods.{name}" for name in ("coordinates", "plugen", "styleflow.flow", "styleflow.layers")),
    *(f"sat3d.perception.{name}" for name in ("cluster_regions", "network_regions", "regions")),
]
install_import_hook(CHECKED, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

OFFLINE = Path(__file__).parent / "offline"
BROWSER = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
BROWSER += ["--disable-sync", "--no-first-run"]


@pytest.fixture(scope="session", autouse=True)
def no_network() -> None:
    """Hold this process and all Python children to loopback and Unix sockets."""
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(OFFLINE), *filter(None, path)])
    sys.path.insert(0, str(OFFLINE))
    sys.modules.pop("sitecustomize", None)
    import sitecustomize  # noqa: F401  # its import is what forbids

    sys.path.remove(str(OFFLINE))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Keep torch to one thread: the workers of pytest-xdist share the cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """Return the folder of recordings of the released networks."""
    folder = os.environ.get("SAT3D_FIXTURES")
    if not folder:
        pytest.skip("SAT3D_FIXTURES names no folder of recordings")
    if not Path(folder).is_dir():
        pytest.fail(f"SAT3D_FIXTURES: {folder} is not a folder")
    return Path(folder)


@pytest.fixture(scope="module")  # its event loop must not outlive the tests of pages
def browser():
    """Return Debian's chromium, headless; where it cannot be had, tests of pages are skipped."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright, of the dev extra, is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no chromium on the path")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=BROWSER)
        yield browser
        browser.close()
