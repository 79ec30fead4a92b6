import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sat3d.commands.edit import main
from sat3d.generators import load_generator, save_generator, tiny_generator
from sat3d.generators.sampling import SEEDS, CodeStream
from sat3d.methods import AutoencoderEditor, ChannelEditor, MaskEditor
from sat3d.visualization import to_uint8, views


@pytest.fixture
def editor(toys, tmp_path):
    net = load_generator(toys.generator)
    masks = torch.zeros(2, net.style_space.size)
    masks[0] = 1.0
    net.name = toys.generator
    return str(MaskEditor(("hat", "beard"), net.style_space.size, masks=masks).save(tmp_path / "editor", net))


def picture(folder, name):
    return np.asarray(Image.open(folder / f"{name}.png")).astype(int)


def test_full_mask_gives_the_reference_and_empty_mask_the_source(toys, editor, tmp_path):
    out = tmp_path / "out"
    main(editor, 3, "hat", 7, out=str(out), frames=2)
    assert {p.name for p in out.iterdir()} == {"source.png", "reference.png", "edit.png", "grid.png", "orbit.mp4"}
    assert np.abs(picture(out, "edit") - picture(out, "reference")).max() <= 1
    assert np.abs(picture(out, "edit") - picture(out, "source")).max() > 1
    main(editor, 3, "beard", 7, out=str(out), frames=0)
    assert np.array_equal(picture(out, "edit"), picture(out, "source"))
    main(editor, 3, "hat,beard", 7, strength=0.0, out=str(out), frames=0, threshold=0.5)
    assert np.array_equal(picture(out, "edit"), picture(out, "source"))


def test_bad_input_leaves_nothing(toys, editor, tmp_path):
    out = tmp_path / "nothing"
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
    assert not out.exists()


def test_editors_of_channels_take_no_reference(toys, tmp_path):
    net = load_generator(toys.generator)
    tool = ChannelEditor.of(net.style_space, ("hat",), channels=torch.tensor([[2]]), directions=torch.ones(1, 1))
    net.name = toys.generator
    folder, out = str(tool.save(tmp_path / "editor", net)), tmp_path / "out"
    main(folder, 3, "backbone.synthesis.b4.conv1/2", strength=3.0, out=str(out), frames=0)
    by_name = picture(out, "edit")
    assert {p.name for p in out.iterdir()} == {"source.png", "edit.png", "grid.png"}
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
