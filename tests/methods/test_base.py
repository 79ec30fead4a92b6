import json
import sys
from types import SimpleNamespace

import pytest
import torch

from sat3d.generators import tiny_generator
from sat3d.methods import Editor, MaskEditor, load_editor
from sat3d.methods.base import edited_styles
from sat3d.methods.labelled import LabelledMethod
from sat3d.methods.one_pass import OnePass


@pytest.fixture
def editor():
    generator = tiny_generator(0)
    masks = torch.rand(2, generator.style_space.size, generator=torch.Generator().manual_seed(0))
    return MaskEditor(("hat", "beard"), generator.style_space.size, masks=masks / 2)


def codes(editor, seed, count=3):
    return torch.randn(count, editor.num_channels, generator=torch.Generator().manual_seed(seed))


def test_strength_zero_is_the_identity_bit_by_bit(editor):
    source, reference = codes(editor, 0), codes(editor, 1)
    source[0, :5] = -0.0
    reference[1, 0] = float("inf")
    edited = editor.edit(source, ["hat", "beard"], 0.0, reference=reference)
    assert torch.equal(edited.view(torch.int32), source.view(torch.int32))
    per_code = editor.edit(source, "hat", torch.tensor([0.0, 0.0, 1.0]), reference=reference)
    assert torch.equal(per_code[:2], source[:2]) and not torch.equal(per_code[2], source[2])


def test_round_trip_gives_the_same_edits(editor, tmp_path):
    generator = tiny_generator(0)
    editor.save(tmp_path / "editor", generator, method="SAT3D")
    loaded = load_editor(tmp_path / "editor", generator)
    source, reference = codes(editor, 0), codes(editor, 1)
    same = [e.edit(source, "hat", 0.7, reference=reference) for e in (editor, loaded)]
    assert torch.equal(*same)
    card = json.loads((tmp_path / "editor" / "card.json").read_text())
    assert card["generator"]["hash"] == generator.hash and card["method"] == "SAT3D"
    assert {p.name for p in tmp_path.iterdir()} == {"editor"}  # nothing half-written is left


def test_another_generator_is_refused(editor, tmp_path):
    editor.save(tmp_path / "editor", tiny_generator(0))
    with pytest.raises(ValueError, match="made for generator 'tiny-eg3d'"):
        load_editor(tmp_path / "editor", tiny_generator(1))


def test_damaged_and_missing_files_are_named(editor, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"editor\.safetensors"):
        load_editor(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"no file .*last\.ckpt"):
        load_editor(tmp_path / "last.ckpt")
    folder = editor.save(tmp_path / "editor", tiny_generator(0))
    weights = folder / "editor.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(ValueError, match="truncated or damaged"):
        load_editor(folder)
    (tmp_path / "last.ckpt").write_bytes(b"PK but no more")
    with pytest.raises(ValueError, match="truncated or damaged"):
        load_editor(tmp_path / "last.ckpt")


def test_card_cannot_name_foreign_code(editor, tmp_path):
    folder = editor.save(tmp_path / "editor", tiny_generator(0))
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "editor": "subprocess.Popen"}))
    with pytest.raises(ValueError, match=r"subprocess\.Popen"):
        load_editor(folder)
    (folder / "card.json").write_text(json.dumps({**card, "editor": "this.Editor"}))
    with pytest.raises(ValueError, match="import its module first"):
        load_editor(folder)
    assert "this" not in sys.modules  # a module that the standard library has, and that prints when imported


class Doubling(Editor):
    """An editor that a user wrote in a module of his own."""

    def _edit(self, codes, attributes, strength, reference, values):
        return codes * (1 + strength)


def test_an_editor_of_your_own_is_loaded_once_its_module_is_imported(tmp_path):
    generator = tiny_generator(0)
    Doubling(["hat"]).save(tmp_path / "editor", generator)
    loaded = load_editor(tmp_path / "editor", generator)
    assert isinstance(loaded, Doubling)
    assert torch.equal(loaded.edit(torch.ones(1, 3), "hat"), torch.full((1, 3), 2.0))


def test_an_editor_that_does_not_edit_cannot_be_made():
    with pytest.raises(TypeError, match="_edit"):
        Editor(["hat"])


def test_unwritable_folder_leaves_nothing(editor, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        editor.save(tmp_path / "file" / "editor", tiny_generator(0))
    assert {p.name for p in tmp_path.iterdir()} == {"file"}


def test_wrong_arguments_are_named(editor):
    source = codes(editor, 0)
    with pytest.raises(ValueError, match="unknown hut; this editor knows hat, beard"):
        editor.edit(source, "hut", reference=source)
    with pytest.raises(ValueError, match="needs a reference"):
        editor.edit(source, "hat")
    with pytest.raises(ValueError, match="does not fit"):
        editor.edit(source, "hat", reference=source[:, :4])


def test_edits_one_after_the_other_take_no_values_of_before(editor):
    net = tiny_generator(0)
    given = SimpleNamespace(ws=net.map(torch.zeros(1, net.z_dim)), styles=torch.zeros(1, net.style_space.size))
    with pytest.raises(ValueError, match="values: those of the first edit"):
        edited_styles(net, editor, given, ["hat", "beard"], [1.0, 0.5], values=torch.zeros(1, 2))


def test_what_subclasses_shall_write_is_asked_for_when_they_are_made():
    with pytest.raises(TypeError, match="abstract methods basis, collect, editor, solve"):
        OnePass()
    with pytest.raises(TypeError, match="abstract methods blank_editor, build, losses, read_labels"):
        LabelledMethod({})
