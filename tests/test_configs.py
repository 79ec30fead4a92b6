import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from jsonargparse import Namespace

from sat3d.cli import main
from sat3d.commands.trainer import _experiment
from sat3d.configs import find_config, read_config, resolve_configs, with_bases

GRANDPARENT = """
model: {class_path: lightning.pytorch.demos.boring_classes.BoringModel}
data: {class_path: lightning.pytorch.demos.boring_classes.BoringDataModule}
trainer: {accelerator: cpu, max_steps: 3, limit_val_batches: 1, limit_test_batches: 1, enable_progress_bar: false}
"""
PARENT = """
base: grandparent.yaml
trainer: {max_steps: 2, callbacks: [LearningRateMonitor, ModelSummary]}
"""
CHILD = """
base: parent.yaml
model: {class_path: lightning.pytorch.demos.boring_classes.BoringModel}
trainer: {callbacks: [ModelSummary], gradient_clip_val: 1}
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write configs into an empty working directory, by their stems."""
    monkeypatch.chdir(tmp_path)

    def write(**configs):
        for stem, text in configs.items():
            Path(f"{stem}.yaml").write_text(text)
        return Path(f"{stem}.yaml")

    return write


@pytest.fixture
def child(written):
    return written(grandparent=GRANDPARENT, parent=PARENT, child=CHILD)


def test_a_config_is_read_behind_those_that_it_changes(child):
    assert [path.stem for path in with_bases(child)] == ["grandparent", "parent", "child"]
    words = resolve_configs(["fit", "--config=child.yaml", "--trainer.max_steps=5"])
    chain = [word for stem in ("grandparent", "parent", "child") for word in ("--config", f"{stem}.yaml")]
    assert words == ["fit", *chain, "--trainer.max_steps=5"]


def test_the_door_makes_of_a_config_what_is_read_of_it(child, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "--config", "child.yaml", "--print_config"])
    made, read = yaml.safe_load(capsys.readouterr().out), read_config(child)
    assert "base" not in read
    assert read["trainer"]["max_steps"] == 2 and read["trainer"]["callbacks"] == ["ModelSummary"]
    assert made["model"]["class_path"] == read["model"]["class_path"]
    assert made["data"]["class_path"] == read["data"]["class_path"]
    callbacks = [callback["class_path"].rpartition(".")[2] for callback in made["trainer"]["callbacks"]]
    assert {**made["trainer"], "callbacks": callbacks}.items() >= {
        **read["trainer"],
        "callbacks": ["ModelSummary"],
    }.items()


def test_options_of_another_class_are_not_taken_over(written):
    base = "data: {class_path: One, init_args: {count: 1, source: {class_path: A, init_args: {seed: 1}}}}"
    kept = written(base=base, child="base: base.yaml\ndata: {init_args: {source: {init_args: {more: 2}}}}")
    source = {"class_path": "A", "init_args": {"seed": 1, "more": 2}}
    assert read_config(kept) == {"data": {"class_path": "One", "init_args": {"count": 1, "source": source}}}
    other = {"class_path": "B", "init_args": {"more": 2}}
    changed = written(child=yaml.safe_dump({"base": "base.yaml", "data": {"init_args": {"source": other}}}))
    assert read_config(changed)["data"]["init_args"] == {"count": 1, "source": other}


def test_a_shipped_experiment_is_found_as_a_base(written):
    child = written(child="base: experiments/toyfaces/sefa.yaml\nmodel: {init_args: {named: 3}}")
    base = read_config(find_config("experiments/toyfaces/sefa.yaml"))
    assert with_bases(child)[0] == find_config("experiments/toyfaces/sefa.yaml")
    base["model"]["init_args"]["named"] = 3
    assert read_config(child) == base


@pytest.mark.parametrize(
    "configs",
    [
        {"child": "base: child.yaml"},
        {"grandparent": "base: child.yaml", "parent": PARENT, "child": CHILD},
        {"grandparent": "base: ../{folder}/parent.yaml", "parent": PARENT, "child": CHILD},
    ],
)
def test_a_base_that_leads_back_is_refused(written, configs):
    folder = Path.cwd().name
    child = written(**{stem: text.replace("{folder}", folder) for stem, text in configs.items()})
    with pytest.raises(ValueError, match="leads back to it"):
        with_bases(child)
    with pytest.raises(ValueError, match="leads back to it"):
        resolve_configs(["fit", "--config", "child.yaml"])


def test_a_missing_base_is_named(written):
    with pytest.raises(FileNotFoundError, match=r"no file experiments/toyfaces/seffa\.yaml.*toyfaces/sefa\.yaml"):
        with_bases(written(child="base: experiments/toyfaces/seffa.yaml"))


def test_an_empty_config_changes_nothing(written):
    child = written(base="trainer: {max_steps: 1}", child="base: base.yaml\n", empty="# nothing yet\n")
    assert read_config(child) == {}
    assert read_config(Path("child.yaml")) == {"trainer": {"max_steps": 1}}


def test_a_recorded_run_needs_none_of_the_configs_that_it_was_made_of(child):
    main(["fit", "--config", "child.yaml"])
    for stem in ("grandparent", "parent", "child"):
        Path(f"{stem}.yaml").unlink()
    recorded = read_config(Path("runs/child/0/config.yaml"))
    assert recorded["trainer"]["max_steps"] == 2
    main(["test", "--ckpt_path", "runs/child/0/checkpoints/last.ckpt"])
    assert Path("runs/child/0/test/config.yaml").is_file()


@pytest.mark.parametrize("joined", [True, False])
def test_null_is_null_within_settings_too(joined, capsys):
    names = ["model.init_args.background.parser", "data.init_args.seed", "model.init_args.loss_weights.ramp_steps"]
    values = ["null", "3", "null"]
    words = [f"--{n}{'=' if joined else ' '}{v}" for n, v in zip(names, values, strict=True)]
    with pytest.raises(SystemExit):
        main(["fit", "--config", "experiments/toyfaces/sat3d.yaml", *" ".join(words).split(), "--print_config"])
    read = yaml.safe_load(capsys.readouterr().out)
    background, weights = (read["model"]["init_args"][name] for name in ("background", "loss_weights"))
    assert background["parser"] is None and background["parts"] == [
        "background",
        "shirt",
    ]  # what stands beside it stays
    assert weights["ramp_steps"] is None and weights["prob"] == 0.1 and read["data"]["init_args"]["seed"] == 3


def test_null_leaves_what_stands_beside_it_in_a_dictionary(written):
    config = written(mine="model: {init_args: {queries: {eyes: {budget: 5, first: 2}, mouth: {budget: 1}}}}")
    options = ["--model.init_args.queries.hat.first=3", "--model.init_args.queries.eyes.budget=null"]
    queries = {"eyes": {"budget": None, "first": 2}, "mouth": {"budget": 1}, "hat": {"first": 3}}
    *_, flag, last = resolve_configs(["--config", str(config), *options])
    assert flag == "--config" and json.loads(last) == {"model": {"init_args": {"queries": queries}}}


def test_what_agents_of_wandb_write_for_null_is_null():
    words = ["--model.init_args.preselect=None", "--model.init_args.labeller", "None", "--print_config", "--a", "-1"]
    asked = ["--model.init_args.preselect=null", "--model.init_args.labeller=null", "--print_config", "--a=-1"]
    assert resolve_configs(words) == asked


def test_a_run_is_named_by_its_config_whatever_is_null(child):
    given = SimpleNamespace(absolute=str(child.resolve()))
    assert _experiment(Namespace(config=[given, None])) == "child"  # what is null stands in a config without a file
