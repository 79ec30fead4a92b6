import csv

import pytest
import torch

from sat3d.commands.transfer import main
from sat3d.evaluation import IdealEdit, copy_editor, markdown, random_editor, readings
from sat3d.evaluation.transfer import TransferResult
from sat3d.generators import load_generator
from sat3d.generators.batches import PairBatch
from sat3d.methods import MaskEditor
from sat3d.metrics import TransferCurves
from sat3d.world import load_world


def result(gain, drift):
    strengths = (0.5, 1.0, 2.0)
    curves = TransferCurves(("hat",), strengths, torch.tensor([gain]), torch.tensor([drift]), torch.tensor([9]))
    return TransferResult(curves, {})


def test_methods_are_read_at_half_the_copys_drift():
    results = {"ours": result([0.4, 0.8, 0.9], [0.2, 0.6, 2.0]), "copy": result([0.5, 1.0, 0.2], [0.5, 1.0, 2.0])}
    rows = {(row["method"], row["attribute"]): row for row in readings(results)}
    assert rows["ours", "hat"]["gain_at_drift"] == pytest.approx(0.4 + 0.4 * 0.3 / 0.4)
    assert rows["copy", "mean"]["gain_at_drift"] == pytest.approx(0.5)
    assert "| hat | 0.80 / 0.60, 0.70 | 1.00 / 1.00, 0.50 |" in markdown(results)


def test_random_masks_have_the_same_mass_elsewhere():
    participates = torch.tensor([True] * 8 + [False] * 2)
    masks = torch.zeros(2, 10)
    masks[0, :3], masks[1, 4] = torch.tensor([0.2, 0.5, 1.0]), 0.7
    shuffled = random_editor(MaskEditor(("a", "b"), 10, masks=masks), participates, seed=1).masks
    assert torch.equal(shuffled.sort(1).values, masks.sort(1).values)
    assert not torch.equal(shuffled, masks) and not bool(shuffled[:, 8:].any())


def test_copy_takes_the_participating_channels(toys):
    net = load_generator(toys.generator)
    channels = net.style_space.mask()
    source, reference = torch.randn(2, 1, net.style_space.size, generator=torch.Generator().manual_seed(0))
    edited = copy_editor(net, ("a",), channels).edit(source, "a", reference=reference)
    assert torch.equal(edited, torch.where(channels, reference, source))


@pytest.fixture(scope="module")
def world():
    return load_world("heads")


def test_ideal_edit_takes_the_references_value_and_holds_the_rest(world):
    z = torch.randn(8, world.z_dim, generator=torch.Generator().manual_seed(0))
    empty, none = torch.zeros(4), torch.zeros(4, 1)
    pairs = PairBatch(empty, empty, empty, empty, z[:4], z[4:], none, none, None, empty)
    for name in ("hat", "smile"):
        edited = world.values(world.coordinates(IdealEdit(world, None, 32).codes(pairs, name)))
        before, wanted = (world.values(world.coordinates(half)) for half in (z[:4], z[4:]))
        column = world.index(name)
        others = [i for i in range(len(world.attributes)) if i != column]
        assert torch.allclose(edited[:, column], wanted[:, column], atol=2e-3)
        assert torch.allclose(edited[:, others], before[:, others], atol=2e-3)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_command_writes_curves_and_tables(toys, tmp_path, capsys, device):
    net = load_generator(toys.generator)
    net.name = toys.generator
    everything = {"kinds": ["conv", "torgb"], "parts": ["backbone", "superresolution"]}
    size, rng = net.style_space.size, torch.Generator().manual_seed(0)
    for name in ("one", "two"):
        masks = torch.rand(3, size, generator=rng) * net.style_space.mask()
        MaskEditor(("hat", "smile", "beard"), size, masks=masks).save(
            tmp_path / name / "editor", net, training=everything
        )
    settings = {"generator": toys.generator, "judge": toys.judge, "ideal": False, "pairs": 6, "batch_size": 4}
    settings["device"] = device
    editors = [str(tmp_path / name / "editor") for name in ("one", "two")]
    out = tmp_path / "out"
    main(editors, ["one", "two"], **settings, attributes=["hat", "beard"], strengths=[0.5, 1.0], out=str(out))
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert {row["method"] for row in rows} == {"one", "two", "random mask", "copy"}
    copied = [float(row["gain"]) for row in rows if row["method"] == "copy" and row["strength"] == "1"]
    assert all(value != value or value == pytest.approx(1, abs=1e-3) for value in copied)
    assert (out / "table.md").read_text() in capsys.readouterr().out
    with pytest.raises(ValueError, match="share hat, smile, beard"):
        main(editors, ["one", "two"], **settings, attributes=["hut"])
    with pytest.raises(ValueError, match="truncation"):
        main(editors, truncation=0.7)
