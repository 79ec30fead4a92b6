"""Every experiment is one that the door can read; that each of them runs is shown beside what it trains."""

import json
from pathlib import Path

import pytest
import yaml

from sat3d.cli import main
from sat3d.configs import find_config, known_configs, read_config
from sat3d.pretraining.clip import phrase_classes
from sat3d.sweeps.plan import read_sweep
from sat3d.sweeps.space import space_of
from sat3d.world import WORLDS, load_world, world_of

PARTS = ("experiments/trainer/", "experiments/logger/", "experiments/compare/", "experiments/sweeps/")
COMPLETE = [name for name in known_configs() if not name.startswith(PARTS)]
SWEPT = [name for name in known_configs() if name.startswith("experiments/sweeps/")]
OF_DOMAINS = "experiments/compare/worlds.yaml"
COMPARED = [name for name in known_configs() if name.startswith("experiments/compare/") and name != OF_DOMAINS]
OF_WORLDS = {world: f"experiments/{load_world(world).domain.generator}/" for world in WORLDS}


@pytest.mark.parametrize("name", COMPLETE)
def test_every_setting_of_an_experiment_is_known_to_its_classes(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["fit", "--config", name, "--print_config"])
    assert exit_.value.code == 0
    read, written = yaml.safe_load(capsys.readouterr().out), read_config(find_config(name))
    for part in ("model", "data"):
        assert read[part]["class_path"].rpartition(".")[2] == written[part]["class_path"].rpartition(".")[2]
        assert written[part].get("init_args", {}).keys() <= read[part].get("init_args", {}).keys()
    for world, folder in OF_WORLDS.items():
        if name.startswith(folder):
            assert_of_world(read["model"]["init_args"], read["data"]["init_args"], load_world(world))


def columns_of(world, names):
    """Name the columns of the world's attribute predictors: classes, and continuous attributes."""
    attributes = [world.attribute(name) for name in names]
    return [column for a in attributes for column in ([a.name] if a.kind == "continuous" else classes_of(a))]


def classes_of(attribute):
    return [f"{attribute.name}/{k}" for k in attribute.classes]


def assert_of_world(model, data, world):
    """Networks, attributes, classes, parts and phrases are this world's, whatever the config started from."""
    others = [load_world(name).domain.generator for name in WORLDS if name != world.domain.name]
    assert not any(other in json.dumps([model, data]) for other in others)
    known, attributes = {*world.names, *columns_of(world, world.names)}, model.get("attributes") or []
    assert {name.removeprefix("-") for name in attributes} <= known
    assert {line if isinstance(line, str) else line["name"] for line in data.get("labels") or []} <= {*world.names}
    parts = [part for members in attributes.values() for part in members] if isinstance(attributes, dict) else []
    background = model.get("background") or {"parts": [], "spare": {}}
    parts += [*background["parts"], *(part for members in background["spare"].values() for part in members)]
    assert {*parts} <= {*world.parts} and background["spare"].keys() <= {*attributes}
    if texts := model.get("texts"):
        assert [*texts] == columns_of(world, world.editable())
    for column, (target, neutral) in (texts or {}).items():
        name, _, wanted = column.partition("/")
        attribute = world.attribute(name)
        meant = phrase_classes(world, name, [target, *([neutral] if isinstance(neutral, str) else neutral)])
        first = attribute.class_index(wanted) if wanted else 1
        assert meant == [first, *(k for k in range(len(attribute.classes)) if k != first)]


@pytest.mark.parametrize("world", [world for world in WORLDS if world != "heads"])
def test_every_method_has_its_experiment_in_every_world(world):
    methods = {Path(name).stem for name in COMPLETE if Path(name).parent == Path(OF_WORLDS["heads"])}
    assert methods - {"demo"} <= {Path(name).stem for name in COMPLETE if name.startswith(OF_WORLDS[world])}


def test_runs_of_different_worlds_share_no_folder():
    own = [name for name in COMPLETE if name.startswith(tuple(OF_WORLDS.values()))]
    folders = [read_config(find_config(name)).get("run", {}).get("name") or Path(name).stem for name in own]
    assert len({*folders}) == len(own)


def entries():
    for name in COMPARED:
        for method, told in yaml.safe_load(find_config(name).read_text())["methods"].items():
            yield pytest.param(told, id=f"{name}: {method}")


@pytest.mark.parametrize("told", entries())
def test_every_method_of_a_comparison_is_an_experiment_with_known_options(told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    configs = [told["config"]] if isinstance(told["config"], str) else told["config"]
    options = {**told.get("options", {}), **dict.fromkeys(told["varies"], 3)}
    words = [f"--{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in options.items()]
    with pytest.raises(SystemExit) as exit_:
        main(["fit", *(f"--config={c}" for c in configs), *words, "--print_config"])
    assert exit_.value.code == 0
    read = yaml.safe_load(capsys.readouterr().out)
    for place in told["varies"]:
        value = read
        for key in place.split("."):
            value = value[key]
        assert value == 3


@pytest.mark.parametrize("name", COMPARED)
def test_comparisons_are_read_by_their_verb(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["compare", "--config", str(find_config(name)), "--print_config"])
    assert exit_.value.code == 0
    read = yaml.safe_load(capsys.readouterr().out)
    world, asked = world_of(read["generator"]), read["attributes"]
    assert {*asked} <= {*world.names} and {*read["clips"]} <= {*asked}
    for method in read["methods"].values():
        options = method["options"]
        assert options.get("model.init_args.attributes", columns_of(world, asked)) == columns_of(world, asked)
        assert options.get("data.init_args.labels", asked) == asked


def test_the_comparison_of_domains_names_all_comparisons(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["compare", "--config", str(find_config(OF_DOMAINS)), "--print_config"])
    assert exit_.value.code == 0
    assert {*yaml.safe_load(capsys.readouterr().out)["domains"].values()} == {*COMPARED}


@pytest.mark.parametrize("name", SWEPT)
def test_every_parameter_of_a_sweep_is_a_setting_of_its_experiment(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sweep = read_sweep(find_config(name))
    space = space_of(sweep.parameters)
    for end in ("low", "high"):
        draws = {
            p.name: p.grid[0 if end == "low" else -1] if p.grid else getattr(p.distribution, end)
            for p in space.parameters
        }
        words = sweep.command_line(space.values(draws))
        program, verb, *rest = words[words.index("lightning") :]
        with pytest.raises(SystemExit) as exit_:
            main([verb, *rest, "--print_config"])
        assert exit_.value.code == 0 and sweep.program == program
        read = yaml.safe_load(capsys.readouterr().out)
        for place, wanted in {**space.searched(draws), **{".".join(k): v for k, v in space.constants.items()}}.items():
            value = read
            for key in place.split("."):
                value = value[key]
            assert value == wanted, place
    assert sweep.metric.startswith("val/")  # the labeller's, never the judge's
