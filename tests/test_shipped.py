import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from sat3d.shipped import companion, manifest, register, shipped_path
from sat3d.world import WORLDS, load_world


@pytest.fixture
def folder(tmp_path):
    """A folder of weights with one entry, `toy`."""
    source = tmp_path / "export.safetensors"
    source.write_bytes(b"weights" * 100)
    record(source, tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def record(source, folder, name="toy", **extra):
    what = {
        "kind": "generator",
        "command": "lightning fit --config toy.yaml",
        "seconds": 1.23,
        "metrics": {"psnr": 24.5},
    }
    return register(name, source, folder=folder, **{**what, **extra})


def test_what_is_registered_is_found_with_its_record(folder):
    assert shipped_path("toy", folder).read_bytes() == b"weights" * 100
    entry = manifest(folder)["toy"]
    assert entry["sha256"] == hashlib.sha256(b"weights" * 100).hexdigest()
    assert (entry["licence"], entry["command"], entry["metrics"]) == (
        "Apache-2.0",
        "lightning fit --config toy.yaml",
        {"psnr": 24.5},
    )


def test_an_unknown_name_lists_the_known_ones(folder):
    with pytest.raises(FileNotFoundError, match=r"'tyo'.*toy"):
        shipped_path("tyo", folder)


def test_a_missing_file_names_the_command_that_makes_it(folder):
    (folder / "toy.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"lightning fit --config toy.yaml"):
        shipped_path("toy", folder)


def test_a_truncated_file_is_refused(folder):
    (folder / "toy.safetensors").write_bytes(b"weights" * 99)
    with pytest.raises(ValueError, match=r"693 bytes where the manifest says 700"):
        shipped_path("toy", folder)


def test_a_changed_file_of_the_same_size_is_refused_also_after_a_good_read(folder):
    shipped_path("toy", folder)
    (folder / "toy.safetensors").write_bytes(b"weighty" * 100)
    with pytest.raises(ValueError, match=r"sha256"):
        shipped_path("toy", folder)


def test_registering_again_replaces_one_entry_and_keeps_the_others(folder, tmp_path):
    newer = tmp_path / "newer.safetensors"
    newer.write_bytes(b"better")
    record(newer, folder, "other")
    record(newer, folder, metrics={"psnr": 25.0}, seed=3)
    assert set(manifest(folder)) == {"toy", "other"}
    assert manifest(folder)["toy"]["metrics"] == {"psnr": 25.0}
    assert manifest(folder)["toy"]["seed"] == 3
    assert shipped_path("toy", folder).read_bytes() == b"better"


def test_a_record_that_cannot_be_written_changes_nothing(folder, tmp_path):
    before = (folder / "manifest.json").read_text()
    newer = tmp_path / "newer.safetensors"
    newer.write_bytes(b"better")
    with pytest.raises(ValueError, match=r"Out of range float"):
        record(newer, folder, metrics={"psnr": float("nan")})
    assert (folder / "manifest.json").read_text() == before
    assert shipped_path("toy", folder).read_bytes() == b"weights" * 100
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "toy.safetensors"}


def test_a_damaged_manifest_says_so(folder):
    (folder / "manifest.json").write_text('{"toy": ')
    with pytest.raises(ValueError, match=r"manifest.json is damaged"):
        manifest(folder)


def test_a_generator_of_ours_finds_the_networks_that_go_with_it(folder):
    source = folder / "toy.safetensors"
    for name in ("toycars64", "toycars-judge", "toycars-64", "others-judge"):
        record(source, folder, name)
    assert companion("toycars64", "judge", folder) == "toycars-judge"
    assert companion("toycars64", "labeller", folder) is None
    assert companion("toycars128", "judge", folder) == "toycars-judge"  # of the same family
    for other in ("trucks64", "stylegan2-ada-ffhq", "runs/toycars64.safetensors", "512"):
        assert companion(other, "judge", folder) is None, other


def test_shipped_companions_are_those_of_the_world():
    for world in map(load_world, WORLDS):
        name = world.domain.generator
        for role in ("labeller", "judge", "parser", "identity", "clip"):
            assert companion(f"{name}64", role) == (f"{name}-{role}" if f"{name}-{role}" in manifest() else None)
    assert companion("toyfaces64", "judge") == "toyfaces-judge"


def test_everything_shipped_matches_its_record():
    known = manifest()
    for name in known:
        assert shipped_path(name).stat().st_size == known[name]["bytes"]
    assert sum(entry["bytes"] for entry in known.values()) <= 45e6
    assert json.dumps(known, allow_nan=False)


def test_trainings_that_end_together_all_have_their_record(folder, tmp_path):
    files = [tmp_path / f"{k}.safetensors" for k in range(8)]
    for k, file in enumerate(files):
        file.write_bytes(bytes([k]) * 1000)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda file: record(file, folder, file.stem), files))
    assert {file.stem for file in files} < manifest(folder).keys()
