"""Files that are checked: shipped weights, released networks, and what Weights & Biases leaves."""

import pytest

from sat3d.commands.checks import checkpoints, networks, report, tracking
from sat3d.generators.catalogue import entries, record_use
from sat3d.shipped import register

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path):
    """A folder of three shipped weights."""
    for name in ("one", "two", "three"):
        (tmp_path / "export.safetensors").write_bytes(name.encode() * 100)
        register(
            name,
            tmp_path / "export.safetensors",
            kind="clip",
            command="none",
            seconds=1,
            metrics={},
            folder=tmp_path / "checkpoints",
        )
    return tmp_path / "checkpoints"


def shipped(folder):
    return {each.name: each for each in checkpoints.check(folder)}


def test_shipped_weights_that_are_whole_are_one_line(folder):
    (found,) = checkpoints.check(folder)
    assert found.state == "ok" and found.name == "3 files" and "one, three, two" in found.told
    assert [each.state for each in checkpoints.check()] == ["ok"]


def test_each_way_of_being_damaged_is_told_apart(folder):
    (folder / "one.safetensors").write_bytes(b"onf" + b"one" * 99)
    (folder / "two.safetensors").write_bytes(b"two" * 50)
    (folder / "three.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 500\n")
    found = shipped(folder)
    assert {each.state for each in found.values()} == {"problem"}
    assert "is damaged: its sha256" in found["one"].told
    assert "is truncated or damaged: 150 bytes where the manifest says 300" in found["two"].told
    assert "pointer of Git LFS" in found["three"].told and found["three"].advice == "git lfs pull"
    assert found["one"].advice.endswith("install --force-reinstall sat3d")
    (folder / "one.safetensors").unlink()
    (folder.parent / ".git").mkdir()
    found = shipped(folder)
    assert found["one"].told == "one.safetensors is missing"
    assert found["one"].advice == f"git -C {folder.parent} checkout -- checkpoints/one.safetensors"


def test_without_a_manifest_nothing_can_be_told(folder):
    (folder / "manifest.json").unlink()
    assert [each.state for each in checkpoints.check(folder)] == ["problem"]
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):  # which becomes a finding where checks are run
        list(checkpoints.check(folder))


def test_released_networks_are_compared_with_their_first_use(monkeypatch, tmp_path):
    monkeypatch.setenv("SAT3D_ZOO", str(tmp_path))
    (found,) = networks.check()
    assert found.state == "note" and f"none of {len(entries())} known ones" in found.told
    first, second = list(entries().values())[:2]
    for entry in (first, second):
        entry.path.write_bytes(entry.name.encode())
        record_use(entry.path)
    second.path.write_bytes(b"another")
    good, bad = networks.check()
    assert good.state == "ok" and good.name == first.name and good.facts["bytes"] == len(first.name)
    assert bad.state == "problem" and bad.name == second.name and "not the file of its first use" in bad.told


@pytest.fixture
def here(monkeypatch, tmp_path):
    """An empty folder to work in and an empty home, without variables of wandb."""
    for name in ("API_KEY", "MODE", "DIR", "BASE_URL", "CONFIG_DIR", "IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def login():
    found = {each.name: each for each in tracking.check()}["login"]
    assert KEY not in repr(found)
    return found


def test_a_login_is_found_wherever_it_is_kept(here, monkeypatch):
    assert login().state == "note" and login().advice.startswith("wandb login")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert login().told == "mode offline, which needs no key"
    monkeypatch.delenv("WANDB_MODE")
    (here / ".netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    assert login().told == f"mode online, with a key for api.wandb.ai from {here}/.netrc"
    assert report.discreet(login().told).endswith("from ~/.netrc")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert login().facts == {"mode": "online", "server": "api.wandb.ai", "key": "WANDB_API_KEY"}


def test_a_key_of_another_server_is_none_for_this_one(here, monkeypatch):
    (here / ".netrc").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    (here / ".config/wandb").mkdir(parents=True)
    (here / ".config/wandb/settings").write_text("[default]\nbase_url = https://wandb.example.org\nmode = online\n")
    assert login().state == "note" and "wandb.example.org" in login().told
    (here / "wandb").mkdir()
    (here / "wandb/settings").write_text("[default]\nmode = offline\n")  # this folder's come first
    assert login().facts["mode"] == "offline"


def test_damaged_files_of_keys_say_nothing_of_their_words(here):
    (here / ".netrc").write_text(f"machine api.wandb.ai login user passwort {KEY}\n{KEY}\n")
    (here / "wandb").mkdir()
    (here / "wandb/settings").write_text(f"{KEY}\n")
    assert login().state == "note"


def test_runs_that_wait_to_be_sent_are_counted(here):
    for folder, synced in (
        ("wandb/offline-run-20260101_000000-a", False),
        ("runs/sat3d/0/wandb/offline-run-20260102_000000-b", False),
        ("runs/sat3d/1/wandb/offline-run-20260103_000000-c", True),
        ("runs/sat3d/1/wandb/run-20260104_000000-d", False),
    ):
        (here / folder).mkdir(parents=True)
        (here / folder / "run-x.wandb").touch()
        if synced:
            (here / folder / "run-x.wandb.synced").touch()
    found = {each.name: each for each in tracking.check()}["offline runs"]
    assert found.facts == {"waiting": 2} and found.told.startswith("2 offline runs to be sent")


def test_wandb_need_not_be_there(here, monkeypatch):
    monkeypatch.setattr(tracking, "version_of", lambda name: None)
    (found,) = tracking.check()
    assert found.state == "note" and found.advice.endswith("install wandb")
