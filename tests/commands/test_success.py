"""`success` on runs of tiny networks, through the door."""

import csv
import json
import shutil

import pytest
import yaml

from sat3d.cli import main


@pytest.fixture(scope="module")
def runs(toys, tmp_path_factory):
    root = tmp_path_factory.mktemp("success")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("SAT3D_CACHE", str(root / "cache"))
        source = {"generator": toys.generator, "scorer": toys.scorer, "count": 16}
        settings = {f"data.init_args.source.init_args.{k}": v for k, v in source.items()}
        settings |= {"data.init_args.val": 4, "data.init_args.test": 4, "data.init_args.batch_size": 4}
        settings |= {"trainer.accelerator": "cpu", "trainer.enable_progress_bar": "false"}
        settings |= {"model.init_args.generator": toys.generator, "trainer.max_epochs": 1}
        words = [f"--{k}={v}" for k, v in settings.items()]
        nets = {"styleae-code": "[8]", "plugen": "8"}
        for name, hidden in nets.items():
            config = f"experiments/toyfaces/{name}.yaml"
            seeds = range(2 if name == "plugen" else 1)
            for seed in seeds:
                own = [f"--model.init_args.hidden={hidden}", f"--model.init_args.seed={seed}"]
                main(["fit", "--config", config, *words, *own])
        main(
            [
                "fit",
                "--config",
                config,
                *words,
                f"--model.init_args.hidden={hidden}",
                "--data.init_args.val=5",
                "--run.name=other",
            ]
        )
        yield root


@pytest.fixture(scope="module")
def unlabelled(toys, runs):
    """A run whose training saw no labels, in which an editor with these names came out."""
    folder = runs / "runs/direction/0"
    shutil.copytree(runs / "runs/plugen/0/editor", folder / "editor")
    data = {"class_path": "sat3d.data.StyleCodeDataModule", "init_args": {"generator": toys.generator}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": data}))
    return "runs/direction/0"


def success(toys, runs, monkeypatch, *words, asked="[runs/styleae-code/0,runs/plugen/0,runs/plugen/1]"):
    monkeypatch.chdir(runs)
    monkeypatch.setenv("SAT3D_CACHE", str(runs / "cache"))
    main(["success", f"--runs={asked}", f"--judge={toys.judge}", "--identity=null", "--strengths=[1.0,4.0]", *words])


def test_grades_methods_on_the_same_edits(toys, runs, monkeypatch, capsys):
    success(toys, runs, monkeypatch, "--count=3", "--examples=2", "--out=out")
    told = capsys.readouterr().out
    assert "| styleae-code | " in told and "| plugen | " in told and "| hat | smile | beard | parameters |" in told
    with (runs / "out/successes.csv").open() as file:
        rows = list(csv.DictReader(file))
    edits = {(row["method"], row["seed"]): [] for row in rows}
    for row in rows:
        edits[row["method"], row["seed"]].append((row["attribute"], row["target"], row["code"]))
    assert list(edits) == [("styleae-code", "0"), ("plugen", "0"), ("plugen", "1")]
    assert all(asked == edits["plugen", "0"] and len(asked) == 9 for asked in edits.values())  # 3 codes, 3 attributes
    assert {row["code"] for row in rows} == {"12", "13", "14"}  # the test codes
    summary = json.loads((runs / "out/successes.json").read_text())
    assert summary["plugen"]["edits"] == 18 and summary["styleae-code"]["edits"] == 9
    assert (runs / "out/edits.png").stat().st_size > 500


def test_tells_every_change_of_class(toys, runs, monkeypatch, capsys):
    words = ["--count=3", "--examples=0", "--transitions=hat", "--kept=[]", "--out=changes"]
    success(toys, runs, monkeypatch, *words, asked="[runs/styleae-code/0]")
    told = capsys.readouterr().out
    assert "poses are read off pictures to within" in told and "| change | edits | success | reached | psnr |" in told
    with (runs / "changes/transitions.csv").open() as file:
        rows = list(csv.DictReader(file))
    classes = {row["target"] for row in rows} | {row["source"] for row in rows}
    assert all(row["source"] != row["target"] for row in rows) and len(rows) == 3 * (len(classes) - 1)
    assert all(0 <= float(row["turned"]) <= 180 for row in rows)
    assert (runs / "changes/transitions.md").read_text().strip() in told


def test_reads_editors_within_a_run(toys, runs, monkeypatch):
    success(
        toys,
        runs,
        monkeypatch,
        "--count=2",
        "--out=out2",
        "--examples=0",
        "--attributes=[smile]",
        asked="[runs/plugen/0/editor]",
    )
    assert json.loads((runs / "out2/successes.json").read_text())["plugen"]["edits"] == 2
    assert not (runs / "out2/edits.png").exists()


def test_takes_codes_from_another_run_or_config(toys, runs, unlabelled, monkeypatch):
    few = ["--count=2", "--out=out4", "--examples=0", "--attributes=[smile]"]
    success(toys, runs, monkeypatch, *few, asked=f"[{unlabelled},runs/plugen/0]")
    both = json.loads((runs / "out4/successes.json").read_text())
    for summary in both.values():
        del summary["facts"]
    assert both["direction"] == both["plugen"]  # the same editor, on the same codes
    with pytest.raises(ValueError, match="codes: none of the runs"):
        success(toys, runs, monkeypatch, *few, asked=f"[{unlabelled}]")
    success(toys, runs, monkeypatch, *few, "--codes=runs/plugen/0/config.yaml", asked=f"[{unlabelled}]")
    assert json.loads((runs / "out4/successes.json").read_text())["direction"]["success"] == both["plugen"]["success"]


def test_the_labeller_decides_no_test(toys, runs, monkeypatch):
    labeller = f"--judge={toys.scorer}"
    with pytest.raises(ValueError, match="labelled the training codes"):
        success(toys, runs, monkeypatch, labeller)
    success(
        toys,
        runs,
        monkeypatch,
        labeller,
        "--split=val",
        "--count=2",
        "--out=out3",
        "--examples=0",
        asked="[runs/plugen/0]",
    )
    assert (runs / "out3/table.md").is_file()


@pytest.mark.parametrize(
    "words, message",
    [
        (["--count=5"], "count=5: the runs have 4 test codes"),
        (["--names=[a]"], "names: 1 for 3 runs"),
        (["--strengths=[2.0,1.0]"], "must rise"),
        (["--attributes=[nose]"], "attributes: 'nose'"),
        (["--runs=[runs/plugen/0,runs/other/0]"], "other codes, labels or splits"),
        (["--runs=[runs/plugen/0/checkpoints]"], "no editor"),
    ],
)
def test_says_what_does_not_fit(toys, runs, monkeypatch, words, message):
    with pytest.raises((ValueError, OSError), match=message):
        success(toys, runs, monkeypatch, "--count=2", *words)
