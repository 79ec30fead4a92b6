import hashlib

import pytest

from sat3d.cli import main
from sat3d.generators import CheckpointError, load_generator, save_generator, tiny_generator
from tests.generators.released_format import released_file, torch_file
from tests.generators.test_released import rosinality


def told(capsys, *args) -> tuple[dict[str, str], list[list[str]]]:
    """Run `inspect`; return its rows by name, and the rows of its table."""
    main(["inspect", *map(str, args)])
    above, _, table = capsys.readouterr().out.partition("\n\n")
    return dict(line.split(maxsplit=1) for line in above.splitlines()), [line.split() for line in table.splitlines()]


def test_a_released_file_is_described(tmp_path, capsys):
    path = tmp_path / "network.pkl"
    path.write_bytes(released_file("eg3d"))
    rows, table = told(capsys, path)
    assert rows["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert rows["layout"].startswith(
        "released: G (TriPlaneGenerator); D (Discriminator); G_ema (TriPlaneGenerator), which"
    )
    assert rows["architecture"].startswith("EG3D") and rows["resolution"] == "128 px"
    assert rows["codes"] == "z 8, c 25, w 14 x 8"
    assert rows["cameras"] == "radius 2.7, pivot (0.0, 0.0, 0.2), field of view 18.837 degrees"
    assert rows["planes"].startswith("axes") and rows["rays"] == "8 px, 4 + 4 samples"
    assert "non-commercial" in rows["licence"]
    layers = load_generator(path).style_space.layers
    assert [row[0] for row in table[1:]] == [y.name for y in layers]
    assert [[int(n) for n in row[-4:]] for row in table[1:]] == [
        [y.resolution, y.ws_index, y.start, y.size] for y in layers
    ]


def test_other_files_are_described_too(tmp_path, capsys):
    generator = tiny_generator(1, "stylegan2")
    save_generator(generator, tmp_path / "ours.safetensors")
    (tmp_path / "theirs.pt").write_bytes(torch_file(rosinality(generator.state_dict())))
    for name, layout in (
        ("ours.safetensors", "sat3d"),
        ("theirs.pt", "rosinality: g_ema (Generator), which is described here"),
    ):
        rows, table = told(capsys, tmp_path / name, "--layers", "false")
        assert rows["layout"] == layout and rows["resolution"] == "32 px" and table == []


def test_a_file_that_is_not_read_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"file='nowhere\.pkl': there is no such file"):
        main(["inspect", "nowhere.pkl"])
    with pytest.raises(FileNotFoundError, match=r"file='nobody': neither a file nor a known name"):
        main(["inspect", "--file", "nobody"])
    (tmp_path / "bad.pkl").write_bytes(b"cos\nsystem\nX\x01\0\0\0x\x85R.")
    with pytest.raises(CheckpointError, match=r"bad\.pkl: os\.system.*not executed"):
        main(["inspect", str(tmp_path / "bad.pkl")])
