"""StyleAE on planted codes, and against the paper's sum of losses."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from sat3d.generators import CodeStream, load_generator
from sat3d.generators.batches import LatentBatch
from sat3d.methods import StyleAE, load_editor
from sat3d.methods.styleae.losses import label_loss, picture_loss
from sat3d.methods.styleae.targets import Targets
from tests.methods.planted import COLUMNS, WIDTH, PlantedCodes, samples, trainer

SIZED = {"columns": COLUMNS, "code_width": WIDTH}


def fit(model, folder, data=None, **options):
    done = trainer(folder, **options)
    done.fit(model, datamodule=data or PlantedCodes())
    return done


MIX = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(9)))[0]


def bent(factors):
    """Mix factors into codes, and bend them a little."""
    x = factors @ MIX
    return x + 0.1 * x.tanh()


def read(codes):
    """Return the factors of codes: the inverse of `bent`."""
    x = codes
    for _ in range(40):
        x = codes - 0.1 * x.tanh()
    return x @ MIX.T


class Independent(PlantedCodes):
    """Codes of as many factors as they are wide, of which the first two are labelled.

    A one-hot label has a column more than it has factors, which leaves an autoencoder of the codes' width without a
    coordinate for one of the others: flows are compared on that, see `planted`.
    """

    columns, label_width = {"smile": {"value": [0]}, "age": {"value": [1]}}, 2

    def _loader(self, count, seed):
        factors = torch.rand(count, WIDTH, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        codes = bent(factors)

        def batch(rows):
            index = torch.tensor(rows)
            return LatentBatch(index, codes[index], factors[index, :2], None)

        return DataLoader(range(count), self.batch_size, collate_fn=batch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    model = StyleAE(reconstruction="code", hidden=[32, 32], lr=3e-3)
    fit(model, tmp_path_factory.mktemp("styleae"), Independent(), max_epochs=150, limit_val_batches=0)
    return model


@pytest.mark.parametrize("row, attribute", [(0, "smile"), (1, "age")])
def test_an_edit_moves_what_was_planted_and_little_else(row, attribute, trained):
    def changes(model):
        codes = next(iter(Independent().val_dataloader())).codes
        change = read(model.editor().edit(codes, attribute, 0.5)) - read(codes)
        others = change[:, [k for k in range(WIDTH) if k != row]].square().mean().sqrt()
        return float(change[:, row].mean()) / 0.5, float(others) / 0.5

    own, others = changes(trained)
    untrained, _ = changes(StyleAE(reconstruction="code", columns=Independent.columns, code_width=WIDTH))
    assert abs(own - 1) < 0.1 < abs(untrained - 1), (own, untrained)
    assert others < 0.4, others  # nothing in the loss keeps the other coordinates from telling of others too


def test_labels_are_read_from_codes_never_seen(trained):
    batch = next(iter(Independent().val_dataloader()))
    with torch.no_grad():
        assert (trained.read_labels(batch.codes) - batch.labels).abs().mean() < 0.1


@pytest.mark.parametrize("attribute", ["smile", "hat/yes"])
def test_strength_0_is_the_identity_and_so_is_the_value_that_is_there(attribute):
    editor = StyleAE(reconstruction="code", **SIZED).editor()
    codes, _ = samples(6, 0)
    assert torch.equal(editor.edit(codes, attribute, 0.0), codes)
    c = editor.coordinates(codes)
    torch.testing.assert_close(editor.moved(codes, c, c), codes)


def test_the_papers_form_is_the_decoders():
    model = StyleAE(reconstruction="code", **SIZED, form="paper")
    codes, _ = samples(6, 0)
    z = model.network.encode(codes)
    z[:, 0] += 0.7
    torch.testing.assert_close(model.editor().edit(codes, "smile", 0.7), model.network.decode(z).detach())


def test_losses_are_the_papers_sum(toys):
    net = load_generator(toys.generator)
    codes = torch.randn(3, net.w_dim, generator=torch.Generator().manual_seed(0))
    batch = LatentBatch(torch.arange(3), codes, samples(3, 0)[1], net.cameras.frontal().expand(3))
    settings = {"columns": COLUMNS, "code_width": net.w_dim, "label_weight": 0.4, "pixel_weight": 2.0, "margin": 0.1}
    model = StyleAE(toys.generator, **settings).eval()
    z, made = model.network(codes)
    pictures = [
        net.synthesize(net.styles(w[:, None].repeat(1, net.num_ws, 1)), camera=batch.camera).image
        for w in (made, codes)
    ]
    square, beyond = picture_loss(*pictures, 0.1)
    found = model.losses(batch, CodeStream(0, net.w_dim))
    torch.testing.assert_close(found["reconstruction"], 0.6 * square)
    torch.testing.assert_close(found["pixels"], 2 * beyond)
    torch.testing.assert_close(found["labels"], 0.4 * label_loss(z[:, :3], batch.labels))
    sum(found.values()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.network.parameters())
    assert not any(p.requires_grad for p in net.parameters())


def test_unedited_pictures_are_made_once_for_each_code():
    seen = []

    def show(batch, codes):
        seen.extend(batch.index.tolist())
        return codes[:, :3, None, None].expand(-1, -1, 4, 4) / 8

    codes, labels = samples(6, 0)
    targets = Targets(show)
    for rows in ([0, 1, 2], [2, 3, 0], [5]):
        batch = LatentBatch(torch.tensor(rows), codes[rows], labels[rows], None)
        torch.testing.assert_close(targets(batch), show(batch, batch.codes), atol=2e-3, rtol=0)
        del seen[-len(rows) :]
    assert seen == [0, 1, 2, 3, 5] and targets.made == 5
    small = Targets(show, max_bytes=2 * 96)
    for _ in range(2):
        small(LatentBatch(torch.arange(3), codes[:3], labels[:3], None))
    assert small.made == 4 and small.bytes <= 192


class TinyVAE(nn.Module):
    """Some other decoder: eight numbers to a picture."""

    def __init__(self, side=4):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(WIDTH, 3 * side * side), nn.Tanh(), nn.Unflatten(1, (3, side, side)))

    def forward(self, codes):
        return self.net(codes)


def test_codes_need_not_be_a_generators(tmp_path):
    model = StyleAE(decode=f"{__name__}.TinyVAE", decode_args={"side": 6}, lr=3e-3)
    fit(model, tmp_path, max_epochs=8)
    editor = load_editor(tmp_path / "editor")
    assert editor.card["generator"] is None and editor.attributes == ("smile", "hat/no", "hat/yes")
    assert all(name.startswith("network.") for name in model.state_dict())
    codes, _ = samples(16, 3)
    picture, again = TinyVAE(6)(codes), TinyVAE(6)(model.network(codes)[1])
    untrained = StyleAE(reconstruction="code", **SIZED)
    assert (again - picture).square().mean() < 0.5 * (TinyVAE(6)(untrained.network(codes)[1]) - picture).square().mean()


def test_pictures_may_come_after_a_start_on_codes(tmp_path):
    shown = []

    class Shows(StyleAE):
        def _show(self, batch, codes):
            shown.append(self.global_step)
            return super()._show(batch, codes)

    model = Shows(decode=f"{__name__}.TinyVAE", decode_args={}, code_steps=3)
    fit(model, tmp_path, max_steps=5, limit_val_batches=0)
    assert set(shown) == {3, 4}


def test_settings_that_cannot_be():
    for changes, message in (
        ({}, "give generator, or decode"),
        ({"reconstruction": "code", "code_steps": -1}, "code_steps=-1 must be 0 or more"),
        ({"reconstruction": "code", "ramp": 0.3}, "ramp=0.3 must be a number of epochs"),
        ({"decode": "no.such.Thing"}, "cannot be imported"),
        ({"reconstruction": "code", "columns": COLUMNS, "code_width": 2}, "3 labels do not fit into codes of 2"),
    ):
        with pytest.raises(ValueError, match=message):
            StyleAE(**changes)


def test_cameras_reach_the_generator(toys):
    """The loss of one code is another one from another camera."""
    net = load_generator(toys.generator)
    model = StyleAE(toys.generator, columns=COLUMNS, code_width=net.w_dim).eval()
    codes, labels, noise = torch.randn(1, net.w_dim), torch.zeros(1, 3), CodeStream(0, net.w_dim)
    seen = [
        float(model.losses(LatentBatch(torch.zeros(1), codes, labels, camera), noise)["reconstruction"])
        for camera in (net.cameras.at(0.0, 0.0), net.cameras.at(0.7, 0.2))
    ]
    assert seen[0] != pytest.approx(seen[1], rel=1e-3)
