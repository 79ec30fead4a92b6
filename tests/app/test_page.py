"""The page in a browser, served by the verb in a process of its own: what visitors do, and what may never happen."""

import base64
import io
import json
import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from types import SimpleNamespace

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from sat3d.app.methods import load_methods
from sat3d.app.session import Session
from sat3d.app.visits import Visit
from sat3d.cli import main as door
from sat3d.commands.sources import CHANNELS
from sat3d.generators import load_generator
from sat3d.generators.sampling import TOY_CAMERAS
from sat3d.inversion import load_codes
from sat3d.methods import ChannelEditor, MaskEditor

# The verb, with the few steps of `quick_inversion`.
SERVER = """
import sys
import sat3d.commands.seeds as seeds
from sat3d.cli import main
device_of = seeds.device_of
def quick(name):  # called by the verb when it has imported all that is heavy, which a test shall not do before it
    from functools import partial
    import sat3d.app.uploads as uploads
    from sat3d.inversion import InversionOptions, PoseOptions, Recipe
    few = Recipe(InversionOptions(steps=4, pose=PoseOptions(yaws=3, pitches=1)))
    uploads.PictureInverter = partial(uploads.PictureInverter, recipe=few)
    return device_of(name)
seeds.device_of = quick
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def editors(tmp_path_factory):
    """Return folders of an editor that transfers and of one that moves a channel, of the embedded generator."""
    net, folder = load_generator("toyfaces64"), tmp_path_factory.mktemp("editors")
    masks = torch.rand(2, net.style_space.size, generator=torch.Generator().manual_seed(0))
    mask = MaskEditor(("hat", "beard"), net.style_space.size, masks=masks)
    channel = ChannelEditor.of(net.style_space, ("hat",), channels=torch.tensor([[900]]), directions=torch.ones(1, 1))
    return [str(tool.save(folder / name, net)) for name, tool in (("mask", mask), ("channel", channel))]


@pytest.fixture(scope="module")
def session(editors, quick_inversion):
    net = load_generator("toyfaces64")
    return Session(net, load_methods(editors, net), "toyfaces64")


def heed_ctrl_c():
    """Undo what a shell does to programs in its background: they would pass on that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def served(browser, editors, tmp_path_factory):
    """Serve the page from a process whose home, temporary and current folders are known, and see them empty again."""
    pytest.importorskip("gradio", reason="gradio, of the app extra, is not installed")
    folders = {name: tmp_path_factory.mktemp(name) for name in ("home", "temporary", "current")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "HOME": str(folders["home"]), "TMPDIR": str(folders["temporary"])}
    environment |= {"XDG_CACHE_HOME": str(folders["home"] / "cache"), "PYTHONUNBUFFERED": "1"}
    words = ["app", "--editors", json.dumps(editors), "--port", str(port), "--threads", "1"]
    root = os.pathsep.join([os.getcwd(), environment.get("PYTHONPATH", "")])  # noqa: PTH109
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, *words],
        cwd=folders["current"],
        env={**environment, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    said = []
    for line in process.stdout:
        said.append(line)
        if "Ctrl-C" in line:
            break
    assert said and "Ctrl-C ends it" in said[-1], "".join(said)
    url = re.match(r"http://127\.0\.0\.1:\d+", said[-1])[0]
    yield SimpleNamespace(url=url, port=port, folders=folders, process=process)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=20)[0]
    assert process.returncode == 0 and "ended" in rest, rest
    assert "Traceback" not in rest, rest
    for name, folder in folders.items():
        assert [*folder.rglob("*")] == [], f"left in the {name} folder"


@pytest.fixture
def opened(browser, served):
    """Open the page, which may ask for nothing but itself and say nothing of errors."""
    wrong, contexts = [], []

    def open_page(**options):
        context = browser.new_context(viewport={"width": 1400, "height": 1000}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith((served.url, "data:", "blob:")) else wrong.append(r.url))
        page.goto(served.url)
        page.wait_for_selector(".stage img")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def picture(page, shown):
    """Return the pixels of a picture as the browser got them."""
    url = page.locator(f'.stage figure[data-shown="{shown}"] img').get_attribute("src")
    kind, data = url.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def command(page):
    return page.locator("#command textarea").input_value()


def drawn(page):
    return page.locator(".stage").get_attribute("data-drawn")


def wait_after(page, before):
    page.wait_for_function("n => document.querySelector('.stage').dataset.drawn !== n", arg=before)


def angles(page):
    told = shlex.split(command(page))
    return tuple(float(next(w for w in told if w.startswith(f"--{k}=")).split("=")[1]) for k in ("yaw", "pitch"))


def slider(page, label, nth=0):
    return page.get_by_label(f"range slider for {label}", exact=True).nth(nth)


def set_slider(page, part, value):
    part.evaluate("(e, x) => { e.value = x; e.dispatchEvent(new Event('input', {bubbles: true})); }", value)


def choose(page, which):
    before = drawn(page)
    page.locator("input[aria-label='take away']").click()
    page.get_by_role("option", name=which, exact=True).click()
    wait_after(page, before)


def upload(page, name, file):
    chooser = page.locator("input[type=file]").nth({"source": 0, "reference": 1}[name])
    chooser.set_input_files({"name": file[0], "mimeType": "image/png", "buffer": file[1]})


def downloaded(page, kind):
    with page.expect_download() as download:
        page.click(f"#give-{kind}")
    return download.value


@pytest.fixture(scope="module")
def heads():
    """Return two pictures of the world as PNG files, at another size than the generator's."""
    pytest.importorskip("numba", reason="numba, of the world extra, is not installed")
    from sat3d.world import load_world

    world = load_world("heads")
    z, _ = world.sample(seed=7, indices=range(2))
    rgb = world.render(world.coordinates(z), TOY_CAMERAS.at(torch.tensor([0.2, -0.3]), 0.05), resolution=96).rgb
    files = []
    for image in rgb:
        data = io.BytesIO()
        Image.fromarray(image.add(1).mul(127.5).round().byte().movedim(0, -1).numpy()).save(data, "PNG")
        files.append(data.getvalue())
    return files


def test_the_page_shows_seeds_and_asks_nothing_of_other_hosts(opened, session):
    page = opened()
    names = page.locator(".stage figure").evaluate_all("all => all.map(e => e.dataset.shown)")
    assert names == ["source", "reference", "Mask", "Channel"]
    assert np.array_equal(picture(page, "source"), session.picture(Visit(), "source"))
    assert np.array_equal(picture(page, "reference"), session.picture(Visit(), "reference"))
    assert "seed 0" in page.locator(".stage figcaption").first.inner_text()


def test_sliders_move_the_pictures_of_their_methods(opened, session):
    page = opened()
    source, channel = picture(page, "source"), picture(page, "Channel")
    before = drawn(page)
    set_slider(page, slider(page, "hat", 0), 0.7)  # of the first method
    wait_after(page, before)
    visit = Visit().moved("Mask", "hat", 0.7)
    assert np.array_equal(picture(page, "Mask"), session.picture(visit, "Mask"))
    assert not np.array_equal(picture(page, "Mask"), source)
    assert np.array_equal(picture(page, "source"), source) and np.array_equal(picture(page, "Channel"), channel)
    # the keyboard moves them too, and both methods at once
    slider(page, "hat", 1).focus()
    before = drawn(page)
    page.keyboard.press("ArrowRight")
    wait_after(page, before)
    visit = visit.moved("Channel", "hat", 0.5)
    assert np.array_equal(picture(page, "Channel"), session.picture(visit, "Channel"))
    page.locator("input[aria-label='the same in all methods']").click()
    page.get_by_role("option", name="hat", exact=True).click()
    before = drawn(page)
    set_slider(page, slider(page, "share of each method's range"), 0.5)
    wait_after(page, before)
    visit = Visit().moved("Mask", "hat", 0.75).moved("Channel", "hat", 10.0)
    for name in ("Mask", "Channel"):
        assert np.array_equal(picture(page, name), session.picture(visit, name))
    before = drawn(page)
    page.click("#reset")
    wait_after(page, before)
    assert np.array_equal(picture(page, "Mask"), source)
    assert [slider(page, "hat", n).input_value() for n in (0, 1)] == ["0", "0"]


def test_seeds_are_typed_or_drawn(opened, session):
    page = opened()
    before = drawn(page)
    page.locator("#source-seed input").fill("12")
    wait_after(page, before)
    assert np.array_equal(picture(page, "source"), session.picture(Visit(source=12), "source"))
    before = drawn(page)
    page.click("#reference-other")
    wait_after(page, before)
    seed = int(page.locator("#reference-seed input").input_value())
    assert np.array_equal(picture(page, "reference"), session.picture(Visit(reference=seed), "reference"))
    before = drawn(page)
    set_slider(page, slider(page, "truncation ψ of seeds"), 0.5)
    wait_after(page, before)
    visit = Visit(source=12).with_truncation(0.5)
    assert np.array_equal(picture(page, "source"), session.picture(visit, "source"))


def test_dragging_and_arrow_keys_turn_the_camera(opened, session):
    page = opened()
    box = page.locator('.stage figure[data-shown="Mask"] img').bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 9):
        page.mouse.move(x + step * box["width"] / 32, y - step * box["height"] / 64)
    page.mouse.up()
    # a quarter of the picture is a quarter of the range; the face goes with the hand
    page.wait_for_function("() => Math.abs(Number(document.querySelector('.stage').dataset.yaw) + 0.4) < 0.003")
    page.wait_for_function("() => document.querySelector('#command textarea').value.includes('--yaw=-0.')")
    assert angles(page) == pytest.approx((-0.4, 0.0875), abs=0.003)
    view = Visit().with_view(*angles(page))
    for name in ("source", "reference"):
        assert np.array_equal(picture(page, name), session.picture(view, name))
    assert float(page.locator("#yaw input[type=number]").input_value()) == round(angles(page)[0], 2)
    page.locator('.stage figure[data-shown="source"]').focus()
    for key, change in (("ArrowLeft", (0.05, 0)), ("ArrowDown", (0, -0.05))):
        before, old = drawn(page), angles(page)
        page.keyboard.press(key)
        wait_after(page, before)
        assert angles(page) == pytest.approx((old[0] + change[0], old[1] + change[1]), abs=1e-6)
    before = drawn(page)
    set_slider(page, slider(page, "yaw, radians"), 0.3)
    wait_after(page, before)
    assert angles(page)[0] == 0.3
    before = drawn(page)
    page.click("#front")
    wait_after(page, before)
    assert "--yaw" not in command(page)


def test_a_finger_turns_the_camera_and_does_not_scroll(opened):
    page = opened(has_touch=True)
    before = drawn(page)
    page.locator('.stage figure[data-shown="source"] img').evaluate(
        """e => {
            const box = e.getBoundingClientRect(), at = (type, x) => e.dispatchEvent(new PointerEvent(type, {
                bubbles: true, pointerId: 1, pointerType: 'touch', clientX: box.left + x, clientY: box.top + 20 }));
            at('pointerdown', 20); at('pointermove', 60); at('pointerup', 60);
        }"""
    )
    wait_after(page, before)
    assert float(page.locator(".stage").get_attribute("data-yaw")) < -0.1
    assert page.evaluate("getComputedStyle(document.querySelector('.stage img')).touchAction") == "none"


def test_a_click_finds_channels_and_their_sliders_move_them(opened, session):
    page = opened()
    box = page.locator('.stage figure[data-shown="source"] img').bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.25)
    page.wait_for_selector(".movers tbody tr")
    for _ in range(2):  # one click after the other, the second at the same place
        before = page.locator(".movers").get_attribute("data-drawn")
        page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.25)
        page.wait_for_function("old => document.querySelector('.movers').dataset.drawn !== old", arg=before)
    found = session.explore(Visit(), "source", 0.5, 0.25)
    rows = page.locator(".movers tbody tr")
    told = [row.locator("td").all_inner_texts()[1:5] for row in rows.all()]
    assert told == [[m.layer, str(m.channel), f"{m.effect:.1f}", f"{m.reach:.1f}"] for m in found]
    before = drawn(page)
    set_slider(page, rows.nth(1).locator("input"), 6)
    wait_after(page, before)
    visit = Visit().moved(CHANNELS, found[1].name, 6.0)
    assert np.array_equal(picture(page, CHANNELS), session.picture(visit, CHANNELS))
    assert command(page) == session.command(visit, CHANNELS)
    page.locator('.stage figure[data-shown="source"]').focus()
    before = page.locator(".movers").inner_html()
    page.keyboard.press("Enter")
    page.wait_for_function("old => document.querySelector('.movers').innerHTML !== old", arg=before)


def test_a_transfer_between_uploads_is_that_of_the_command_line(opened, session, heads, tmp_path, monkeypatch):
    page = opened()
    for name, file, data in zip(("source", "reference"), ("anna.png", "bert.png"), heads, strict=True):
        before = drawn(page)
        upload(page, name, (file, data))
        wait_after(page, before)
        assert page.locator(f'figure[data-shown="{name}"] figcaption').inner_text() == f"{name}: {file}"
        (tmp_path / file).write_bytes(data)
    choose(page, "Mask")
    set_slider(page, slider(page, "hat", 0), 0.9)
    page.wait_for_function("() => document.querySelector('#command textarea').value.includes('--strength=0.9')")
    typed = command(page)
    assert "--source ./anna.png --reference ./bert.png --attribute hat --strength=0.9" in typed
    files = {}
    for kind in ("picture", "clip", "code", "command"):
        got = downloaded(page, kind)
        files[kind] = tmp_path / f"got-{got.suggested_filename}"
        got.save_as(files[kind])
    monkeypatch.chdir(tmp_path)
    assert files["command"].read_text() == typed + "\n"
    door([*shlex.split(typed)[1:], "--out", "typed", "--frames", "0"])
    ours, theirs = (np.asarray(Image.open(p)).astype(int) for p in (files["picture"], tmp_path / "typed" / "edit.png"))
    assert np.abs(ours - theirs).max() <= 1 and np.array_equal(ours, picture(page, "Mask"))
    source = np.asarray(Image.open(tmp_path / "typed" / "source.png")).astype(int)
    assert np.abs(source - picture(page, "source")).max() <= 1 and np.abs(source - ours).max() > 10
    assert np.stack(imageio.mimread(files["clip"])).shape == (
        30,
        128,
        3 * 128,
        3,
    )
    kept = load_codes(files["code"], session.generator)
    with torch.no_grad():
        again = kept.show(session.generator).image[0].clamp(-1, 1).add(1).mul(127.5).round().movedim(0, -1).numpy()
    assert np.abs(again - ours).max() <= 1 and kept.card["command"] == typed


def test_visitors_do_not_see_each_other(opened):
    one, other = opened(), opened()
    before = drawn(one)
    one.locator("#source-seed input").fill("5")
    wait_after(one, before)
    before = drawn(other)
    set_slider(other, slider(other, "beard"), 1.0)
    wait_after(other, before)
    assert "seed 0" in other.locator(".stage figcaption").first.inner_text()
    assert "seed 5" in one.locator(".stage figcaption").first.inner_text()
    assert "beard" not in one.locator('figure[data-shown="Mask"] figcaption').inner_text()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, *extra):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = zlib.compress(b"".join(b"\0" + b"\x80" * (3 * min(width, 64)) for _ in range(min(height, 64))))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animated():
    data, frames = io.BytesIO(), [Image.new("RGB", (32, 32), c) for c in ("red", "blue")]
    frames[0].save(data, "WEBP", save_all=True, append_images=frames[1:])
    return data.getvalue()


def gif():
    data, frames = io.BytesIO(), [Image.new("P", (32, 32), c) for c in (1, 2)]
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    return data.getvalue()


WHOLE = png(64, 64)
BAD = {
    "truncated.png": (WHOLE[:-30], "truncated.png is truncated"),
    "huge.png": (png(60000, 60000), "huge.png is 60000x60000 pixels; make its sides 4096 at most"),
    "tiny.png": (png(4, 4), "tiny.png is 4x4 pixels"),
    "lying.png": (png(3000, 3000), "lying.png has fewer rows than its header tells"),
    "text.png": (b"#!/bin/sh\necho hello\n", "text.png is"),
    "page.png": (b"<html><script>alert(1)</script></html>", "page.png is"),
    "moving.webp": (animated(), "moving.webp holds an animation"),
    "moving.png": (gif(), "moving.png is"),
    "empty.png": (b"", "empty.png is empty"),
    "fake.safetensors": (WHOLE, "fake.safetensors is damaged or no file of codes"),
    "large.png": (WHOLE + b"\0" * (11 * 2**20), "exceed the maximum allowed size"),
    "wrong.txt": (b"hello", "Invalid file type"),
}


def test_bad_uploads_end_in_a_clear_message_and_the_page_goes_on(opened, session):
    page = opened()
    for name, (data, message) in BAD.items():
        upload(page, "source", (name, data))
        toast = page.locator(".toast-body").filter(has_text=message)
        toast.first.wait_for()
        assert "Traceback" not in toast.first.inner_text()
        assert "seed 0" in page.locator(".stage figcaption").first.inner_text()
    before = drawn(page)
    page.locator("#source-seed input").fill("9")
    wait_after(page, before)
    assert np.array_equal(picture(page, "source"), session.picture(Visit(source=9), "source"))


def test_of_exif_the_orientation_alone_is_obeyed_and_nothing_is_kept(opened, served, heads):
    page = opened()
    upright = Image.open(io.BytesIO(heads[0])).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    exif[0x010E] = "SECRET PLACE"
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    data = io.BytesIO()
    upright.rotate(180).save(data, "PNG", exif=exif)
    pictures = []
    for name, file in (("plain.png", heads[0]), ("<b>turned</b>.png", data.getvalue())):
        before = drawn(page)
        upload(page, "source", (name, file))
        wait_after(page, before)
        pictures.append(picture(page, "source"))
    assert np.array_equal(*pictures)
    choose(page, "source")
    kept = [downloaded(page, kind).path() for kind in ("picture", "code")]
    assert all(b"SECRET" not in path.read_bytes() and b"Exif" not in path.read_bytes() for path in kept)
    left = [p for p in served.folders["temporary"].rglob("*") if p.is_file()]
    assert left and all(b"SECRET" not in path.read_bytes() for path in left)
    assert not any(path.name.endswith("turned_b_.png") or "turned" in path.name for path in left)


def test_a_flat_generator_has_a_page_without_a_camera(browser, toys, tmp_path, monkeypatch):
    pytest.importorskip("gradio", reason="gradio, of the app extra, is not installed")
    from sat3d.app.server import serve

    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "GRADIO_SHARE", "GRADIO_SSR_MODE"):
        monkeypatch.setenv(name, "")  # so that what serving sets is undone
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "1")
    flat = load_generator(toys.flat)
    session = Session(flat, load_methods([], flat), toys.flat)
    served = serve(session, tmp_path)
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto(served.url)
    page.wait_for_selector(".stage img")
    assert np.array_equal(picture(page, "source"), session.picture(Visit(), "source"))
    assert page.locator("#yaw").count() == 0 and "camera" not in page.locator(".stage").inner_html()
    page.locator(".stage img").first.click()
    page.wait_for_selector(".movers tbody tr")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400  # fits a telephone
    page.close()
    served.close()
    assert [*(tmp_path / "scratch").iterdir()] == []


def asked(served, path, data=None, **headers):
    request = urllib.request.Request(served.url + path, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def test_only_the_page_is_served_and_only_to_itself(served, editors):
    status, headers = asked(served, "/")
    assert status == 200 and "default-src 'self'" in headers["content-security-policy"]
    for path in ("/etc/passwd", f"{editors[0]}/card.json", f"{os.getcwd()}/pyproject.toml"):  # noqa: PTH109
        assert asked(served, f"/gradio_api/file={path}")[0] == 403
    assert asked(served, "/gradio_api/file=http://127.0.0.1:1/x")[0] == 403
    assert asked(served, "/gradio_api/proxy=http://127.0.0.1:1/x")[0] == 403
    assert asked(served, "/", Host="evil.example")[0] == 403
    body = json.dumps({"data": [], "fn_index": 0, "session_hash": "x"}).encode()
    foreign = {"Content-Type": "application/json", "Origin": "http://evil.example"}
    assert asked(served, "/gradio_api/queue/join", body, **foreign)[0] == 403
    with socket.socket() as outside:  # other addresses of this machine are not listened on
        outside.settimeout(2)
        assert outside.connect_ex(("127.0.0.2", served.port)) != 0
