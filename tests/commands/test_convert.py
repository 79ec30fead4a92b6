import pytest
import torch
from safetensors.torch import load_file

from sat3d.cli import main
from sat3d.generators import CheckpointError, load_generator
from tests.generators.released_format import released_file
from tests.generators.test_released import picture


@pytest.fixture
def released(tmp_path):
    path = tmp_path / "network.pkl"
    path.write_bytes(released_file("stylegan2"))
    return path


def test_the_converted_generator_is_the_same(released, tmp_path, capsys):
    main(["convert", str(released), str(tmp_path / "new" / "out.safetensors")])
    before, after = load_generator(released), load_generator(tmp_path / "new" / "out.safetensors")
    assert after.hash == before.hash and after.hash in capsys.readouterr().out
    assert torch.equal(picture(after), picture(before))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.safetensors"]


def test_a_smaller_type_halves_the_file(released, tmp_path):
    main(["convert", str(released), "--out", str(tmp_path / "half.safetensors"), "--dtype", "float16"])
    assert {tensor.dtype for tensor in load_file(tmp_path / "half.safetensors").values()} == {torch.float16}
    torch.testing.assert_close(
        picture(load_generator(tmp_path / "half.safetensors")), picture(load_generator(released)), rtol=0.05, atol=0.05
    )


def test_a_file_that_is_there_is_kept_unless_asked(released, tmp_path):
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="--overwrite true"):
        main(["convert", str(released), str(out)])
    assert out.read_bytes() == b"precious"
    main(["convert", str(released), str(out), "--overwrite", "true"])
    assert load_generator(out).hash == load_generator(released).hash


def test_wrong_settings_are_named_and_leave_nothing(released, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"out='x\.pkl': the name must end in \.safetensors"):
        main(["convert", str(released), "x.pkl"])
    with pytest.raises(FileNotFoundError, match=r"file='nowhere\.pkl'"):
        main(["convert", "nowhere.pkl", str(tmp_path / "out.safetensors")])
    (tmp_path / "bad.pkl").write_bytes(b"cos\nsystem\n.")
    with pytest.raises(CheckpointError, match=r"os\.system"):
        main(["convert", str(tmp_path / "bad.pkl"), str(tmp_path / "out.safetensors")])

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sat3d.generators.zoo.save_file", full)
    with pytest.raises(OSError, match=r"out='.*': cannot write there \(No space left on device\); name another file"):
        main(["convert", str(released), str(tmp_path / "out.safetensors")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.pkl", "network.pkl"]
