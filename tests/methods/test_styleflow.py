import sys

import pytest
import torch
from torch.distributions import Normal

from sat3d.generators import CodeStream
from sat3d.generators.batches import LatentBatch
from sat3d.methods import StyleFlow, StyleFlowEditor
from sat3d.methods.styleflow import ConditionalFlow, ContinuousFlow, MovingNorm
from tests.methods.planted import COLUMNS, WIDTH, PlantedCodes, moved, samples, trainer

pytest.importorskip("torchdiffeq")

SMALL = {"columns": COLUMNS, "code_width": WIDTH, "hidden": (16, 16), "regressor": (16,)}


def flow(dtype=torch.float64, tolerance=1e-10, blocks=1, **kwargs):
    torch.manual_seed(0)
    made = ConditionalFlow(5, 2, (16, 16), blocks, tolerance, **kwargs).to(dtype)
    with torch.no_grad():
        for weights in made.parameters():
            weights.add_(0.2 * torch.randn(weights.shape))
        for module in made.modules():
            if isinstance(module, MovingNorm):
                module.observe(2 * torch.randn(50, 5, dtype=dtype) + 0.5)
    return made


def batch(count, dtype=torch.float64, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=random).to(dtype), torch.randn(count, 2, generator=random).to(dtype)


@pytest.mark.parametrize("dtype, tolerance, error", [(torch.float32, 1e-5, 1e-5), (torch.float64, 1e-11, 1e-9)])
@pytest.mark.parametrize("blocks", [1, 2])
@torch.no_grad()
def test_flow_is_undone(dtype, tolerance, error, blocks):
    made, (w, labels) = flow(dtype, tolerance, blocks), batch(20, dtype)
    z = made.encode(w, labels)
    assert float((z - w).abs().mean()) > 0.3
    assert float((made.decode(z, labels) - w).abs().max() / w.abs().max()) < error
    assert float((z - made.encode(w, labels + 1)).abs().mean()) > 0.05


def bent(editor):
    """Make an editor's flow stretch as trained ones do, some of them a hundredfold."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weights in editor.flow.flows.named_parameters():
            weights.mul_(1.0 if "root_time" in name else 5.0)
        editor.flow.norm.observe(0.5 * torch.randn(200, editor.flow.norm.mean.numel()))
    return editor


@pytest.mark.parametrize("form", ["residual", "paper"])
@torch.no_grad()
def test_edits_undo_the_flow_however_bent(form):
    editor = bent(StyleFlow(**SMALL, form=form).editor())
    (w, labels), flow = samples(20, 0), editor.flow
    missed = float((flow.decode(flow.encode(w, labels), labels) - w).abs().max())
    exact = flow.exact()
    back = exact.decode(exact.encode(w.double(), labels.double()), labels.double()).to(w)
    assert float((back - w).abs().max()) < 1e-5 < 10 * 1e-5 < missed
    assert float((editor.moved(w, labels, labels) - w).abs().max()) < 1e-5
    assert flow.norm.mean.dtype == torch.float32 and flow.flows[0].method == "dopri5"
    together = editor.edit(w, "smile", 0.5, values=labels)
    alone = torch.cat([editor.edit(w[i : i + 1], "smile", 0.5, values=labels[i : i + 1]) for i in range(3)])
    assert torch.allclose(together[:3], alone, atol=1e-5) and float((together - w).abs().max()) > 0.1


@pytest.mark.parametrize("blocks", [1, 2])
def test_log_likelihood_is_the_change_of_variables(blocks):
    made, (w, labels) = flow(blocks=blocks), batch(3)
    told = made.log_prob(w, labels)
    for row in range(3):
        a = labels[row : row + 1]
        jacobian = torch.autograd.functional.jacobian(lambda x, a=a: made.encode(x[None], a)[0], w[row])
        prior = Normal(0.0, 1.0).log_prob(made.encode(w[row : row + 1], a)).sum()
        assert float(told[row].detach()) == pytest.approx(
            float((prior + torch.linalg.slogdet(jacobian)[1]).detach()), abs=1e-7
        )


@torch.no_grad()
def test_rate_of_change_is_the_formula_and_tangents_are_its_derivatives():
    made, (w, labels) = flow().flows[0].dynamics, batch(4)
    t = torch.tensor(0.3, dtype=torch.float64)

    def naive(y):
        context = torch.cat([t.expand(1), labels[0]])
        for k, layer in enumerate(made.layers):
            y = y if k == 0 else torch.tanh(y)
            gate = torch.sigmoid(layer.gate.weight @ context + layer.gate.bias)
            y = (layer.linear.weight @ y + layer.linear.bias) * gate + layer.hyper.weight @ context
        return y

    rate, derivatives = made(t, w, labels, torch.eye(5, dtype=torch.float64).expand(4, -1, -1))
    assert torch.allclose(rate[0], naive(w[0]))
    jacobian = torch.autograd.functional.jacobian(naive, w[0])
    assert torch.allclose(derivatives[0], jacobian.T)


@pytest.mark.parametrize("kind", ["gaussian", "rademacher"])
@torch.no_grad()
def test_hutchinsons_estimate_is_unbiased(kind):
    made, (w, labels) = flow(tolerance=1e-5), batch(1)
    exact = float(made.log_prob(w, labels))
    count = 4000
    module = StyleFlow(**SMALL, noise=kind)
    many = LatentBatch(torch.arange(count), w.expand(count, -1), labels.expand(count, -1), None)
    noise = module._probe(many, CodeStream(0, 5, stream="noise"))
    assert kind == "gaussian" or set(noise.unique().tolist()) == {-1.0, 1.0}
    told = made.log_prob(w.expand(count, -1), labels.expand(count, -1), noise)
    error = float(told.std()) / count**0.5
    assert 0.001 < error < 0.2
    assert float(told.mean()) == pytest.approx(exact, abs=4 * error)


def test_gradients_agree_with_those_of_the_adjoint_and_with_differences():
    (w, labels), noise = batch(4), batch(4, seed=1)[0]
    plain, adjoint = flow(), flow(adjoint=True)
    for made in (plain, adjoint):
        made.log_prob(w, labels, noise).mean().backward()
    for (name, a), b in zip(plain.named_parameters(), adjoint.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-5, atol=1e-7), name
    time = plain.flows[0].root_time
    with torch.no_grad():
        ends = []
        for step in (1e-5, -2e-5):
            time += step
            ends.append(float(plain.log_prob(w, labels, noise).mean()))
    assert float(time.grad) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4)


def test_moving_norm_averages_all_batches_and_then_the_last_ones():
    norm = MovingNorm(3)
    batches = [torch.randn(40, 3) * (k + 1) + k for k in range(3)]
    for x in batches:
        norm.observe(x)
    assert torch.allclose(norm.mean, torch.stack([x.mean(0) for x in batches]).mean(0), atol=1e-5)
    assert torch.allclose(norm.var, torch.stack([x.var(0, correction=0) for x in batches]).mean(0), atol=1e-4)
    for _ in range(100):
        norm.observe(batches[0])
    assert torch.allclose(norm.mean, batches[0].mean(0), atol=1e-2)
    assert torch.allclose(norm(batches[0]).std(0, correction=0), torch.ones(3), atol=1e-2)


def test_likelihood_and_edits_do_not_move_the_statistics():
    module = StyleFlow(**SMALL)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    w, labels = samples(8, 0)
    module.train().flow.log_prob(w, labels, torch.randn_like(w))
    module.editor().train().edit(w, "smile")
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


@pytest.mark.parametrize("form", ["residual", "paper"])
def test_an_unchanged_condition_returns_the_code(form):
    editor = StyleFlow(**SMALL, form=form).editor()
    w, labels = samples(6, 0)
    assert torch.equal(editor.set_value(w, "smile", labels[:, 0], values=labels), w)
    assert torch.equal(editor.set_value(w, "hat/yes", labels[:, 2], values=labels), w)
    same = editor.moved(w, labels, labels)
    assert torch.equal(same, w) if form == "residual" else torch.allclose(same, w, atol=1e-6)


@torch.no_grad()
def test_edit_decodes_under_new_labels_and_encodes_again_for_the_next():
    module = StyleFlow(**SMALL, tolerance=1e-6, gains={"smile": 2.0}, form="paper")
    editor, flow = module.editor(), module.flow
    w, labels = samples(6, 0)
    new = labels.clone()
    new[:, 0] += 2.0 * 0.4
    first = flow.decode(flow.encode(w, labels), new)
    assert torch.allclose(editor.edit(w, "smile", 0.4, values=labels), first, atol=1e-5)
    hat = editor.shifted(new, "hat/yes", torch.full((6, 1), 0.4))
    second = flow.decode(flow.encode(first, new), hat)
    assert torch.allclose(editor.edit(w, ["smile", "hat/yes"], 0.4, values=labels), second, atol=1e-5)
    residual = StyleFlowEditor(**{**editor.config(), "form": "residual"})
    residual.load_state_dict(editor.state_dict())
    assert torch.allclose(residual.edit(w, "smile", 0.4, values=labels), first, atol=1e-4)


@torch.no_grad()
def test_labels_that_are_not_given_are_read_from_the_mean_over_layers():
    editor = StyleFlow(**SMALL, layers={"smile": (1, 1)}).editor()
    ws = torch.stack([samples(4, seed)[0] for seed in range(3)], 1)
    read = editor.regressor(ws.mean(1))
    assert torch.allclose(editor.edit(ws, "smile"), editor.edit(ws, "smile", values=read), atol=1e-5)
    bare = StyleFlow(**{**SMALL, "regressor": None})
    assert bare.read_labels(ws[:, 0]) is None
    with pytest.raises(ValueError, match="values: this editor carries no regressor"):
        bare.editor().edit(ws, "smile")
    assert bare.editor().edit(ws, "smile", values=read).shape == ws.shape


def test_wrong_gains_are_named():
    with pytest.raises(ValueError, match=r"gains: unknown attributes \['hut'\]"):
        StyleFlow(**SMALL, gains={"hut": 2.0})


def test_without_torchdiffeq_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchdiffeq"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(ImportError, match=r"sat3d\[flows\]"):
        StyleFlow(**SMALL)


def test_an_equation_that_cannot_be_solved_says_what_to_do():
    made = ContinuousFlow(5, 2, (16,))
    with torch.no_grad():
        for weights in made.parameters():
            weights.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="lower lr"):
        made(*batch(2, torch.float32))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    module = StyleFlow(hidden=(32, 32), regressor=(32,), tolerance=1e-3, lr=5e-3)
    run = trainer(tmp_path_factory.mktemp("styleflow"), max_epochs=12, limit_val_batches=0)
    run.fit(module, datamodule=PlantedCodes())
    return module


@pytest.mark.parametrize("attribute", ["smile", "hat/yes"])
@pytest.mark.parametrize("told", [True, False])
def test_planted_attributes_move_and_others_stay(trained, attribute, told):
    wanted, others = moved(trained.editor(), attribute, told)
    assert wanted == pytest.approx(1, abs=0.1) and others < 0.2
    wild, _ = moved(StyleFlow(**{**SMALL, "hidden": (32, 32)}).editor(), attribute, told)
    assert abs(wild - 1) > 0.5


@torch.no_grad()
def test_the_trained_flow_is_undone(trained):
    w, labels = samples(200, 1)
    flow = trained.editor().flow.exact()
    back = flow.decode(flow.encode(w.double(), labels.double()), labels.double())
    assert float((back - w).abs().max()) < 1e-5


@torch.no_grad()
def test_labels_are_read_from_held_out_codes_and_z_is_normal(trained):
    w, labels = samples(2000, 1)
    assert float((trained.read_labels(w) - labels).abs().mean()) < 0.1
    z = trained.eval().flow.encode(w, labels)
    assert float(z.mean().abs()) < 0.1 and float(z.std()) == pytest.approx(1, abs=0.1)

    def dependence(x):
        return float(torch.corrcoef(torch.cat([x, labels[:, ::2]], 1).T)[:WIDTH, WIDTH:].abs().mean())

    # Not 0: labels leave no spread at all in some directions of this toy, and z shows what is left there enlarged.
    assert dependence(z) < 0.5 * dependence(w)
