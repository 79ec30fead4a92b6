"""What the page shows, without a page: against the command line, and against derivatives taken by hand."""

import os
import shlex
import threading
import time

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from sat3d.app.downloads import forget_uploads, fresh_folder
from sat3d.app.explorer import acting_map, effects_at, patch_of
from sat3d.app.keeping import Kept, Turn
from sat3d.app.markup import stage
from sat3d.app.methods import load_methods
from sat3d.app.session import Session
from sat3d.app.uploads import MOST_BYTES, plain_name
from sat3d.app.visits import Visit
from sat3d.cli import main as door
from sat3d.commands.sources import CHANNELS, every_channel
from sat3d.generators import load_generator
from sat3d.inversion import load_codes
from sat3d.methods import AutoencoderEditor, ChannelEditor, DirectionEditor, MaskEditor, StyleFlowEditor
from sat3d.methods.base import edited_styles
from sat3d.ops.camera import Camera


@pytest.fixture(scope="module")
def net(tiny):
    return load_generator(tiny)


@pytest.fixture(scope="module")
def folders(net, tmp_path_factory):
    """Return editors that transfer, that move w, and that move channels."""
    folder = tmp_path_factory.mktemp("editors")
    random = torch.Generator().manual_seed(0)
    masks = torch.rand(2, net.style_space.size, generator=random)
    tools = {
        "mask": MaskEditor(("hat", "beard"), net.style_space.size, masks=masks),
        "w": DirectionEditor(("hat", "smile"), torch.randn(2, net.w_dim, generator=random), "w"),
        "channel": ChannelEditor.of(
            net.style_space, ("hat",), channels=torch.tensor([[2]]), directions=torch.ones(1, 1)
        ),
    }
    return {name: str(tool.save(folder / name, net)) for name, tool in tools.items()}


@pytest.fixture(scope="module")
def session(net, tiny, folders, quick_inversion):
    return Session(net, load_methods(list(folders.values()), net), tiny)


@pytest.fixture
def reproduced(tmp_path, monkeypatch):
    """Type a command of the page into a shell whose folder has these files in it, and return a picture that it made."""

    def run(command, name):
        program, *words = shlex.split(command)
        assert program == "sat3d"
        monkeypatch.chdir(tmp_path)
        door([*words, "--out", "out", "--frames", "0"])
        return np.asarray(Image.open(tmp_path / "out" / f"{name}.png"))

    return run


@pytest.fixture(scope="module")
def drawn(net, tmp_path_factory):
    """Return pictures of two seeds that are no seeds of the page, as files."""
    folder = tmp_path_factory.mktemp("drawn")
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        s = net.styles(net.map(torch.randn(2, net.z_dim, generator=random)))
        images = net.synthesize(s, net.cameras.at(torch.tensor([0.2, -0.3]), 0.1)).image
    paths = []
    for name, image in zip(("a b.png", "7"), images, strict=True):
        paths.append(folder / name)
        pixels = image.clamp(-1, 1).add(1).mul(127.5).round().byte().movedim(0, -1).numpy()
        Image.fromarray(pixels).save(paths[-1], format="PNG")
    return paths


VISIT = Visit(source=3, reference=8)


@pytest.mark.parametrize(
    "visit, shown, name",
    [
        (VISIT, "source", "seed0003"),
        (VISIT.with_view(0.3, -0.1).with_truncation(0.7), "reference", "seed0008"),
        (VISIT.moved("Mask", "hat", 0.8), "Mask", "edit"),
        (VISIT.moved("Mask", "beard", 0.5).moved("Mask", "hat", 1.2).with_view(-0.2, 0.1), "Mask", "edit"),
        (VISIT.moved("Direction", "smile", 1.5).moved("Direction", "hat", -1.0), "Direction", "edit"),
        (VISIT.moved("Channel", "hat", 4.0).with_truncation(0.5), "Channel", "edit"),
        (VISIT.moved(CHANNELS, "backbone.synthesis.b4.conv1/1", -6.5), CHANNELS, "edit"),
        (VISIT, "Mask", "seed0003"),
    ],
)
def test_the_command_makes_the_very_picture(session, reproduced, visit, shown, name):
    assert np.array_equal(session.picture(visit, shown), reproduced(session.command(visit, shown), name))


class Own(DirectionEditor):
    """An editor of a class that is not the package's."""


def test_the_command_names_the_module_of_an_editor_of_ones_own(net, tiny, tmp_path, reproduced):
    directions = torch.randn(1, net.w_dim, generator=torch.Generator().manual_seed(1))
    session = Session(net, load_methods([str(Own(("hat",), directions, "w").save(tmp_path, net))], net), tiny)
    visit = VISIT.moved("Own", "hat", 2.0)
    assert f"'--modules=[{__name__}]'" in session.command(visit, "Own")
    assert np.array_equal(session.picture(visit, "Own"), reproduced(session.command(visit, "Own"), "edit"))


def test_moving_sliders_changes_the_picture_of_their_method_alone(session):
    before, after = VISIT, VISIT.moved("Mask", "hat", 1.0)
    for shown in ("source", "reference", "Direction", "Channel", CHANNELS):
        assert np.array_equal(session.picture(before, shown), session.picture(after, shown))
    assert not np.array_equal(session.picture(before, "Mask"), session.picture(after, "Mask"))
    back = after.moved("Mask", "hat", 0.0)
    assert back == before and np.array_equal(session.picture(back, "Mask"), session.picture(before, "source"))


def test_strengths_of_their_own_are_edits_one_after_the_other(session, net):
    visit = VISIT.moved("Mask", "beard", 0.5).moved("Mask", "hat", 1.2)
    tool, source, other = session.methods["Mask"].editor, session.codes(3).styles, session.codes(8).styles
    once = tool.edit(source, "beard", 0.5, reference=other)
    assert torch.equal(session.styles(visit, "Mask"), tool.edit(once, "hat", 1.2, reference=other))
    with pytest.raises(ValueError, match="1 numbers do not fit"):
        edited_styles(net, tool, session.codes(3), ["hat", "beard"], [1.0], reference=session.codes(8))


def test_a_transfer_between_uploads_is_that_of_the_command_line(session, drawn, tmp_path, reproduced):
    told = []
    keys = [session.uploads.add(path, path.name, lambda share, what: told.append((share, what))) for path in drawn]
    assert told[3] == (1.0, "inverting a_b.png") and len(told) == 8
    visit = Visit().with_source(keys[0]).with_reference(keys[1]).moved("Mask", "hat", 0.9)
    command = session.command(visit, "Mask")
    assert "--source ./a_b.png --reference ./7 " in command and "--yaw" not in command
    for path, name in zip(drawn, ("a_b.png", "7"), strict=True):
        (tmp_path / name).write_bytes(path.read_bytes())
    for seen in (visit, visit.with_view(0.4, 0.0)):
        assert np.array_equal(session.picture(seen, "Mask"), reproduced(session.command(seen, "Mask"), "edit"))
    # the unedited upload, and the reference from the source's camera
    for shown in ("source", "reference"):
        assert np.array_equal(session.picture(visit, shown), reproduced(session.command(visit, shown), "source"))
    # what was inverted is not inverted again
    count = len(told)
    assert session.uploads.add(drawn[0], "a b.png", lambda *a: told.append(a)) == keys[0] and len(told) == count


def test_a_code_that_was_taken_away_comes_back_as_a_source(session, net, tmp_path, reproduced):
    visit = VISIT.moved("Direction", "smile", 1.5).with_view(0.25, 0.05)
    path = session.save_code(visit, "Direction", tmp_path / "code.safetensors")
    codes = load_codes(path, net)
    assert codes.card["command"] == session.command(visit, "Direction")
    again = Visit().with_source(session.uploads.add(path, "code.safetensors"))
    assert np.array_equal(session.picture(again, "source"), session.picture(visit, "Direction"))
    further = again.moved("Channel", "hat", 3.0)
    assert np.array_equal(session.picture(further, "Channel"), reproduced(session.command(further, "Channel"), "edit"))


def test_the_clip_is_that_of_the_command(session, tmp_path, monkeypatch):
    visit = VISIT.moved("Mask", "hat", 1.0).with_view(0.2, 0.1)
    shares = []
    path = session.save_clip(visit, "Mask", tmp_path / "clip.mp4", 4, lambda share, what: shares.append(share))
    monkeypatch.chdir(tmp_path)
    door([*shlex.split(session.command(visit, "Mask"))[1:], "--frames", "4"])
    assert shares == [0.25, 0.5, 0.75, 1.0]
    ours, theirs = (np.stack(imageio.mimread(p)) for p in (path, tmp_path / "out" / "orbit.mp4"))
    assert np.array_equal(ours, theirs) and ours.shape == (4, 128, 3 * 128, 3)


def test_channels_of_a_place_are_those_that_move_it(session, net):
    x, y = 0.4, 0.7
    tool, styles = session.methods[CHANNELS].editor, session.codes(3).styles
    found = session.explore(VISIT, "source", x, y, count=5)
    rows, columns = patch_of(64, x, y)
    camera = net.cameras.frontal()

    def patch(s):
        with torch.no_grad():
            return net.synthesize(s.double(), camera=camera).image[0, :, rows, columns].double().mean((1, 2))

    def effect(flat, step=1e-2):
        moved = torch.zeros_like(styles)
        moved[0, flat] = step * tool.std[flat]
        return float((patch(styles + moved) - patch(styles - moved)).abs().mean() / (2 * step) * 127.5)

    flats = [net.style_space.flat(m.layer, m.channel) for m in found]
    every = torch.tensor([effect(flat) for flat in range(net.style_space.size)])
    assert [m.effect for m in found] == pytest.approx([effect(flat) for flat in flats], rel=0.05, abs=0.02)
    assert min(m.effect for m in found) > float(every.kthvalue(len(every) - 5).values) * 0.9
    strongest = found[0]
    named = tool.edit(styles, strongest.name, 1.0)
    with torch.no_grad():
        before, after = (net.synthesize(s, camera=camera).image[0] for s in (styles, named))
    change = (after.clamp(-1, 1) - before.clamp(-1, 1)).abs().mean(0)
    assert strongest.reach == pytest.approx(float(change.max()) * 127.5, rel=1e-4)
    reddest = (strongest.map[..., 0].astype(int) - strongest.map[..., 1]).argmax()
    assert reddest == int(change.argmax())


def test_maps_are_grey_where_nothing_changes():
    before = torch.zeros(3, 8, 8)
    after = before.clone()
    after[:, 2, 5] = 0.5
    page, most = acting_map(before, after)
    assert most == pytest.approx(0.5 * 127.5) and page.shape == (8, 8, 3)
    coloured = page.max(-1) != page.min(-1)
    assert coloured[2, 5] and coloured.sum() == 1
    assert acting_map(before, before)[1] == 0.0


def test_gradients_need_no_gradients_elsewhere(net, session):
    with torch.no_grad():
        found = effects_at(net, session.codes(0).styles, net.cameras.frontal(), 0.5, 0.5)
    assert found.shape == (3, net.style_space.size) and float(found.abs().max()) > 0
    assert not torch.is_grad_enabled() or all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda v: v.with_view(float("nan"), 0.0), "yaw: nan is no number"),
        (lambda v: v.with_view("1", 0.0), "yaw: 1 is no number"),
        (lambda v: v.moved("Mask", "hat", 1e9), "strength: .* is no number from -1000 to 1000"),
        (lambda v: v.moved("Mask", "hat", None), "strength: None is no number"),
        (lambda v: v.with_truncation(True), "truncation: True is no number"),
        (lambda v: v.with_source(-1), "seed: -1 is no whole number"),
        (lambda v: v.with_source(1.5), "seed: 1.5 is no whole number"),
    ],
)
def test_what_a_browser_sends_is_checked(change, message):
    with pytest.raises(ValueError, match=message):
        change(VISIT)


def test_what_is_not_there_is_refused(session, net, toys):
    with pytest.raises(ValueError, match="there is no method 'nothing'"):
        session.picture(VISIT, "nothing")
    with pytest.raises(ValueError, match="knows no 'nose'"):
        session.check("Mask", "nose")
    session.check(CHANNELS, "backbone.synthesis.b4.conv1/1")
    with pytest.raises(ValueError, match="outside the picture"):
        session.explore(VISIT, "source", 1.2, 0.0)
    with pytest.raises(ValueError, match="not kept any more"):
        session.picture(VISIT.with_source("0" * 64), "source")


@pytest.mark.parametrize(
    "name, data, message",
    [
        ("truncated.png", lambda png: png[: len(png) // 2], "truncated.png is truncated"),
        ("text.png", lambda png: b"hello, I am no picture", "text.png is text"),
        ("page.svg", lambda png: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "page.svg"),
        ("empty.png", lambda png: b"", "empty.png is empty"),
        ("big.png", lambda png: png + b"\0" * MOST_BYTES, r"big.png has 10.0 MiB; give at most 10"),
        ("code.safetensors", lambda png: png, "code.safetensors is damaged or no file of codes"),
    ],
)
def test_bad_files_end_in_one_clear_line(session, drawn, tmp_path, name, data, message):
    path = tmp_path / "scratch.bin"
    path.write_bytes(data(drawn[0].read_bytes()))
    with pytest.raises(ValueError, match=message) as error:
        session.uploads.add(path, name)
    assert str(tmp_path) not in str(error.value) and "\n" not in str(error.value)


def test_codes_of_another_generator_are_refused_by_their_own_name(session, toys, tmp_path):
    flat = load_generator(toys.flat)
    other = Session(flat, load_methods([], flat), toys.flat)
    path = other.save_code(Visit(), "source", tmp_path / "code.safetensors")
    with pytest.raises(ValueError, match=r"^mine.safetensors: codes of generator"):
        session.uploads.add(path, "mine.safetensors")


def test_names_of_files_are_plain():
    wanted = {"../../etc/passwd": "passwd", "C:\\x\\a b.png": "a_b.png", "-rf": "rf", "...": "picture"}
    wanted |= {"$(reboot).png": "_reboot_.png", "<i>x</i>.png": "i_.png"}
    assert {name: plain_name(name) for name in wanted} == wanted
    assert len(plain_name("x" * 300 + ".png")) == 80 and plain_name("ü" * 9 + ".png").isascii()


def test_a_flat_generator_has_no_camera_and_a_clip_that_comes_and_goes(toys, tmp_path, reproduced):
    flat = load_generator(toys.flat)
    session = Session(flat, load_methods([], flat), toys.flat)
    visit = VISIT.moved(CHANNELS, f"{flat.style_space.names[0]}/1", 5.0)
    assert session.ranges() == ((0.0, 0.0), (0.0, 0.0)) and session.camera(visit) is None
    assert np.array_equal(session.picture(visit, CHANNELS), reproduced(session.command(visit, CHANNELS), "edit"))
    frames = imageio.mimread(session.save_clip(visit, CHANNELS, tmp_path / "clip.mp4", 4))
    assert len(frames) == 4 and np.abs(frames[0].astype(int) - frames[2]).max() > 8
    assert len(session.explore(visit, CHANNELS, 0.5, 0.5, count=3)) == 3
    assert 'data-turns="0"' in stage(session, visit, ["source"])


def test_methods_are_named_and_told_apart(net, folders, tmp_path):
    methods = load_methods([folders["mask"], folders["mask"], folders["w"]], net)
    assert list(methods) == ["Mask", "Mask 2", "Direction", CHANNELS]
    flow = StyleFlowEditor({"smile": {"value": [0]}}, net.w_dim, (8,), regressor=None)
    needy = load_methods([str(flow.save(tmp_path / "flow", net))], net)["StyleFlow"]
    assert "carries no regressor" in needy.trouble or "torchdiffeq" in needy.trouble
    session = Session(net, {"StyleFlow": needy}, "x")
    with pytest.raises(ValueError, match="StyleFlow: "):
        session.styles(VISIT, "StyleFlow")
    code = AutoencoderEditor({"smile": {"value": [0]}}, net.w_dim)
    assert load_methods([str(code.save(tmp_path / "ae", net))], net)["Autoencoder"].span == (-2.0, 2.0)


def test_pages_name_nothing_that_a_browser_would_run(session):
    page = stage(session, VISIT.moved(CHANNELS, '"><script>x/1', 1.0), ["source"])
    assert "<script" not in page
    key = session.uploads.add
    assert key is not None and stage(session, VISIT, ["source"]) != stage(session, VISIT, ["source"])


def test_visitors_take_turns_and_long_work_lets_others_in():
    turn, order = Turn(), []

    def long():
        with turn:
            for i in range(3):
                order.append(f"long {i}")
                time.sleep(0.03)
                turn.pass_on()

    def short():
        time.sleep(0.01)
        with turn:
            order.append("short")

    threads = [threading.Thread(target=work) for work in (long, short)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert order == ["long 0", "short", "long 1", "long 2"]


def test_an_error_ends_the_turn():
    turn = Turn()
    with pytest.raises(RuntimeError), turn:
        raise RuntimeError
    with turn:
        pass


def test_the_oldest_results_make_room():
    kept = Kept(2)
    for i in range(3):
        kept.get_or_make(i, lambda i=i: i * 10)
        kept.get(0)
    assert (kept.get(0), kept.get(1), kept.get(2)) == (0, None, 20)


def test_slow_generators_draw_drafts_while_the_camera_moves(session, monkeypatch):
    visit = VISIT.with_view(0.111, 0.0)
    whole = session.picture(visit, "source")
    monkeypatch.setattr(session, "seconds", 10.0)
    draft = session.picture(visit, "source", draft=True)
    assert draft.shape == whole.shape and not np.array_equal(draft, whole)
    assert np.array_equal(session.picture(visit, "source"), whole)


def test_old_files_make_room_and_downloads_outlive_uploads(tmp_path, monkeypatch):
    monkeypatch.setattr("sat3d.app.downloads.MOST", 2)
    for name, age in (("old", 7200), ("new", 10)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    made = []
    for i in range(4):
        made.append(fresh_folder(tmp_path))
        os.utime(made[-1], (time.time() - 7200 + i,) * 2)
    assert [folder.exists() for folder in made] == [False, True, True, True]
    assert not (tmp_path / "old").exists() and (tmp_path / "new" / "x.png").exists()
    forget_uploads(tmp_path, life=-1.0)
    assert [folder.name for folder in tmp_path.iterdir()] == ["downloads"]


def test_every_channel_is_counted_in_its_own_deviations(net):
    tool = every_channel(net)
    with torch.no_grad():
        s = net.styles(net.map(torch.randn(4000, net.z_dim, generator=torch.Generator().manual_seed(1))))
    moved = tool.edit(s[:1], "backbone.synthesis.b4.conv1/3", 2.0) - s[:1]
    assert int((moved != 0).sum()) == 1 and float(moved[0, 3]) == pytest.approx(2 * float(s[:, 3].std()), rel=0.1)


def test_an_uploads_own_camera_is_looked_through(session, drawn):
    visit = VISIT.with_source(session.uploads.add(drawn[0], "a b.png"))
    assert isinstance(session.camera(visit), Camera) and session.angles(visit) != (0.0, 0.0)
    assert session.angles(visit.with_view(0.1, 0.2)) == (0.1, 0.2)
    assert visit.with_view(0.1, 0.2).with_source(3).view == (0.1, 0.2)
    assert visit.with_view(0.1, 0.2).with_source(visit.source).view is None
