import pytest
import torch
from torch import nn

from sat3d.generators import tiny_generator
from sat3d.methods import load_editor
from sat3d.methods.coordinates import CoordinateEditor, label_width

COLUMNS = {"smile": {"value": [0]}, "hat": {"none": [1], "cap": [2, 5], "beanie": [3]}, "age": {"value": [4]}}


class Linear(CoordinateEditor):
    """Coordinates are w A; asks for `values` to say that it is told."""

    def __init__(self, columns, layers=None, form="residual"):
        super().__init__(columns, layers, form)
        mixing = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))[0]
        self.mixing = nn.Parameter(mixing[:, :6], requires_grad=False)
        self.told = []

    def coordinates(self, w, values=None):
        self.told.append(values)
        return w @ self.mixing

    def moved(self, w, old, new):
        return w + (new - old) @ self.mixing.T


@pytest.fixture
def editor():
    return Linear(COLUMNS)


def codes(*shape, seed=0):
    return torch.randn(*shape, 8, generator=torch.Generator().manual_seed(seed))


def moves(editor, before, after):
    return (after - before) @ editor.mixing


def test_a_continuous_attribute_rises_by_the_strength_and_nothing_else_moves(editor):
    w = codes(3)
    assert editor.attributes == ("smile", "hat/none", "hat/cap", "hat/beanie", "age")
    moved = moves(editor, w, editor.edit(w, "smile", 0.7))
    assert torch.allclose(moved, torch.tensor([0.7, 0, 0, 0, 0, 0]).expand(3, -1), atol=1e-6)
    lowered = moves(editor, w, editor.edit(w, "age", torch.tensor([-2.0, 0.5, 0.0])))
    assert torch.allclose(lowered[:, 4], torch.tensor([-2.0, 0.5, 0.0]), atol=1e-6)
    others = [0, 1, 2, 3, 5]
    assert torch.allclose(lowered[:, others], torch.zeros(3, 5), atol=1e-6)


def test_strength_zero_is_bitwise_also_in_the_company_of_others(editor):
    w = codes(2, 4)
    edited = editor.edit(w, ["smile", "hat/cap"], torch.tensor([0.0, 1.0]))
    assert torch.equal(edited[0], w[0]) and not torch.equal(edited[1], w[1])
    assert torch.equal(editor.edit(w, "hat/cap", 0.0).view(torch.int32), w.view(torch.int32))


def test_strength_two_leads_from_any_class_to_the_one_named(editor):
    worn = {"none": [1], "cap": [2, 5], "beanie": [3]}
    c = torch.full((3, 6), -1.0)
    for row, columns in enumerate(worn.values()):
        c[row, columns] = 1.0
    for name, columns in worn.items():
        wanted = torch.full((6,), -1.0)
        wanted[columns] = 1.0
        for row, start in enumerate(worn):
            if start != name:
                assert torch.equal(editor.shifted(c, f"hat/{name}", torch.full((3, 1), 2.0))[row], wanted)
        assert torch.equal(editor.valued(c, f"hat/{name}", torch.ones(3, 1)), wanted.expand(3, -1))
    # half way, both are undecided; beyond, only the class itself goes on
    assert editor.shifted(c, "hat/cap", torch.ones(3, 1))[0].tolist() == [-1, 0, 0, -1, -1, 0]
    assert editor.shifted(c, "hat/cap", torch.full((3, 1), 3.0))[0].tolist() == [-1, -1, 2, -1, -1, 2]
    # away from a class, its likeliest sibling takes over; a code that is not of it goes on
    c[1, 3] = -0.5
    taken = editor.shifted(c, "hat/cap", torch.full((3, 1), -2.0))
    assert taken[1].tolist() == [-1, -1, -1, 1.5, -1, -1]
    assert editor.valued(c, "hat/cap", -torch.ones(3, 1))[1].tolist() == [-1, -1, -1, 1, -1, -1]


def test_each_code_has_its_own_sign(editor):
    c = torch.tensor([[0, -1.0, -1, 1, 0, -1]]).expand(2, -1)
    both = editor.shifted(c, "hat/beanie", torch.tensor([[1.0], [-1.0]]))
    one = [editor.shifted(c[:1], "hat/beanie", torch.tensor([[s]])) for s in (1.0, -1.0)]
    assert torch.equal(both, torch.cat(one))


@pytest.mark.parametrize("name, column", [("smile", 0), ("age", 4)])
def test_a_value_is_set_for_all_or_for_each_code(editor, name, column):
    for w in (codes(2), codes(2, 3)):
        c = editor.set_value(w, name, -0.3) @ editor.mixing
        assert torch.allclose(c[..., column], torch.tensor(-0.3), atol=1e-6)
        c = editor.set_value(w, name, torch.tensor([1.0, -1.0])) @ editor.mixing
        assert torch.allclose(c[0, ..., column], torch.tensor(1.0), atol=1e-6)
        assert torch.allclose(c[1, ..., column], torch.tensor(-1.0), atol=1e-6)
    c = editor.set_value(codes(2), "hat/none", 1.0) @ editor.mixing
    assert torch.allclose(c[:, [1, 2, 3, 5]], torch.tensor([1.0, -1, -1, -1]).expand(2, -1), atol=1e-6)


def test_a_value_that_a_code_has_changes_nothing(editor):
    w = codes(4)
    has = (w @ editor.mixing)[:, 0]
    assert torch.equal(editor.set_value(w, "smile", has), w)


def test_layers_are_edited_one_by_one_and_the_others_stay_bitwise():
    editor = Linear(COLUMNS, {"smile": (1, 2), "hat": (3, 3)})
    ws = codes(2, 4)
    edited = editor.edit(ws, "smile", 0.5)
    assert torch.equal(edited[:, [0, 3]], ws[:, [0, 3]])
    for layer in (1, 2):
        assert torch.equal(edited[:, layer], editor.edit(ws[:, layer], "smile", 0.5))
    both = editor.edit(ws, ["smile", "hat/cap"], torch.tensor([0.5, -1.0]))
    assert torch.equal(both[:, 0], ws[:, 0]) and not torch.equal(both[:, 3], ws[:, 3])
    assert torch.equal(both[:, 1:3], editor.edit(ws, "smile", torch.tensor([0.5, -1.0]))[:, 1:3])
    assert torch.equal(editor.edit(ws, "age")[:, 0], editor.edit(ws[:, 0], "age"))


def test_one_w_for_all_layers_is_edited_once(editor):
    w = codes(2)
    ws = w[:, None].expand(-1, 5, -1)
    edited = editor.edit(ws, "smile", torch.tensor([1.0, 2.0]))
    assert [len(t) if t is not None else 0 for t in editor.told] == [0] and edited.shape == (2, 5, 8)
    assert torch.equal(edited, editor.edit(w, "smile", torch.tensor([1.0, 2.0]))[:, None].expand(-1, 5, -1))


def test_the_next_attribute_is_told_of_the_one_before(editor):
    values = torch.zeros(2, 6)
    editor.edit(codes(2, 3), ["smile", "hat/cap", "age"], torch.tensor([0.5, -1.0]), values=values)
    first, second, third = (told.view(2, 3, 6)[:, 0] for told in editor.told)
    assert torch.equal(first, values)
    assert second[:, 0].tolist() == [0.5, -1.0] and bool((second[:, 1:] == 0).all())
    assert torch.equal(third[:, :5], torch.tensor([[0.5, -0.5, 0.5, -0.5, 0.0], [-1, 1, -1, 0, 0]]))
    assert bool((values == 0).all())  # what was given stays


def test_several_attributes_are_one_after_the_other(editor):
    w = codes(3)
    chained = editor.edit(editor.edit(w, "smile", 0.5), "hat/cap", 0.5)
    assert torch.allclose(editor.edit(w, ["smile", "hat/cap"], 0.5), chained)


def test_wrong_settings_are_named(editor):
    for columns in ({}, {"a": {"value": [0]}, "b": {"value": [0]}}, {"a": {"value": [1]}}):
        with pytest.raises(ValueError, match="columns"):
            Linear(columns)
    with pytest.raises(ValueError, match=r"unknown attributes \['hut'\]; there are smile, hat, age"):
        Linear(COLUMNS, {"hut": (0, 1)})
    for span in ((2, 1), (-1, 3), (1,)):
        with pytest.raises(ValueError, match="layers: smile"):
            Linear(COLUMNS, {"smile": span})
    with pytest.raises(ValueError, match=r"ws 1 to 4; the codes have 4"):
        Linear(COLUMNS, {"smile": (1, 4)}).edit(codes(1, 4), "smile")
    with pytest.raises(Exception, match="form"):  # the tests' checked annotations get there first
        Linear(COLUMNS, form="sum")
    with pytest.raises(ValueError, match="unknown hat"):
        editor.set_value(codes(1), "hat", 1.0)
    with pytest.raises(ValueError, match=r"values: \(3, 6\) does not fit 2 codes and 6 labels"):
        editor.edit(codes(2), "smile", values=torch.zeros(3, 6))
    assert label_width(COLUMNS) == 6


def test_an_editor_for_no_generator_is_loaded_and_taken_with_a_warning(tmp_path):
    editor = Linear(COLUMNS, {"smile": (0, 1)}, "paper")
    editor.save(tmp_path / "editor", None)
    loaded = load_editor(tmp_path / "editor")
    assert loaded.card["generator"] is None and loaded.config() == editor.config()
    assert torch.equal(loaded.edit(codes(2, 3), "smile"), editor.edit(codes(2, 3), "smile"))
    with pytest.warns(UserWarning, match="name no generator"):
        load_editor(tmp_path / "editor", tiny_generator(0))
