import pytest
import torch
from torch.distributions import Normal

from sat3d.methods import PluGeN, PluGeNEditor
from sat3d.methods.plugen import NICE
from tests.methods.planted import COLUMNS, WIDTH, PlantedCodes, moved, samples, trainer

SIZED = {"columns": COLUMNS, "code_width": WIDTH}


def flow(width=6, scale=False, dtype=torch.float64):
    torch.manual_seed(0)
    nice = NICE(width, hidden=16, scale=scale).to(dtype)
    with torch.no_grad():
        for weights in nice.parameters():
            weights.mul_(2.0)
        nice.log_scale.copy_(torch.linspace(-0.5, 1, width) if scale else torch.zeros(width))
    return nice


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize("width", [6, 7])
@torch.no_grad()
def test_flow_is_undone(width, dtype, tolerance):
    nice = flow(width, True, dtype)
    w = torch.randn(50, width, dtype=dtype, generator=torch.Generator().manual_seed(0))
    z = nice.encode(w)
    assert float((z - w).abs().max()) > 0.5
    assert float((nice.decode(z) - w).abs().max()) < tolerance
    assert float((nice.encode(nice.decode(w)) - w).abs().max()) < tolerance


@pytest.mark.parametrize("scale", [False, True])
def test_log_likelihood_is_the_change_of_variables(scale):
    nice = flow(scale=scale)
    w = torch.randn(4, 6, dtype=torch.float64)
    labels = torch.rand(4, 2, dtype=torch.float64) * 2 - 1
    for row in range(4):
        z = nice.encode(w[row : row + 1])[0]
        jacobian = torch.autograd.functional.jacobian(lambda x: nice.encode(x[None])[0], w[row])
        prior = Normal(labels[row], 0.3).log_prob(z[:2]).sum() + Normal(0.0, 1.0).log_prob(z[2:]).sum()
        wanted = prior + torch.linalg.slogdet(jacobian)[1]
        assert float(nice.log_prob(w, labels, 0.3)[row].detach()) == pytest.approx(float(wanted.detach()), abs=1e-10)
        if not scale:
            assert float(torch.linalg.slogdet(jacobian)[1]) == pytest.approx(0, abs=1e-10)


def test_every_dimension_is_moved_by_others():
    nice = flow()
    jacobian = torch.autograd.functional.jacobian(lambda x: nice.encode(x[None])[0], torch.zeros(6).double())
    assert bool((jacobian.abs() > 1e-6).all())


def test_networks_are_the_papers():
    layers = NICE(512).couplings[0].shift
    assert [tuple(m.weight.shape) for m in layers[::2]] == [(512, 256), (512, 512), (512, 512), (256, 512)]
    assert [m.negative_slope for m in layers[1::2]] == [0.1] * 3 and len(NICE(512).couplings) == 4


def test_sigma_falls_to_its_floor(monkeypatch):
    module = PluGeN(**SIZED, hidden=4, sigma_floor=0.2)
    told = []
    for epoch in (0, 100, 2000):
        monkeypatch.setattr(PluGeN, "current_epoch", epoch)
        module.on_train_epoch_start()
        told.append(float(module.sigma))
    assert told == pytest.approx([0.4, 0.4 * 0.999**100, 0.2])
    with pytest.raises(ValueError, match="sigma_floor"):
        PluGeN(sigma_floor=0.0)


def test_edit_is_the_inverse_of_changed_coordinates():
    editor = PluGeN(**SIZED, hidden=16).editor().double()
    assert isinstance(editor, PluGeNEditor)
    w = samples(5, 0)[0].double()
    z = editor.flow.encode(w)
    z[:, 0] += 0.6
    assert torch.allclose(editor.edit(w, "smile", 0.6), editor.flow.decode(z), atol=1e-12)
    z[:, 1], z[:, 2] = -1.0, 1.0
    z[:, 0] -= 0.6
    assert torch.allclose(editor.set_value(w, "hat/yes", 1.0), editor.flow.decode(z), atol=1e-12)
    paper = PluGeNEditor(**{**editor.config(), "form": "paper"}).double()
    paper.load_state_dict(editor.state_dict())
    assert torch.allclose(paper.edit(w, "smile"), editor.edit(w, "smile"), atol=1e-12)
    assert torch.equal(paper.set_value(w, "smile", editor.coordinates(w)[:, 0]), w)
    with pytest.raises(ValueError, match="3 labels do not fit into codes of 2"):
        PluGeNEditor(COLUMNS, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    module = PluGeN(hidden=64, lr=3e-3, sigma_decay=0.9)
    run = trainer(tmp_path_factory.mktemp("plugen"), max_epochs=25, gradient_clip_val=1.0, limit_val_batches=0)
    run.fit(module, datamodule=PlantedCodes())
    return module


@pytest.mark.parametrize("attribute", ["smile", "hat/yes"])
def test_planted_attributes_move_and_others_stay(trained, attribute):
    wanted, others = moved(trained.editor(), attribute)
    assert wanted == pytest.approx(1, abs=0.15) and others < 0.3
    wild, _ = moved(PluGeN(**SIZED, hidden=64).editor(), attribute)
    assert abs(wild - 1) > 0.5


@torch.no_grad()
def test_labels_are_read_from_held_out_codes(trained):
    w, labels = samples(128, 1)
    read, blind = trained.read_labels(w), PluGeN(**SIZED, hidden=64).read_labels(w)
    assert float((read - labels).abs().mean()) < 0.15 < 0.5 < float((blind - labels).abs().mean())
