"""`compare` on tiny networks, through the door: trains what is missing, reuses what is there, goes on after a stop."""

import csv
import json
import re
from functools import wraps

import pytest
import torch
import yaml
from safetensors.torch import load

from sat3d.cli import main
from sat3d.commands import compare as command
from sat3d.evaluation.comparison.protocol import MatchedProtocol
from sat3d.generators import load_generator
from sat3d.methods import MaskEditor


@pytest.fixture(scope="module")
def place(toys, tmp_path_factory):
    """A folder with a plan: two methods, one trained on labels, one that looks at references."""
    root = tmp_path_factory.mktemp("compare")
    source = {"generator": toys.generator, "scorer": toys.scorer, "count": 16}
    options = {f"data.init_args.source.init_args.{k}": v for k, v in source.items()}
    options |= {"data.init_args.val": 4, "data.init_args.test": 4, "data.init_args.batch_size": 4}
    options |= {"trainer.accelerator": "cpu", "trainer.max_epochs": 1}
    options |= {"model.init_args.generator": toys.generator, "model.init_args.hidden": 8}
    options |= {"trainer.callbacks": [{"class_path": "sat3d.callbacks.Summary"}]}
    net = load_generator(toys.generator)
    for seed in (1, 2):
        masks = torch.rand(3, net.style_space.size, generator=torch.Generator().manual_seed(seed))
        folder = root / f"masks/{seed}"
        MaskEditor(("hat", "smile", "beard"), net.style_space.size, masks=masks).save(folder / "editor", net)
        seen = {"model": {"init_args": {"background": {"parser": toys.parser}, "judge": toys.judge}}, "data": {}}
        seen["data"] = {"class_path": "sat3d.data.StyleCodeDataModule", "init_args": {"generator": toys.generator}}
        (folder / "config.yaml").write_text(yaml.safe_dump(seen))
    plan = {
        "generator": toys.generator,
        "labeller": toys.scorer,
        "judge": toys.judge,
        "identity": None,
        "perceptual": toys.judge,
        "parser": toys.parser,
        "parts": {"hat": ["head"], "smile": ["head"]},
        "codes": 6,
        "references": 12,
        "order": 3,
        "seeds": [1, 2],
        "examples": 2,
        "clips": ["hat"],
        "methods": {
            "Plu <GeN>": {
                "config": "experiments/toyfaces/plugen.yaml",
                "options": options,
                "varies": ["model.init_args.seed"],
            },
            "Masks": {"runs": [str(root / "masks/1"), str(root / "masks/2")]},
        },
    }
    (root / "plan.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("SAT3D_CACHE", str(root / "cache"))
        yield root


def assert_near(a, b):
    """The same names, and the same numbers to the five digits that are written; the sixth may round otherwise."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_near(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_near(x, y)
    elif isinstance(a, float) and isinstance(b, float | int):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)
    else:
        assert a == b


def compare(*words):
    main(["compare", "--config=plan.yaml", *words])


@pytest.fixture(scope="module")
def results(place):
    compare("--jobs=1", "--out=out")
    return json.loads((place / "out/results.json").read_text())


def test_trains_what_is_missing_and_writes_everything(place, results):
    assert {p.name for p in (place / "out").iterdir()} >= {
        "report.html", "results.json", "edits.csv", "table.md", "figures", "pictures", "units",
    }  # fmt: skip
    assert (place / "runs/editors/plu-gen/2/editor/card.json").is_file()
    assert [m["kind"] for m in results["methods"]] == ["value", "reference"]
    assert results["attributes"] == ["hat", "smile", "beard"] and results["codes"] == 6
    with (place / "out/edits.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 3 * 6  # methods, seeds, attributes, codes
    asked = [[(r["attribute"], r["target"], r["code"], r["asked"]) for r in rows if r["method"] == m] for m in
             ("Plu <GeN>", "Masks")]  # fmt: skip
    assert asked[0] == asked[1]  # the same codes, targets and values
    assert results["methods"][0]["facts"]["fit, s"] and results["methods"][1]["facts"]["KID × 10³"]
    assert {"view_colour", "undo", "order", "perceptual"} <= {m["key"] for m in results["measures"]}


def test_every_number_has_its_interval(results):
    cells = [c for table in results["tables"].values() for own in table["cells"].values() for c in own.values()]
    assert cells and all(c["mean"] is None or c["low"] <= c["mean"] <= c["high"] for c in cells)
    assert all(sum(own[k]["best"] for own in results["tables"]["all"]["cells"].values() if k in own) <= 1 for k in
               ("reached", "ad_mean", "perceptual"))  # fmt: skip


def test_the_parser_that_taught_a_method_is_marked(place, results):
    marks = {m["name"]: m["marks"] for m in results["methods"]}
    assert not marks["Plu <GeN>"]
    assert set(marks["Masks"]) == {"inside", "lab_inside", "lab_outside"}  # its config names the parser; the judge
    assert "also taught Masks" in marks["Masks"]["inside"]  # stands there too, but taught nothing
    assert "†" in (place / "out/table.md").read_text()


def test_two_processes_find_what_one_finds_and_a_stopped_one_goes_on(place, results, monkeypatch):
    units = sorted((place / "out/units").rglob("*.safetensors"))
    assert len(units) == 2 * 2 * 3
    compare("--jobs=2", "--out=two")
    same = [json.loads((place / f"{out}/results.json").read_text()) for out in ("out", "two")]
    for one in same:
        for method in one["methods"]:
            del method["facts"]  # milliseconds
    for key in ("tables", "by_attribute", "curves", "rescoring", "methods"):
        assert_near(same[0][key], same[1][key])

    lost = [units[0], units[-1]]
    old = lost[0].read_bytes()
    lost[0].write_bytes(old[: len(old) // 2])  # as a full disk leaves it
    lost[1].unlink()
    done = []
    compared = MatchedProtocol.compare
    monkeypatch.setattr(MatchedProtocol, "compare", lambda *a: done.append(a[1:]) or compared(*a))
    compare("--jobs=1", "--out=out")
    assert len(done) == 2
    kept, made = load(old), load(lost[0].read_bytes())
    assert kept.keys() == made.keys()
    for key, tensor in kept.items():
        torch.testing.assert_close(made[key], tensor, rtol=1e-4, atol=1e-5, equal_nan=True)
    again = json.loads((place / "out/results.json").read_text())
    assert_near(again["tables"], results["tables"])
    assert_near(again["curves"], results["curves"])


def test_the_page_is_whole(place, results):
    page = (place / "out/report.html").read_text()
    assert "Plu <GeN>" not in page and "GeN" in page  # escaped: names are data, not markup
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)


def test_quick_is_one_seed(place, results):
    compare("--jobs=1", "--out=quick", "--quick=true", "--attributes=[smile]", "--clips=[]", "--examples=0")
    told = json.loads((place / "quick/results.json").read_text())
    assert told["seeds"] == [1] and told["attributes"] == ["smile"] and not told["pictures"]["examples"]


def test_trains_alone(place, results, capsys):
    compare("--train_only=true")
    assert "4 editors; trained now: 0" in capsys.readouterr().out


def test_a_judge_that_taught_is_refused_or_marked(toys, place, results):
    path = place / "masks/1/config.yaml"
    told = yaml.safe_load(path.read_text())
    told["model"]["init_args"]["scorer"] = toys.judge
    (place / "masks/3").mkdir()
    (place / "masks/3/editor").symlink_to(place / "masks/1/editor")
    (place / "masks/3/config.yaml").write_text(yaml.safe_dump(told))
    words = [f"--methods.Masks.runs=['{place}/masks/3']", "--seeds=[1]", "--codes=3", "--out=taught", "--examples=0"]
    with pytest.raises(ValueError, match=r"judge: .*judge.safetensors, which tells this, also taught Masks.*--marked"):
        compare(*words, "--jobs=1")
    compare(*words, "--jobs=1", "--marked=true")
    told = json.loads((place / "taught/results.json").read_text())
    assert {"success", "ad_mean", "change"} <= set(told["methods"][1]["marks"])


@pytest.fixture(scope="module")
def domains(place, results):
    """Two configs beside the plan: its comparison, which is there, and a smaller one; and a config that names both."""
    plan = yaml.safe_load((place / "plan.yaml").read_text()) | {"jobs": 1}
    few = {"methods": {"Masks": plan["methods"]["Masks"]}, "attributes": ["smile"], "codes": 3, "seeds": [1]}
    few |= {"clips": [], "examples": 1, "order": 0}
    for name, config in {
        "heads": {**plan, "out": "out"},
        "cars": {**plan, **few, "out": "cars-out"},
        "worlds": {"domains": {"Heads": "heads.yaml", "Toy cars": "cars.yaml"}, "out": "worlds", "title": "Two worlds"},
    }.items():
        (place / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return place


def test_domains_keep_their_folders_and_share_a_page(domains, monkeypatch, capsys):
    done = []
    compared = MatchedProtocol.compare
    monkeypatch.setattr(MatchedProtocol, "compare", lambda *a: done.append(a[1:]) or compared(*a))
    main(["compare", "--config=worlds.yaml"])
    assert len(done) == 1  # heads had been compared
    assert {p.name for p in (domains / "worlds").iterdir()} == {"report.html", "table.md"}
    page = (domains / "worlds/report.html").read_text()
    assert page.count("<title>Two worlds</title>") == 1 and 'href="#toy-cars">Toy cars</a>' in page
    told = [json.loads((domains / f"{out}/results.json").read_text()) for out in ("out", "cars-out")]
    reach = [one["tables"]["all"]["cells"]["Masks"]["reached"]["mean"] for one in told]
    table = (domains / "worlds/table.md").read_text()
    assert table in capsys.readouterr().out
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:3] for line in table.splitlines() if "|" in line}
    assert [float(re.search(r"[\d.]+", cell)[0]) for cell in cells["Masks (reference)"]] == pytest.approx(
        reach, abs=0.01
    )
    assert cells["Plu <GeN>"][1] == "–"
    main(["compare", "--config=worlds.yaml", "--train_only=true"])
    assert re.findall(r": (\d) editors; trained now: (\d)", capsys.readouterr().out) == [("4", "0"), ("1", "0")]
    assert len(done) == 1


def test_a_quick_look_at_domains_leaves_their_own_folders_alone(domains):
    before = {out: (domains / f"{out}/results.json").read_bytes() for out in ("out", "cars-out")}
    main(["compare", "--config=worlds.yaml", "--quick=true", "--out=short"])
    assert {out: (domains / f"{out}/results.json").read_bytes() for out in before} == before
    assert {p.name for p in (domains / "short").iterdir()} == {"heads", "toy-cars", "report.html", "table.md"}
    assert json.loads((domains / "short/heads/results.json").read_text())["seeds"] == [1]


def test_seeds_may_be_said_of_all_domains(domains, monkeypatch):
    plans, compared = [], command.main

    @wraps(compared)
    def noted(**asked):
        return compared(**asked) if asked["domains"] else plans.append(asked)

    monkeypatch.setattr(command, "main", noted)
    main(["compare", "--config=worlds.yaml", "--seeds=[5]", "--train_only=true"])
    assert [plan["seeds"] for plan in plans] == [[5], [5]] and [plan["codes"] for plan in plans][1] == 3


@pytest.mark.parametrize(
    "words, message",
    [
        (["--codes=3", "--seed=1"], "codes, seed: cannot be said of all domains"),
        (["--methods.Masks.runs=[masks/1]"], "methods: cannot be said of all domains"),
        (["--out=cars-out"], "needs a folder of its own"),
        (['--domains={"a": "heads.yaml", "b": "heads.yaml"}'], "needs a folder of its own"),
        (['--domains={"a b": "heads.yaml", "a-b": "cars.yaml"}'], "both #a-b"),
        (['--domains={"a": "worlds.yaml"}'], "worlds.yaml must name methods"),
        (['--domains={"a": "nowhere.yaml"}'], "no file nowhere.yaml"),
        (
            ['--domains={"a": "heads.yaml", "b": "wrong.yaml"}'],
            r"(?s)domains.b: wrong.yaml: .*'generatr' is not accepted",
        ),
    ],
)
def test_says_what_does_not_fit_domains(domains, words, message):
    (domains / "wrong.yaml").write_text("generatr: toyfaces64")
    with pytest.raises((ValueError, OSError), match=message):
        main(["compare", "--config=worlds.yaml", *words])


OWN = """
from sat3d.methods.base import Editor

class Nudge(Editor):
    def _edit(self, codes, attributes, strength, reference, values):
        return codes + 0.1 * strength
"""


def test_editors_of_ones_own_take_part_once_their_module_is_named(toys, place, results, monkeypatch):
    (place / "nudging.py").write_text(OWN)
    monkeypatch.syspath_prepend(place)
    from nudging import Nudge

    folder = place / "own"
    Nudge(("smile",)).save(folder / "editor", load_generator(toys.generator))
    (folder / "config.yaml").write_text((place / "masks/1/config.yaml").read_text())
    words = ["--methods", json.dumps({"Own": {"runs": ["own"]}}), "--seeds=[1]", "--codes=3", "--attributes=[smile]"]
    words += ["--clips=[]", "--examples=0", "--out=own-out"]
    compare(*words, "--modules=[nudging]", "--jobs=2")  # other processes know nothing of what is imported here
    assert json.loads((place / "own-out/results.json").read_text())["methods"][0]["name"] == "Own"
    with pytest.raises(ImportError, match="modules: 'nowhere_to_be'"):
        compare(*words, "--modules=[nowhere_to_be]")


@pytest.mark.parametrize(
    "words, message",
    [
        (["--judge={scorer}"], "chooses strengths as the labeller"),
        (["--attributes=[nose]"], "'nose' is not scored"),
        (["--attributes=[hat]", "--clips=[smile]"], "clips: smile"),
        (["--methods.Masks.runs=[masks/1]"], "1 runs for 2 seeds"),
        (["--methods.Masks.config=experiments/toyfaces/sefa.yaml"], "either config .* or runs"),
        (["--methods.Masks.runs=[masks,masks]"], "no editor in masks"),
        (["--world=true", "--truncation=0.7"], "truncation=0.7"),
    ],
)
def test_says_what_does_not_fit(toys, place, results, words, message):
    with pytest.raises((ValueError, OSError), match=message):
        compare("--jobs=1", "--out=wrong", *(word.format(scorer=toys.scorer) for word in words))


def test_other_settings_want_another_folder(place, results):
    told = yaml.safe_load((place / "plan.yaml").read_text())
    told["methods"]["Plu <GeN>"]["options"]["model.init_args.hidden"] = 9
    (place / "other.yaml").write_text(yaml.safe_dump(told))
    with pytest.raises(ValueError, match="trained with other settings"):
        main(["compare", "--config=other.yaml", "--out=wrong"])
