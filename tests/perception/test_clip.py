import json
from importlib import resources

import numpy as np
import pytest
import torch
from PIL import Image

from sat3d.perception import load_clip
from sat3d.perception.clip import OWN_MODELS, WORDS, with_all_words, with_known_words
from sat3d.perception.storage import save_weights


def test_same_as_open_clip_itself_with_its_own_preprocessing(clip, clip_file):
    """The reference is open_clip end to end: its factory, its PIL transform, its tokeniser."""
    import open_clip

    model, _, transform = open_clip.create_model_and_transforms("toyfaces-clip", pretrained=str(clip_file))
    model.eval()
    side = clip.preprocess.size[0]
    pixels = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    ours = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        wanted = model.encode_image(torch.stack([transform(Image.fromarray(p)) for p in pixels]), normalize=True)
        words = ["a head with a cap", "a bald head"]
        text = model.encode_text(open_clip.get_tokenizer("toyfaces-clip")(words), normalize=True)
        torch.testing.assert_close(clip.encode_image(ours), wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(clip.encode_text(words), text, atol=1e-5, rtol=1e-4)
    assert clip.logit_scale == pytest.approx(model.logit_scale.exp().item())


def test_resizes_as_open_clip_does(clip, clip_file):
    import open_clip

    *_, transform = open_clip.create_model_and_transforms("toyfaces-clip", pretrained=str(clip_file))
    # a smooth picture that is not square: the shorter side is fitted, the middle is cut out
    rows, columns = np.meshgrid(np.linspace(0, 3, 200), np.linspace(0, 4, 150), indexing="ij")
    pixels = np.stack([np.sin(rows + columns), np.cos(rows * 2), np.sin(columns * 3)], -1)
    pixels = np.round((pixels + 1) * 127.5).astype(np.uint8)
    ours = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    wanted = transform(Image.fromarray(pixels))
    got = clip.preprocess(ours)[0]
    assert got.shape == wanted.shape
    assert (got - wanted).abs().max() < 0.03  # Pillow rounds to bytes twice


def test_weights_are_float32_and_frozen_for_good(clip):
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in clip.parameters())
    torch.nn.Sequential(clip).train()
    assert not any(module.training for module in clip.modules())


def test_gradients_reach_the_pixels(clip, images):
    images.requires_grad_()
    clip.encode_image(images)[:, 0].sum().backward()
    assert all(g.abs().max() > 0 for g in images.grad)


def test_texts_are_embedded_once(clip):
    clip.encode_text(["a head", "a hat"])
    calls = []
    tokenize = clip.tokenize
    clip.tokenize = lambda texts: calls.append(texts) or tokenize(texts)
    again = clip.encode_text(["a hat", "a beard never seen", "a head", "a hat"])
    clip.tokenize = tokenize
    assert calls == [["a beard never seen"]]
    assert torch.equal(again[0], again[3])
    assert not torch.equal(again[0], again[2])


def test_hash_follows_weights_alone(clip, clip_file, tmp_path):
    copy = tmp_path / "elsewhere.safetensors"
    copy.write_bytes(clip_file.read_bytes())
    other = load_clip("toyfaces-clip", pretrained=str(copy))
    assert other is not clip
    assert other.hash == clip.hash
    with torch.no_grad():
        other.model.logit_scale += 1
    assert other.hash != clip.hash


def test_loading_is_shared(clip, clip_file):
    assert load_clip("toyfaces-clip", pretrained=str(clip_file)) is clip


def test_weights_that_come_with_the_package_are_not_called_random(caplog):
    load_clip.__wrapped__("toycars-clip")  # past the cache
    assert not [r for r in caplog.records if "random" in r.getMessage()]


def test_errors(clip_file, tmp_path):
    with pytest.raises(ValueError, match=r"unknown to open_clip; known: .*toyfaces-clip"):
        load_clip("ViT-B-33", pretrained="openai")
    with pytest.raises(ValueError, match=r"pretrained must name the weights of 'ViT-B-32': .*openai"):
        load_clip("ViT-B-32")
    with pytest.raises(FileNotFoundError, match="pretrained='opnai' is neither a file nor a tag"):
        load_clip("ViT-B-32", pretrained="opnai")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(clip_file.read_bytes()[:5000])
    with pytest.raises(ValueError, match="could not load 'toyfaces-clip'"):
        load_clip("toyfaces-clip", pretrained=str(cut))


@pytest.mark.parametrize("name", OWN_MODELS)
def test_our_configurations_are_small(name):
    config = json.loads((resources.files("sat3d.perception") / "clip_configs" / f"{name}.json").read_text())
    assert config["text_cfg"]["width"] <= 64
    assert config["text_cfg"]["vocab_size"] == 49408
    assert config["vision_cfg"]["image_size"] == 64


@pytest.fixture
def known(clip):
    known = torch.zeros(49408, dtype=torch.bool)
    known[clip.tokenize(["a head with a red hat", "long hair"])] = True
    return known


def test_words_that_were_taught_are_kept_and_the_others_say_nothing(clip, known):
    state = {name: tensor.clone() for name, tensor in clip.model.state_dict().items()}
    small = with_known_words(state, known)
    assert len(small[WORDS]) == known.sum() < 15
    whole = with_all_words(small, clip.model)
    assert whole.keys() == state.keys()
    assert torch.equal(whole[WORDS][known], state[WORDS][known]) and not whole[WORDS][~known].any()
    assert all(torch.equal(whole[name], state[name]) for name in state if name != WORDS)
    unchanged = with_all_words(state, clip.model)
    assert all(torch.equal(unchanged[name], state[name]) for name in state)


def test_a_model_stored_with_its_own_words_reads_them_as_before(clip, known, tmp_path):
    file = save_weights(with_known_words(clip.model.state_dict(), known), {"kind": "clip"}, tmp_path / "c.safetensors")
    assert file.stat().st_size < 3e6
    stored = load_clip("toyfaces-clip", pretrained=str(file))
    taught = ["a red hat", "a head with long hair"]
    torch.testing.assert_close(stored.encode_text(taught), clip.encode_text(taught), rtol=0, atol=1e-5)
    strange = stored.encode_text(["a zebra", "a piano", "a hat"])
    torch.testing.assert_close(strange[0], strange[1], rtol=0, atol=1e-6)
    assert (strange[0] - strange[2]).abs().max() > 0.01
