"""The editor: q on the path from source to reference, and what may be changed after the fit."""

import pytest
import torch

from sat3d.generators import tiny_generator
from sat3d.methods import PartEditor, load_editor
from sat3d.methods.editing_in_style import EVERYTHING, layers_of
from sat3d.ops.queries import greedy_query, simple_query

G = tiny_generator(0)
SPACE = G.style_space
PARTS = {"hat": ["c0", "c2"], "mouth": ["c1"]}
QUERY = {"budget": 1.5, "rho": 0.2, "first_budget": 0.0, "first": 2}


def editor(**options):
    m = torch.rand(3, SPACE.size, generator=torch.Generator().manual_seed(0))
    settings = {"query": QUERY, "contribution": m / m.sum(0), **options}
    return PartEditor(PARTS, ("c0", "c1", "c2"), layers_of(SPACE), **settings)


@pytest.fixture
def pair():
    random = torch.Generator().manual_seed(1)
    return [torch.randn(3, SPACE.size, generator=random) for _ in range(2)]


def test_every_layer_has_its_own_budget_and_the_first_theirs():
    tool = editor()
    m, q = tool.contribution[[0, 2]].sum(0), tool.query_of(["hat"])
    for layer in SPACE.layers:
        early = layer.ws_index < 2
        expected = greedy_query(m[layer.slice], 0.0 if early else 1.5, 0.2)
        torch.testing.assert_close(q[layer.slice], expected)
        assert (float(q[layer.slice].sum()) > 0) != early
    single = tool.with_query(budgets={SPACE.names[0]: 3.0}).query_of(["hat"])
    torch.testing.assert_close(single[SPACE.layers[0].slice], greedy_query(m[SPACE.layers[0].slice], 3.0, 0.2))


def test_an_edit_is_the_papers_interpolation(pair):
    source, reference = pair
    tool = editor()
    for strength in (0.5, 1.0, torch.tensor([0.2, 0.0, 1.5])):
        edited = tool.edit(source, "hat", strength, reference=reference)
        amount = torch.as_tensor(strength).reshape(-1, 1)
        torch.testing.assert_close(edited, source + amount * tool.query_of(["hat"]) * (reference - source))
    both = tool.query_of(["hat", "mouth"])
    assert torch.equal(both, torch.maximum(tool.query_of(["hat"]), tool.query_of(["mouth"])))


@pytest.mark.parametrize("attribute", ["hat", "mouth", EVERYTHING])
def test_strength_0_is_the_identity_bit_by_bit(pair, attribute):
    assert torch.equal(editor().edit(pair[0], attribute, 0.0, reference=pair[1]), pair[0])


def test_the_global_transfer_ends_at_the_reference_and_keeps_to_channels_that_take_part(pair):
    source, reference = pair
    assert torch.equal(editor().edit(source, EVERYTHING, 1.0, reference=reference), reference)
    some = SPACE.mask(("conv",))
    edited = editor(participates=some).edit(source, [EVERYTHING, "hat"], 1.0, reference=reference)
    assert torch.equal(edited, torch.where(some, reference, source))
    for kind in ("simple", "greedy", "released"):
        tool = editor(participates=some, query={"kind": kind, "rho": 0.0, "budget": 1e9})
        assert tool.query_of(["hat"])[~some].count_nonzero() == 0


def test_queries_and_parts_change_after_the_fit(pair):
    tool = editor(queries={"mouth": {"budget": 0.5}})
    assert float(tool.query_of(["mouth"]).sum()) < float(editor().query_of(["mouth"]).sum())
    assert torch.equal(tool.query_of(["hat"]), editor().query_of(["hat"]))
    simple = tool.with_query(kind="simple", gain=2.0)
    torch.testing.assert_close(simple.query_of(["mouth"]), simple_query(tool.contribution[1], 2.0))
    assert simple.query.rho == 0.2
    other = tool.with_attributes(mouth=["c0"], all=["c0", "c1", "c2"])
    assert torch.equal(other.contribution_of("mouth"), tool.contribution[0]) and "all" in other.attributes
    torch.testing.assert_close(other.contribution_of("all"), torch.ones(SPACE.size))


def test_saved_and_loaded_and_refused_on_another_generator(pair, tmp_path):
    tool = editor(queries={"mouth": {"budget": 0.5}}, participates=SPACE.mask(("conv",)))
    tool.save(tmp_path / "editor", G, method="EditingInStyle")
    loaded = load_editor(tmp_path / "editor", G)
    for name in loaded.attributes:
        wanted = tool.edit(pair[0], name, 0.7, reference=pair[1])
        assert torch.equal(loaded.edit(pair[0], name, 0.7, reference=pair[1]), wanted)
    with pytest.raises(ValueError, match="not for"):
        load_editor(tmp_path / "editor", tiny_generator(1))
    with pytest.raises(ValueError, match="needs a reference"):
        loaded.edit(pair[0], "hat")


def test_what_does_not_fit_is_refused():
    layers = layers_of(SPACE)
    for arguments, message in (
        (({"hat": ["c9"]}, ("c0",), layers), r"hat has unknown regions \['c9'\]; there are c0"),
        (({EVERYTHING: ["c0"]}, ("c0",), layers), "is the name of the global transfer"),
        ((PARTS, ("c0", "c1", "c2"), layers, None, {"hut": {}}), r"queries: \['hut'\] are no attributes"),
        ((PARTS, ("c0", "c1", "c2"), layers, {"epsilon": 1}), r"unknown settings \['epsilon'\]"),
        ((PARTS, ("c0", "c1", "c2"), layers, {"budget": -1}), "budget=-1 must not be negative"),
        ((PARTS, ("c0", "c1", "c2"), layers, {"kind": "lazy"}), "must be greedy, simple or released"),
        ((PARTS, ("c0", "c1", "c2"), layers, None, None, torch.zeros(2, 4)), "do not fit 3 regions"),
    ):
        with pytest.raises(ValueError, match=message):
            PartEditor(*arguments)
