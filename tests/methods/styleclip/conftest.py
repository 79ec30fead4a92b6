import pytest
import torch

from tests.methods.styleclip.planted import Eyes, Pixels, fit, module


@pytest.fixture(autouse=True)
def eyes(monkeypatch):
    """Let `eyes` be a text-image model that can be named; others stay what they are."""
    from sat3d.perception import load_clip

    made = Eyes()
    monkeypatch.setattr(
        "sat3d.methods.styleclip.module.load_clip",
        lambda name, *rest: made if name == "eyes" else load_clip(name, *rest),
    )
    return made


@pytest.fixture
def pixels(monkeypatch):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Pixels().freeze()
    for place in ("methods.styleclip.module", "data.codes"):
        monkeypatch.setattr(f"sat3d.{place}.load_generator", lambda *_: made)
    return made


@pytest.fixture
def planted(pixels, tmp_path):
    model = module("pixels", texts={"wanted": ["channel 5", "channel 2"]}, kinds=("conv", "torgb"))
    fit(model, tmp_path)
    return model
