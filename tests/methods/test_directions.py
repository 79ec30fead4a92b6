import numpy as np
import pytest
import torch

from sat3d.generators import tiny_generator
from sat3d.methods.base import load_editor
from sat3d.methods.directions import DirectionEditor, keep_fixed
from sat3d.methods.stylespace import ChannelEditor

NAMES = ("smile", "age", "hat")


@pytest.fixture
def directions() -> torch.Tensor:
    return torch.randn(3, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_is_kept_fixed_is_the_residual_of_least_squares(count):
    random = np.random.default_rng(count)
    wanted, others = random.normal(size=16), random.normal(size=(count, 16))
    rest = wanted - others.T @ np.linalg.lstsq(others.T, wanted, rcond=None)[0]
    expected = rest / np.linalg.norm(rest) * np.linalg.norm(wanted)
    found = keep_fixed(torch.tensor(wanted), torch.tensor(others))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_one_condition_is_the_papers_formula(directions):
    n1, n2 = directions[0] / directions[0].norm(), directions[1] / directions[1].norm()
    expected = n1 - (n1 @ n2) * n2
    torch.testing.assert_close(keep_fixed(n1, n2[None]), expected / expected.norm())


def test_conditions_that_depend_on_each_other_count_once(directions):
    others = torch.stack([directions[1], 2 * directions[1], directions[2]])
    torch.testing.assert_close(keep_fixed(directions[0], others), keep_fixed(directions[0], directions[1:]))


def test_nothing_left_is_an_error(directions):
    with pytest.raises(ValueError, match=r"keeping: smile, with age fixed: .*nothing of it is left"):
        DirectionEditor(NAMES[:2], directions[:1].repeat(2, 1)).keeping({"smile": ["age"]})


@pytest.mark.parametrize("shape", [(4, 16), (4, 5, 16)])
def test_edits_compose(directions, shape):
    editor, codes = DirectionEditor(NAMES, directions), torch.randn(shape)
    once = editor.edit(codes, ["smile", "hat"], 2.0)
    torch.testing.assert_close(editor.edit(editor.edit(codes, "hat", 2.0), "smile", 2.0), once)
    torch.testing.assert_close(editor.edit(editor.edit(codes, "smile", 2.0), "hat", 2.0), once)
    torch.testing.assert_close(editor.edit(once, ["smile", "hat"], -2.0), codes)


def test_strength_nought_is_the_identity(directions):
    editor, codes = DirectionEditor(NAMES, directions), torch.randn(4, 16)
    edited = editor.edit(codes, "smile", torch.tensor([0.0, 1.0, 0.0, -1.0]))
    assert torch.equal(edited[[0, 2]], codes[[0, 2]])
    torch.testing.assert_close(edited[3], codes[3] - directions[0])


def test_layers(directions):
    editor, ws = DirectionEditor(NAMES, directions, layers={"smile": [1, 2]}), torch.randn(2, 5, 16)
    moved = editor.edit(ws, "smile", 1.0) - ws
    assert torch.equal(moved[:, [0, 3, 4]], torch.zeros(2, 3, 16))
    torch.testing.assert_close(moved[:, 1:3], directions[0].expand(2, 2, 16), atol=1e-6, rtol=0)
    torch.testing.assert_close(editor.edit(ws, "age", 1.0) - ws, directions[1].expand(2, 5, 16), atol=1e-6, rtol=0)


def test_a_conditioned_edit_leaves_the_others_coordinates(directions):
    editor, ws = DirectionEditor(NAMES, directions, layers={"smile": [0, 1]}), torch.randn(2, 5, 16)
    fair = editor.keeping({"smile": ["age", "hat"]})
    moved = fair.edit(ws, "smile", 3.0) - ws
    assert float((moved[:, :2] @ directions[1:].T).abs().max()) < 1e-5
    assert not moved[:, 2:].any()  # the layers stay chosen
    assert torch.equal(fair.edit(ws, "age", 1.0), editor.edit(ws, "age", 1.0))
    assert torch.equal(editor.keeping({"smile": []}).edit(ws, "smile", 1.0), editor.edit(ws, "smile", 1.0))


def test_channels_can_be_conditioned_too():
    channels, ones = torch.tensor([[0, 1], [1, 2]]), torch.ones(2, 2)
    editor = ChannelEditor(("a", "b"), {"x": 4}, 2, channels, ones, torch.ones(4))
    fair = editor.keeping({"a": ["b"], "x/3": ["a"]})
    assert fair.attributes == ("a", "b", "x/3")
    expected = torch.tensor([1.0, 0.5, -0.5, 0.0])
    expected *= 2**0.5 / expected.norm()  # (1, 1, 0, 0) less its part along (0, 1, 1, 0), as long as before
    torch.testing.assert_close(fair.direction("a"), expected)


def test_saved_and_refused_by_another_generator(directions, tmp_path):
    net = tiny_generator(0)
    editor = DirectionEditor(NAMES, directions, "w", layers={"hat": [0, 3]})
    editor.save(tmp_path / "editor", net)
    again = load_editor(tmp_path / "editor", net)
    codes = torch.randn(2, 4, 16)
    assert torch.equal(again.edit(codes, "hat"), editor.edit(codes, "hat"))
    with pytest.raises(ValueError, match="made for generator"):
        load_editor(tmp_path / "editor", tiny_generator(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "z"}, "space='z' must be w or s"),
        ({"space": "s", "layers": {"hat": [0, 1]}}, "layers: styles have no ws"),
        ({"layers": {"beard": [0, 1]}}, "layers: unknown attributes"),
        ({"layers": {"hat": [2, 1]}}, "layers: hat"),
        ({"directions": torch.ones(2, 16)}, "do not fit 3 attributes"),
    ],
)
def test_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        DirectionEditor(NAMES, **{"directions": torch.ones(3, 16), **options})


def test_codes_that_do_not_fit(directions):
    editor = DirectionEditor(NAMES, directions, layers={"hat": [0, 7]})
    with pytest.raises(ValueError, match="do not fit directions of 16"):
        editor.edit(torch.zeros(1, 8), "smile")
    with pytest.raises(ValueError, match="layers: hat asks for ws 0 to 7; the codes have 3"):
        editor.edit(torch.zeros(1, 3, 16), "hat")
    with pytest.raises(ValueError, match="keeping: unknown beard"):
        editor.keeping({"smile": ["beard"]})
