"""Every experiment is one that the door can read; that each of them runs is shown beside what it trains."""

import json

import pytest
import yaml

from sat3d.cli import main
from sat3d.configs import find_config, known_configs
from sat3d.sweeps.plan import read_sweep
from sat3d.sweeps.space import space_of

PARTS = ("experiments/trainer/", "experiments/logger/", "experiments/compare/", "experiments/sweeps/")
COMPLETE = [name for name in known_configs() if not name.startswith(PARTS)]
SWEPT = [name for name in known_configs() if name.startswith("experiments/sweeps/")]
OF_DOMAINS = "experiments/compare/worlds.yaml"
COMPARED = [name for name in known_configs() if name.startswith("experiments/compare/") and name != OF_DOMAINS]


@pytest.mark.parametrize("name", COMPLETE)
def test_every_setting_of_an_experiment_is_known_to_its_classes(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["fit", "--config", name, "--print_config"])
    assert exit_.value.code == 0
    read, written = yaml.safe_load(capsys.readouterr().out), yaml.safe_load(find_config(name).read_text())
    for part in ("model", "data"):
        assert read[part]["class_path"].rpartition(".")[2] == written[part]["class_path"].rpartition(".")[2]
        assert written[part].get("init_args", {}).keys() <= read[part].get("init_args", {}).keys()


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
    assert yaml.safe_load(capsys.readouterr().out)["methods"]


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
