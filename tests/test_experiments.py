"""Every experiment is one that the door can read; that each of them runs is shown beside what it trains."""

import pytest
import yaml

from sat3d.cli import main
from sat3d.commands.configs import find_config, known_configs

COMPLETE = [name for name in known_configs() if not name.startswith(("experiments/trainer/", "experiments/logger/"))]


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
