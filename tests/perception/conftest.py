import pytest
import torch
from safetensors.torch import save_file

from sat3d.perception import ClipModel, load_clip
from sat3d.perception.clip import register_own_models


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory):
    """Random weights of our CLIP, stored in half precision as ours are, with unusual statistics."""
    from open_clip.factory import create_model

    register_own_models()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = create_model("toyfaces-clip")
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_var.uniform_(0.02, 0.1)
                module.weight.data.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("clip") / "clip.safetensors"
    save_file({k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}, path)
    return path


@pytest.fixture(scope="session")
def clip(clip_file) -> ClipModel:
    return load_clip("toyfaces-clip", pretrained=str(clip_file))


@pytest.fixture
def images():
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
