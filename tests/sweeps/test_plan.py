"""A trial's command line is the one that W&B's own code makes."""

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from sat3d.sweeps.plan import read_sweep

VALUES = {
    "model.init_args.lr": 1e-05,
    "flag": True,
    "off": False,
    "none": None,
    "list": [1, 2.5],
    "word": "a b",
    "whole": 3,
    "model": {"init_args": {"x": 0.1}},
}


def sweep(tmp_path, **keys):
    content = {"method": "random", "metric": {"name": "val/x"}, "parameters": {"a": {"value": 1}}, **keys}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    return read_sweep(tmp_path / "sweep.yaml")


def agents_words(command, program, values):
    """Fill the macros as `wandb.wandb_agent.Agent._command_run` does, from W&B's own lists."""
    lists = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    lists |= {"interpreter": ["python"], "program": [program], "env": ["/usr/bin/env"]}
    words = []
    for chunk in create_sweep_command(list(command) if command else None):
        words += lists[chunk[2:-1]] if chunk.startswith("${") else [chunk]
    return words


@pytest.mark.parametrize("macro", ["args", "args_no_equals", "args_no_hyphens", "args_no_boolean_flags", "args_json"])
def test_words_are_those_of_the_agent(tmp_path, monkeypatch, macro):
    monkeypatch.setenv("PLACE", "here")
    command = ["${env}", "${interpreter}", "${program}", "fit", "--root=${envvar:PLACE}/x", "${" + macro + "}", "--end"]
    found = sweep(tmp_path, program="lightning", command=command).command_line(VALUES)
    assert found == agents_words(command, "lightning", VALUES)


def test_without_a_command_it_is_the_agents_default(tmp_path):
    found = sweep(tmp_path, program="train.py").command_line({"a": 1})
    assert found == agents_words(None, "train.py", {"a": 1}) == ["/usr/bin/env", "python", "train.py", "--a=1"]


def test_options_follow_the_command_and_do_not_replace_what_is_searched(tmp_path):
    plan = sweep(tmp_path, command=["fit", "${args}"])
    longer = plan.with_options({"trainer.callbacks": None, "b": [1], "c": "d"})
    assert longer.command_line({"a": 1}) == ["fit", "--a=1", "--trainer.callbacks=null", "--b=[1]", "--c=d"]
    assert longer.content != plan.content
    with pytest.raises(ValueError, match="--options: a is among the parameters"):
        plan.with_options({"a": 2})


def test_configs_of_the_command(tmp_path):
    plan = sweep(tmp_path, command=["fit", "--config", "a.yaml", "--config=b.yaml", "-c", "c.yaml", "${args}"])
    assert plan.configs == ["a.yaml", "b.yaml", "c.yaml"]


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"methd": "grid"}, "the key methd is unknown; did you mean method"),
        ({"method": "anneal"}, "method='anneal' is unknown; choose random, grid, bayes"),
        ({"metric": {"goal": "maximize"}}, "metric needs a name"),
        ({"metric": {"name": "a", "goal": "up"}}, "goal minimize or maximize"),
        ({"parameters": {}}, "parameters must name"),
        ({"command": "fit"}, "command must be a list"),
        ({"command": ["${args_json_file}"]}, "command: \\$\\{args_json_file\\} is not served here"),
    ],
)
def test_what_cannot_be_run_is_named(tmp_path, keys, message):
    with pytest.raises(ValueError, match=message):
        sweep(tmp_path, **keys).command_line({})
    (tmp_path / "list.yaml").write_text("[1]")
    with pytest.raises(ValueError, match="no sweep in W&B's format"):
        read_sweep(tmp_path / "list.yaml")
