"""Networks that a process shares, whoever asked for them first."""

import shutil

import torch

from sat3d.generators import load_generator
from sat3d.perception import load_clip, load_observer


def test_asked_for_within_inference_mode_they_can_be_written_to_afterwards(toys, tmp_path):
    for kind, load in (("judge", load_observer), ("generator", load_generator)):
        path = shutil.copy(getattr(toys, kind), tmp_path / f"{kind}.safetensors")  # nobody had it before
        with torch.inference_mode():
            net = load(str(path))
        assert not any(p.is_inference() for p in (*net.parameters(), *net.buffers())), kind
        net.load_state_dict(net.state_dict())


def test_the_same_of_a_text_image_model():
    load_clip.cache_clear()
    with torch.inference_mode():
        clip = load_clip()
    load_clip.cache_clear()
    assert not any(p.is_inference() for p in (*clip.parameters(), *clip.buffers()))
