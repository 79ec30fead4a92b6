import numpy as np
import pytest
import torch

from sat3d.perception import (
    AttributePredictor,
    IdentityConfig,
    IdentityEmbedder,
    ParserConfig,
    PartParser,
    PredictedAttribute,
    PredictorConfig,
    Scorer,
    load_observer,
    save_observer,
)

ATTRIBUTES = (
    PredictedAttribute("hat", "categorical", ("none", "cap", "beanie")),
    PredictedAttribute("smile", "continuous", ("frown", "smile")),
    PredictedAttribute("beard", "categorical", ("no", "yes")),
)


def observers():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same networks, whatever ran before
        return {
            "residual": AttributePredictor(PredictorConfig(ATTRIBUTES, "residual", (8, 16, 16, 24))),
            "plain": AttributePredictor(PredictorConfig(ATTRIBUTES, "plain", (8, 16, 16, 24))),
            "parser": PartParser(ParserConfig(("background", "skin", "hair"), (8, 8, 16))),
            "identity": IdentityEmbedder(IdentityConfig("residual", (8, 8, 16, 16), 12)),
        }


@pytest.mark.parametrize("name", observers())
def test_stored_in_half_precision_and_back(name, images, tmp_path):
    torch.manual_seed(0)
    observer = observers()[name]
    with torch.no_grad():
        for state in observer.state_dict().values():  # unusual statistics, and numbers that half precision has
            if state.is_floating_point():
                state.copy_((state + 0.3 * torch.rand_like(state)).half())
    observer.freeze()
    loaded = load_observer(save_observer(observer, tmp_path / f"{name}.safetensors"))
    assert type(loaded) is type(observer)
    assert loaded.config == observer.config
    assert torch.equal(loaded(images), observer(images))
    assert loaded.hash == observer.hash
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in loaded.parameters())
    loaded.train()
    assert not any(module.training for module in loaded.modules())
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("name", observers())
def test_pictures_do_not_depend_on_their_batch_and_gradients_reach_them(name, images):
    observer = observers()[name].freeze()
    images.requires_grad_()
    together = observer(images)
    torch.testing.assert_close(observer(images[1:2]), together[1:2], atol=1e-5, rtol=1e-4)
    # Not the sum of squares: that of an identity's unit vector is 1 whatever the picture.
    (together[0] * torch.linspace(-1, 1, together[0].numel()).view_as(together[0])).sum().backward()
    assert images.grad[0].abs().max() > 0
    assert images.grad[1:].abs().max() == 0


class _Silent(Scorer):
    """A scorer of which only the scores are known."""

    def __init__(self, scorer):
        super().__init__()
        self.scorer, self.attributes, self.slices = scorer, scorer.attributes, scorer.slices

    def forward(self, images):
        return self.scorer(images)


@pytest.mark.parametrize("trunk", ["residual", "plain"])
def test_predictor_scores_are_distributions_and_values(trunk, images):
    predictor = AttributePredictor(PredictorConfig(ATTRIBUTES, trunk, (8, 16, 16, 24))).freeze()
    scores, logits = predictor(images).numpy(), predictor.logits(images).numpy()
    assert predictor.columns == ("hat/none", "hat/cap", "hat/beanie", "smile/value", "beard/no", "beard/yes")
    assert predictor.slices == {"hat": [slice(0, 3)], "smile": [slice(3, 4)], "beard": [slice(4, 6)]}
    np.testing.assert_allclose(scores[:, :3], np.exp(logits[:, :3]) / np.exp(logits[:, :3]).sum(1)[:, None], rtol=1e-4)
    np.testing.assert_allclose(scores[:, 3], 1 / (1 + np.exp(-logits[:, 3])), rtol=1e-4)
    odds = scores.astype(np.float64) / (1 - scores.astype(np.float64))
    np.testing.assert_allclose(predictor.log_odds(images).numpy(), np.log(odds), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(Scorer.log_odds(_Silent(predictor), images).numpy(), np.log(odds), rtol=1e-4, atol=1e-4)
    values = predictor.values(torch.tensor([[0.1, 0.2, 0.7, 0.4, 0.8, 0.2]]))
    torch.testing.assert_close(values, torch.tensor([[2.0, 0.4, 0.0]]))


def test_predictor_distance_is_qmm_like(images):
    predictor = AttributePredictor(PredictorConfig(ATTRIBUTES, "plain", (8, 8, 8, 8))).freeze()
    a = torch.tensor([[0.1, 0.2, 0.7, 0.4, 0.8, 0.2]])
    b = torch.tensor([[0.3, 0.4, 0.3, 0.9, 0.8, 0.2]])
    found = [predictor.distance(a, b, name).item() for name in ("hat", "smile", "beard")]
    assert found == pytest.approx([0.4, 0.5, 0.0], abs=1e-6)


def test_other_picture_sizes(images):
    smooth = torch.nn.functional.interpolate(images, (16, 16), mode="bilinear", antialias=True)
    large = torch.nn.functional.interpolate(smooth, (128, 128), mode="bilinear")
    small = torch.nn.functional.interpolate(smooth, (64, 64), mode="bilinear")
    for observer in observers().values():
        observer.freeze()
        assert observer(large).shape[0] == 4
    parser = observers()["parser"].freeze()
    assert parser(large).shape == (4, 3, 128, 128)
    identity = observers()["identity"].freeze()
    assert identity.similarity(large, small).min() > 0.99


def test_parser_probabilities_of_parts(images):
    parser = observers()["parser"].freeze()
    logits = parser(images)
    share = np.exp(logits.numpy())
    wanted = (share[:, 0] + share[:, 2]) / share.sum(1)
    np.testing.assert_allclose(parser.probability(images, ("background", "hair"))[:, 0].numpy(), wanted, rtol=1e-4)
    assert torch.equal(parser.segment(images), logits.argmax(1))
    with pytest.raises(ValueError, match=r"unknown parts \['hat'\]; known: background, skin, hair"):
        parser.probability(images, ("hat",))


def test_identity_is_a_unit_vector(images):
    embedded = observers()["identity"].freeze()(images)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(4))


def test_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.safetensors.* does not exist"):
        load_observer(tmp_path / "absent.safetensors")
    with pytest.raises(FileNotFoundError, match="toyfaces-jugde"):
        load_observer("toyfaces-jugde")
    whole = save_observer(observers()["identity"], tmp_path / "whole.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cut\.safetensors.* is damaged or truncated"):
        load_observer(cut)
    with pytest.raises(ValueError, match="trunk 'vgg' is unknown; choose one of residual, plain"):
        AttributePredictor(PredictorConfig(ATTRIBUTES, "vgg"))


def test_loading_leaves_the_callers_random_numbers_alone(tmp_path):
    file = save_observer(observers()["identity"], tmp_path / "one.safetensors")
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    load_observer(file)
    assert torch.equal(torch.rand(3), wanted)


def test_identities_may_come_from_a_torchscript_file(tmp_path):
    class Arc(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Linear(3, 5)

        def forward(self, x):
            assert x.shape[-1] == 112
            return 7 * self.body(x.mean((2, 3)))

    torch.jit.script(Arc()).save(str(tmp_path / "arc.pt"))
    found = load_observer(str(tmp_path / "arc.pt"))
    images = torch.rand(4, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(found(images).norm(dim=-1), torch.ones(4))
    torch.testing.assert_close(found.similarity(images, images), torch.ones(4))
    assert found.hash == load_observer(tmp_path / "arc.pt").hash
    (tmp_path / "broken.pt").write_bytes(b"no network")
    with pytest.raises(ValueError, match="no TorchScript network"):
        load_observer(str(tmp_path / "broken.pt"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_observer("nowhere.pt")
