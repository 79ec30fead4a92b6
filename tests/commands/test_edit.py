import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from sat3d.cli import main as door
from sat3d.commands.edit import main
from sat3d.commands.seeds import ws_of
from sat3d.generators import load_generator, save_generator, tiny_generator
from sat3d.generators.sampling import SEEDS, CodeStream
from sat3d.inversion import InversionOptions, LossOptions, PictureInverter, Recipe, load_codes
from sat3d.methods import AutoencoderEditor, ChannelEditor, DirectionEditor, MaskEditor
from sat3d.methods.base import edited_styles
from sat3d.visualization import coloured_depths, extract_mesh, geometry_difference, to_uint8, views
from sat3d.visualization.meshes import colours_of


@pytest.fixture
def editor(toys, tmp_path):
    net = load_generator(toys.generator)
    masks = torch.zeros(2, net.style_space.size)
    masks[0] = 1.0
    net.name = toys.generator
    return str(MaskEditor(("hat", "beard"), net.style_space.size, masks=masks).save(tmp_path / "editor", net))


def picture(folder, name):
    return np.asarray(Image.open(folder / f"{name}.png")).astype(int)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_full_mask_gives_the_reference_and_empty_mask_the_source(toys, editor, tmp_path, device):
    out = tmp_path / "out"
    main(editor, 3, "hat", 7, out=str(out), frames=2, device=device)
    clips = {"orbit.mp4", "orbit-depth.mp4", "morph.mp4"}
    pictures = {"source.png", "reference.png", "edit.png", "grid.png", "depth.png"}
    assert {p.name for p in out.iterdir()} == clips | pictures
    for name in clips:
        width = 128 if name.startswith("morph") else 3 * 128
        assert [frame.shape for frame in imageio.mimread(out / name)] == [(128, width, 3)] * 2
    assert np.abs(picture(out, "edit") - picture(out, "reference")).max() <= 1
    assert np.abs(picture(out, "edit") - picture(out, "source")).max() > 1
    main(editor, 3, "beard", 7, out=str(out), frames=0, device=device)
    assert np.array_equal(picture(out, "edit"), picture(out, "source"))
    main(editor, 3, "hat,beard", 7, strength=0.0, out=str(out), frames=0, threshold=0.5, device=device)
    assert np.array_equal(picture(out, "edit"), picture(out, "source"))


def test_bad_input_leaves_nothing(toys, editor, tmp_path):
    out = tmp_path / "nothing"
    with pytest.raises(ValueError, match=r"device='abacus': "):
        main(editor, 3, "hat", 7, out=str(out), device="abacus")
    with pytest.raises(ValueError, match="unknown hut; this editor knows hat, beard"):
        main(editor, 3, "hut", 7, out=str(out))
    other = tmp_path / "other.safetensors"
    save_generator(tiny_generator(5), other)
    with pytest.raises(ValueError, match="made for generator"):
        main(editor, 3, "hat", 7, out=str(out), generator=str(other))
    with pytest.raises(FileNotFoundError, match=r"editor\.safetensors"):
        main(str(tmp_path / "none"), 3, "hat", 7, out=str(out))
    with pytest.raises(ValueError, match="from 0 on"):
        main(editor, -1, "hat", 7, out=str(out))
    with pytest.raises(ValueError, match="transfers attributes: give --reference"):
        main(editor, 3, "hat", out=str(out))
    with pytest.raises(ValueError, match="frames=-1, scale=2: give frames from 0 on"):
        main(editor, 3, "hat", 7, out=str(out), frames=-1)
    with pytest.raises(ValueError, match="mesh_resolution=1: a mesh takes at least 2"):
        main(editor, 3, "hat", 7, out=str(out), mesh="ply", mesh_resolution=1)
    assert not out.exists()


def test_a_generator_that_the_card_cannot_find_is_asked_for(toys, tmp_path, monkeypatch):
    net = load_generator(toys.generator)
    directions = torch.zeros(1, net.w_dim)
    monkeypatch.setattr(net, "name", "our-heads")
    editor = str(DirectionEditor(("hat",), directions, "w").save(tmp_path / "ours", net))
    with pytest.raises(FileNotFoundError, match=r"generator: not given, and .*ours was made for 'our-heads'"):
        main(editor, 3, "hat")
    unknown = str(DirectionEditor(("hat",), directions, "w").save(tmp_path / "unknown", None))
    with pytest.raises(ValueError, match=r"generator: the card of .*unknown names none"):
        main(unknown, 3, "hat")


def test_editors_of_channels_take_no_reference(toys, tmp_path):
    net = load_generator(toys.generator)
    tool = ChannelEditor.of(net.style_space, ("hat",), channels=torch.tensor([[2]]), directions=torch.ones(1, 1))
    net.name = toys.generator
    folder, out = str(tool.save(tmp_path / "editor", net)), tmp_path / "out"
    main(folder, 3, "backbone.synthesis.b4.conv1/2", strength=3.0, out=str(out), frames=0)
    by_name = picture(out, "edit")
    assert {p.name for p in out.iterdir()} == {"source.png", "edit.png", "grid.png", "depth.png"}
    main(folder, 3, "hat", strength=3.0, out=str(out), frames=0)
    assert np.array_equal(picture(out, "edit"), by_name) and not np.array_equal(by_name, picture(out, "source"))
    with pytest.raises(ValueError, match="takes no reference: leave out --reference"):
        main(folder, 3, "hat", 7, out=str(out))


def test_verbs_do_not_import_torch_for_their_help():
    code = (
        "import sys, sat3d.commands.edit, sat3d.commands.generate, sat3d.commands.compare, sat3d.commands.transfer;"
        "assert not {'torch', 'lightning', 'matplotlib'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_editors_of_w_move_w(toys, tmp_path):
    net = load_generator(toys.generator)
    net.name = toys.generator
    tool = AutoencoderEditor({"smile": {"value": [0]}}, net.w_dim)
    folder, out = str(tool.save(tmp_path / "editor", net)), tmp_path / "out"
    main(folder, 3, "smile", strength=2.0, out=str(out), frames=0)
    ws = net.map(CodeStream(0, net.z_dim, stream=SEEDS).z([3]))
    shown = views(net, net.styles(tool.edit(ws, "smile", 2.0)), net.cameras.frontal())[0, 0]
    assert np.abs(picture(out, "edit") - to_uint8(shown).astype(int)).max() <= 1
    assert np.abs(picture(out, "edit") - picture(out, "source")).max() > 1


@pytest.fixture
def swap(tmp_path):
    """An editor that takes over all of the reference's styles, on a generator with a geometry: styles by strength."""
    net = load_generator("toyfaces64")
    tool = MaskEditor(("all",), net.style_space.size, masks=torch.ones(1, net.style_space.size))
    before, reference = (net.styles(ws_of(net, [seed], 1.0)) for seed in (2, 8))
    return str(tool.save(tmp_path / "editor", net)), net, lambda x: tool.edit(before, "all", x, reference=reference)


def test_meshes_and_clips_of_an_edit_at_the_door(swap, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    folder, net, edited = swap
    out = tmp_path / "out"
    options = ["--frames", "4", "--clip", "gif", "--scale", "1", "--mesh", "ply", "--mesh_resolution", "40"]
    codes = ["--source", "2", "--reference", "8", "--attribute", "all"]
    door(["edit", "--editor", folder, *codes, "--out", str(out), *options])
    names = {"source", "edit", "source-difference", "edit-difference"}
    assert {p.name for p in out.iterdir()} == {
        *(f"{name}.ply" for name in names),
        *(f"{name}.png" for name in ("source", "reference", "edit", "grid", "depth", "difference")),
        *(f"{name}.gif" for name in ("orbit", "orbit-depth", "morph")),
    }
    meshes = {name: trimesh.load(out / f"{name}.ply") for name in names}
    assert all(mesh.is_watertight and mesh.volume > 0.03 for mesh in meshes.values())
    source, report = extract_mesh(net, edited(0.0), resolution=40)
    after, _ = extract_mesh(net, edited(1.0), resolution=40, level=report.level)
    difference = geometry_difference(source, after)
    assert difference.scale > 0.1  # head 8 has a hat with a brim
    for name, expected in (
        ("source", source),
        ("edit", after),
        ("source-difference", difference.source),
        ("edit-difference", difference.edited),
    ):
        assert np.allclose(meshes[name].vertices, expected.vertices, atol=1e-6)
        assert np.array_equal(colours_of(meshes[name]), colours_of(expected))


def test_the_morph_is_the_edit_by_strength_and_depth_shares_its_colours(swap, tmp_path, monkeypatch):
    folder, net, edited = swap
    clips = {}
    monkeypatch.setattr(
        "sat3d.visualization.write_clip", lambda path, frames: clips.update({path.name: list(frames)}) or path
    )
    main(folder, 2, "all", 8, strength=0.8, out=str(tmp_path / "out"), frames=4, scale=1, yaw=0.2)
    track = net.cameras.orbit(4, around=(0.2, 0.0))
    for i, strength in enumerate((0.0, 0.4, 0.8, 0.4)):
        image = net.synthesize(edited(strength), track[i]).image[0]
        assert np.abs(clips["morph.mp4"][i] - to_uint8(image).astype(int)).max() <= 1
    assert np.array_equal(clips["orbit.mp4"][0][:, :64], clips["morph.mp4"][0])
    assert np.array_equal(clips["orbit.mp4"][2][:, 128:], clips["morph.mp4"][2])
    seen = [net.synthesize(edited(x), net.cameras.at(0.2, 0.0)) for x in (0.0, 1.0, 0.8)]
    maps = coloured_depths(*(torch.stack([getattr(r, name)[0] for r in seen]) for name in ("depth", "opacity")), True)
    page = np.asarray(Image.open(tmp_path / "out" / "depth.png"))
    for i in range(3):
        assert np.array_equal(page[22:-4, 4 + 68 * i : 68 + 68 * i], maps[i, 0].repeat(2, 0).repeat(2, 1))


def test_a_flat_generator_has_a_morph_and_no_mesh(toys, tmp_path):
    net = load_generator(toys.flat)
    net.name = toys.flat
    tool = ChannelEditor.of(net.style_space, ("hat",), channels=torch.tensor([[2]]), directions=torch.ones(1, 1))
    folder, out = str(tool.save(tmp_path / "editor", net)), tmp_path / "out"
    with pytest.raises(ValueError, match="is a 2-D generator and has no density"):
        main(folder, 3, "hat", out=str(out), mesh="obj")
    assert not out.exists()
    main(folder, 3, "hat", out=str(out), frames=2)
    assert {p.name for p in out.iterdir()} == {"source.png", "edit.png", "grid.png", "morph.mp4"}


@pytest.fixture
def inverted(toys, tmp_path, monkeypatch):
    """Return a folder that `invert` wrote, of a picture of the tiny generator; its networks are the tiny ones."""
    monkeypatch.chdir(tmp_path)
    net = load_generator(toys.generator)
    image = net.synthesize(net.styles(ws_of(net, [5], 1.0)), camera=net.cameras.at(0.3, 0.1)).image
    Image.fromarray(to_uint8(image[0])).save("photo.png")
    words = ["invert", "photo.png", "--generator", toys.generator, "--steps", "4", "--perceptual_network", toys.scorer]
    door([*words, "--space", "s", "--encoder", "none", "--out", "codes"])
    return "codes/photo"


def test_codes_of_a_picture_are_edited_from_their_own_view(toys, editor, inverted):
    net = load_generator(toys.generator)
    codes = load_codes(f"{inverted}/code.safetensors", net)
    seen = to_uint8(codes.show(net).image[0]).astype(int)
    main(editor, inverted, "beard", 7, out="out", frames=2)
    assert np.abs(picture(Path("out"), "source") - seen).max() <= 1
    assert np.array_equal(picture(Path("out"), "source"), picture(Path("out"), "edit"))  # the mask of beard is empty
    main(editor, "3", "hat", f"{inverted}/code.safetensors", out="out", frames=0, yaw=0.0, pitch=0.0)
    frontal = to_uint8(net.synthesize(codes.styles, camera=net.cameras.frontal()).image[0]).astype(int)
    assert np.abs(picture(Path("out"), "edit") - frontal).max() <= 1  # a full mask gives the reference


def test_editors_of_w_move_codes_whose_styles_are_their_own(toys, inverted):
    net = load_generator(toys.generator)
    codes = load_codes(f"{inverted}/code.safetensors", net)
    assert (codes.styles - net.styles(codes.ws)).abs().max() > 1e-3
    tool = DirectionEditor(("hat",), torch.ones(1, net.w_dim))
    same = edited_styles(net, tool, codes, "hat", 0.0)
    assert torch.equal(same, codes.styles)
    moved = edited_styles(net, tool, codes, "hat", 2.0)
    wanted = net.styles(tool.edit(codes.ws, "hat", 2.0)) - net.styles(codes.ws)
    assert torch.allclose(moved - codes.styles, wanted, atol=1e-4) and wanted.abs().max() > 0.1


def test_a_picture_is_inverted_on_the_way(toys, editor, inverted, monkeypatch):
    loss = LossOptions(perceptual_network=toys.scorer)
    few = InversionOptions(steps=4, loss=loss)
    quick = partial(PictureInverter, recipe=Recipe(few, encoder="none"))
    monkeypatch.setattr("sat3d.inversion.PictureInverter", quick)
    main(editor, "photo.png", "beard", 7, out="direct", frames=0)
    main(editor, inverted, "beard", 7, out="kept", frames=0)
    assert np.array_equal(picture(Path("direct"), "source"), picture(Path("kept"), "source"))


def test_sources_that_are_nothing_are_told_of(editor, inverted, capsys):
    for source, told in {
        "nothing.png": "source='nothing.png' does not exist",
        "-3": "source=-3: seeds are numbers from 0 on",
        "nothing.safetensors": "there is no file nothing.safetensors",
        "editor/card.json": "source='editor/card.json'",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=re.escape(told)):
            main(editor, source, "beard", 7, out="nowhere")
    assert not Path("nowhere").exists()
