import json

import pytest
import torch
from safetensors.torch import save_file

from sat3d.generators import tiny_generator
from sat3d.inversion import PictureCodes, load_codes, read_card, with_tuning
from sat3d.inversion.spaces import Codes, CodeStatistics
from tests.inversion.conftest import pictures_of


@pytest.fixture
def codes(net):
    _, ws, camera = pictures_of(net, 2)
    return PictureCodes(ws, net.styles(ws) + 0.5, camera, {}, {"figures": {"psnr": 20.0}})


def test_codes_come_back_from_their_file_with_camera_card_and_tuning(net, codes, tmp_path):
    name, weight = next(iter(net.named_parameters()))
    codes = PictureCodes(codes.ws, codes.styles, codes.camera, {name: torch.full_like(weight, 0.25)}, codes.card)
    path = codes.save(tmp_path / "code.safetensors", net, picture="a.png")
    found = load_codes(path, net)
    assert torch.equal(found.ws, codes.ws) and torch.equal(found.styles, codes.styles)
    assert (found.camera is None) == (net.cameras is None)
    if found.camera is not None:
        assert torch.equal(found.camera.label(), codes.camera.label())
    assert found.card["picture"] == "a.png" and found.card["figures"] == {"psnr": 20.0}
    assert read_card(path) == found.card
    tuned = with_tuning(net, found.tuned)
    assert torch.allclose(dict(tuned.named_parameters())[name], weight + 0.25)
    assert tuned is not net and not any(p.requires_grad for p in tuned.parameters())


def test_files_that_hold_no_such_codes_are_refused_by_name(net, codes, tmp_path):
    path = codes.save(tmp_path / "code.safetensors", net)
    with pytest.raises(ValueError, match="take that one, or invert the picture again"):
        load_codes(path, tiny_generator(7))
    with pytest.raises(FileNotFoundError, match="no file"):
        load_codes(tmp_path / "none.safetensors", net)
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(ValueError, match="holds no codes; `sat3d invert`"):
        load_codes(other, net)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="damaged"):
        load_codes(path, net)
    card = {"generator": {"name": net.name, "hash": net.hash}}
    save_file({"ws": codes.ws[:, :1].contiguous(), "styles": codes.styles}, other, {"sat3d.code": json.dumps(card)})
    with pytest.raises(ValueError, match="do not fit"):
        load_codes(other, net)
    save_file({"ws": codes.ws.contiguous()}, other, {"sat3d.code": json.dumps(card)})
    with pytest.raises(ValueError, match="lacks 'styles'"):
        load_codes(other, net)
    nameless = {"sat3d.code": json.dumps({"generator": {"name": net.name}})}
    save_file({"ws": codes.ws.contiguous(), "styles": codes.styles}, other, nameless)
    with pytest.raises(ValueError, match="lacks 'hash': it is damaged"):
        load_codes(other, net)
    with pytest.raises(ValueError, match="are not the generator's"):
        with_tuning(net, {"no.such.weight": torch.zeros(1)})


def test_moves_are_in_deviations_of_the_generators_codes(net):
    statistics = CodeStatistics.of(net, 500)
    _, ws, _ = pictures_of(net, 2)
    for space, width in (("w", 1), ("w+", net.num_ws)):
        codes = Codes(net, statistics, space, ws)
        x = torch.ones_like(codes.x)
        moved, styles = codes.at(x)
        assert torch.allclose(moved, ws + statistics.w[1], atol=1e-5)
        assert torch.allclose(styles, net.styles(moved), atol=1e-4)
        assert codes.x.shape == ((2, net.w_dim) if width == 1 else ws.shape)
    codes = Codes(net, statistics, "s", ws)
    same, styles = codes.at(torch.ones_like(codes.x))
    assert torch.equal(same, ws)
    assert torch.allclose(styles, net.styles(ws) + statistics.s[1], atol=1e-5)
    with pytest.raises(ValueError, match="space='z' is unknown"):
        Codes(net, statistics, "z", ws)


def test_what_styles_had_beyond_their_ws_stays_when_ws_move(net):
    statistics = CodeStatistics.of(net, 200)
    _, ws, _ = pictures_of(net, 1)
    own = net.styles(ws)
    codes = Codes(net, statistics, "w", ws, own + 2.0)
    moved, styles = codes.at(codes.x + 0.5)
    assert torch.allclose(styles - net.styles(moved), torch.full_like(own, 2.0), atol=1e-4)


def test_sampled_codes_are_usual_and_far_ones_strange(net):
    statistics = CodeStatistics.of(net, 2000)
    _, ws, _ = pictures_of(net, 200)
    for space in ("w", "s"):
        codes = Codes(net, statistics, space, ws)
        usual = codes.strangeness(ws, net.styles(ws))
        assert usual.shape == (200,) and usual.mean() == pytest.approx(1.0, abs=0.15)
        far = statistics.w[0] + 4 * (ws - statistics.w[0])
        assert (codes.strangeness(far, net.styles(far)) > 4 * usual).all()
