import errno
import fcntl
import os
from types import SimpleNamespace

import huggingface_hub.constants
import pytest

from sat3d.commands.checks import filesystems, folders


def look(folder, **options):
    return folders.look("name", folder, "advice", **options)


def test_a_folder_is_tried_and_left_as_it_was(tmp_path):
    found = look(tmp_path, stops=True, locks=True)
    assert found.told.endswith("write, fsync and rename work, locks hold")
    assert found.facts["exists"] and found.facts["lock"] and found.facts["free"] > 0
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_tried_where_it_would_be_made(tmp_path):
    found = look(tmp_path / "a" / "b", stops=True)
    assert found.state != "problem" and "(not made yet)" in found.told and not found.facts["exists"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("stops", "state"), [(True, "problem"), (False, "warning")])
def test_what_cannot_be_written_says_why(tmp_path, stops, state):
    (tmp_path / "file").touch()
    found = look(tmp_path / "file" / "below", stops=stops)
    assert (found.state, found.advice) == (state, "advice") and found.told.endswith("file is no folder")
    if folders.Path("/proc/self").is_dir():
        found = look(folders.Path("/proc/self/below"), stops=stops)
        assert found.state == state and "/proc/self/below (not made yet): " in found.told


def test_a_rename_that_fails_is_named_and_nothing_stays(tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(folders.Path, "replace", refuse)
    assert "renaming fails (Invalid cross-device link)" in look(tmp_path).told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("bytes_left", "files_left", "state", "words"),
    [
        (1e8, 10**6, "problem", "full, 100 MB left"),
        (1e12, 3, "problem", "full, 3 files left"),
        (2e9, 10**6, "warning", "little for long runs"),
        (1e12, 10**6, "ok", "1000 GB free"),
    ],
)
def test_a_full_disk(tmp_path, monkeypatch, bytes_left, files_left, state, words):
    files = {"f_favail": files_left, "f_files": 10**7}
    left = SimpleNamespace(f_bavail=int(bytes_left) // 4096, f_frsize=4096, f_blocks=10**9, **files)
    monkeypatch.setattr(os, "statvfs", lambda folder: left)
    found = look(tmp_path, stops=True)
    assert found.state == state and words in found.told
    assert (found.advice == f"df -h {tmp_path}") == (state != "ok")


@pytest.mark.parametrize("blocks", [0, 10**9])
def test_a_filesystem_that_counts_neither_files_nor_blocks_is_not_full(tmp_path, monkeypatch, blocks):
    left = SimpleNamespace(f_bavail=blocks, f_frsize=4096, f_blocks=blocks, f_favail=0, f_files=0)
    monkeypatch.setattr(os, "statvfs", lambda folder: left)
    assert look(tmp_path, stops=True).state == "ok"


def test_locks_are_really_tried(tmp_path, monkeypatch):
    assert filesystems.lock_holds(tmp_path)
    monkeypatch.setattr(filesystems, "RIVAL", "pass")  # a rival that gets the lock all the same
    assert not filesystems.lock_holds(tmp_path)
    found = look(tmp_path, stops=True, locks=True)
    assert found.state == "problem" and found.told.endswith("but locks do not keep other processes out")

    def refuse(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    assert look(tmp_path, stops=True, locks=True).facts["lock"] is False
    assert not list(tmp_path.iterdir())


def test_network_filesystems_are_known_by_their_mounts(tmp_path, monkeypatch):
    here = str(tmp_path.resolve())
    spaced = tmp_path / "a b"
    spaced.mkdir()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"22 21 0:40 / {here} rw,relatime - nfs4 server:/export rw\n"
        f"23 22 0:41 / {here}/a\\040b rw,relatime shared:2 master:1 - xfs /dev/sdb rw\n"
    )
    monkeypatch.setattr(filesystems, "MOUNTS", mounts)
    assert [filesystems.kind(each) for each in (tmp_path, spaced, tmp_path.parent)] == ["nfs4", "xfs", "ext4"]
    found = look(tmp_path, stops=True, locks=True)
    assert found.state == "warning" and found.facts["network"]
    assert "on nfs4;" in found.told and "locks hold; on a network" in found.told
    assert look(tmp_path).state == "ok"  # nothing is locked in it
    assert filesystems.is_network("fuse.sshfs") and not filesystems.is_network("fuse.fuse-overlayfs")


def test_hugging_faces_folder_is_the_one_it_uses():
    assert str(folders.huggingface()) == huggingface_hub.constants.HF_HUB_CACHE


def test_no_folder_for_temporary_files_is_a_problem(monkeypatch):
    def refuse():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(folders.tempfile, "gettempdir", refuse)
    found = folders._temporary()
    assert found.state == "problem" and found.advice == "export TMPDIR=DIR"
