"""Codes and labels in every kind of file: what comes back, and what is refused."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sat3d.data import LabelledLatentDataModule, LatentFiles
from sat3d.data.tables import read_codes, read_table
from sat3d.generators import save_generator, tiny_generator

CODES = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
LABELS = np.random.default_rng(1).standard_normal((12, 3))
NAMES = ("gender", "age", "yaw")


def csv(array, header=()):
    lines = [",".join(header)] if header else []
    return "\n".join(lines + [",".join(repr(float(x)) for x in row) for row in array]) + "\n"


def dumped(value, protocol=4):
    return pickle.dumps(value, protocol)


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content)
        elif name.endswith(".npy"):
            np.save(path, content)
        elif name.endswith(".npz"):
            np.savez(path, **content)
        elif name.endswith(".pt"):
            torch.save(content, path)
        else:
            save_file({key: torch.as_tensor(value) for key, value in content.items()}, path)
        return str(path)

    return write


WPLUS = np.repeat(CODES[:, None], 18, 1)
CODE_FILES = {
    "flat.npy": CODES,
    "double.npy": CODES.astype(np.float64),
    "layered.npy": WPLUS,
    "singleton.npy": CODES[:, None, :, None],
    "released.npy": WPLUS[:, None],
    "one.npz": {"w": CODES},
    "many.npz#w": {"w": CODES, "other": LABELS},
    "codes.safetensors#w": {"w": CODES, "a": LABELS},
    "plain.csv": csv(CODES),
    "named.csv": csv(CODES, "abcde"),
    "array.pickle": dumped(WPLUS[:, None]),
    "dict.pickle": dumped({"Latent": WPLUS[:, None]}),
    "old.pickle": dumped({"Latent": WPLUS[:, None]}, 2),
    "lists.pickle": dumped([row.tolist() for row in CODES]),
    "rows.pickle": dumped({"w": [row[None, None] for row in CODES], "labels": ["cat"] * 12}),
    "tensors.pt": {"w": [torch.from_numpy(row)[None] for row in CODES]},
}


@pytest.mark.parametrize("name", CODE_FILES)
def test_codes_come_back_from_every_file(name, write):
    file, _, entry = name.partition("#")
    path = write(file, CODE_FILES[name])
    entry = entry or ("w" if name == "rows.pickle" else "")
    codes = read_codes(f"{path}#{entry}" if entry else path)
    assert codes.dtype == np.float32 and np.array_equal(codes, CODES)


LABEL_FILES = {
    "flat.npy": (LABELS, None),
    "singleton.npy": (LABELS[:, :, None], None),
    "columns.npz": (dict(zip(NAMES, LABELS.T, strict=True)), NAMES),
    "columns.safetensors": ({k: v.copy() for k, v in zip(sorted(NAMES), LABELS.T, strict=True)}, sorted(NAMES)),
    "named.csv": (csv(LABELS, NAMES), NAMES),
    "plain.csv": (csv(LABELS), None),
    "att.pickle": (dumped({"Attribute": [LABELS[:, :, None]]}), None),
    "lists.pickle": (dumped([row.tolist() for row in LABELS]), None),
    "columns.pickle": (dumped(OrderedDict((k, v.tolist()) for k, v in zip(NAMES, LABELS.T, strict=True))), NAMES),
    "records.pickle": (dumped([dict(zip(NAMES, map(float, row), strict=True)) for row in LABELS]), NAMES),
}


@pytest.mark.parametrize("name", LABEL_FILES)
def test_labels_come_back_from_every_file(name, write):
    content, names = LABEL_FILES[name]
    table = read_table(write(name, content))
    assert table.names == (None if names is None else tuple(names)) and not table.classes
    assert np.array_equal(table.values, LABELS)


def test_one_column_is_a_table(write):
    assert np.array_equal(read_table(write("one.npy", LABELS[:, 0])).values, LABELS[:, :1])


def test_text_becomes_class_numbers_and_what_is_missing_nan(write):
    table = read_table(write("a.csv", "species,age\ndog,3\ncat,\n,5.5\nwild,1\n"))
    assert table.classes == {0: ("cat", "dog", "wild")}
    assert np.array_equal(table.values, [[1, 3], [0, np.nan], [np.nan, 5.5], [2, 1]], equal_nan=True)
    table = read_table(write("a.pickle", dumped({"w": CODES, "labels": ["dog", "cat"] * 6})) + "#labels")
    assert table.classes == {0: ("cat", "dog")} and table.values[:, 0].tolist() == [1, 0] * 6


def test_answers_of_the_face_service(write):
    """As StyleFlow's file has them: a list for each picture, empty where no face was found."""

    def answer(age, gender):
        attributes = {"age": age, "gender": gender, "headPose": {"yaw": age / 10}, "hairColor": [{"color": "brown"}]}
        return [{"faceId": "x", "faceAttributes": attributes}]

    answers = [answer(20.0, "male"), [], answer(31.0, "female"), answer(5.0, "male")]
    table = read_table(write("all_att.pickle", dumped({"Attribute": [answers]})))
    assert table.names == ("faceId", "faceAttributes/age", "faceAttributes/gender", "faceAttributes/headPose/yaw")
    assert np.array_equal(table.values[:, 1], [20, np.nan, 31, 5], equal_nan=True)
    assert np.array_equal(table.values[:, 2], [1, np.nan, 0, 1], equal_nan=True)
    assert np.array_equal(table.values[:, 3], [2, np.nan, 3.1, 0.5], equal_nan=True)


class Malicious:
    def __reduce__(self):
        return os.system, ("touch executed",)


class Custom:
    pass


def bomb():
    value = [1.0] * 100
    for _ in range(5):
        value = [value] * 100
    return value


@pytest.mark.parametrize(
    "value, message",
    [
        (lambda: {"Latent": Malicious()}, "not executed"),
        (lambda: [CODES, Malicious()], "not executed"),
        (lambda: {"Latent": eval}, "refused"),
        (lambda: [[Custom()]], "Custom, which is no plain data"),
        (bomb, "than a file of .* bytes can hold"),
        (lambda: [CODES] * 40, "than a file of .* bytes can hold"),
        (lambda: [[[[[[[[[[[1, 2], 2], 2], 2], 2], 2], 2], 2], 2], 2], 2], "deep"),
        (lambda: [CODES[0], CODES[0, :3]], r"row 1 has the shape \(3,\), row 0 has \(5,\)"),
        (lambda: {"a": b"bytes"}, "bytes"),
        (lambda: [10**400], "bounds"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("reader", [read_codes, read_table])
def test_pickles_that_hold_more_than_data(value, message, reader, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        reader(write("bad.pickle", dumped(value())))
    assert not (tmp_path / "executed").exists()


def test_object_arrays_are_refused(write, tmp_path):
    np.save(tmp_path / "objects.npy", np.array([Malicious(), None], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"codes=.*holds no plain numbers"):
        read_codes(str(tmp_path / "objects.npy"))


@pytest.mark.parametrize("name", [n for n in CODE_FILES if n not in ("plain.csv", "named.csv")])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_files_are_named(name, share, write):
    file = write(name.partition("#")[0], CODE_FILES[name])
    data = Path(file).read_bytes()
    Path(file).write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=f"codes='{file}"):
        read_codes(file)


WRONG = {
    "text.npy": (np.array([["a", "b"]] * 3), "text where numbers are expected"),
    "flat.npy": (CODES[0], r"has the shape \(5,\)"),
    "deep.npy": (np.zeros((3, 2, 2, 2)), r"has the shape \(3, 2, 2, 2\)"),
    "layers.npy": (np.where(np.arange(12)[:, None, None] == 7, np.arange(18)[:, None], WPLUS), "18 layers of row 7"),
    "nan.npy": (np.where(np.arange(12)[:, None] == 4, np.nan, CODES), "row 4 is not finite"),
    "nan_layers.npy": (np.where(np.arange(12)[:, None, None] == 4, np.inf, WPLUS), "row 4 is not finite"),
    "many.npz": ({"w": CODES, "z": CODES}, r"holds w \(12, 5\), z \(12, 5\): choose one by codes: .*many.npz#NAME"),
    "short.csv": ("1,2\n3\n", "line 2 has 1 cells, the first has 2"),
    "empty.csv": ("", "empty"),
    "twice.csv": ("a,a\n1,2\n", "same name"),
    "codes.json": ("{}", r"end in \.npy, \.npz"),
    "uneven.pickle": (dumped({"a": [1.0, 2.0], "b": [1.0]}), r"unequal lengths: a \(2,\), b \(1,\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_hold_something_else(name, write):
    content, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        read_codes(write(name, content))


def test_entries_and_files_that_are_not_there(write):
    with pytest.raises(ValueError, match=r"no entry 'v'; there is w \(12, 5\)"):
        read_codes(write("one.npz", {"w": CODES}) + "#v")
    with pytest.raises(FileNotFoundError, match=r"labels='none\.npy': there is no such file"):
        read_table("none.npy")
    with pytest.raises(ValueError, match="column a: 'x' in row 1 is no number, though others are"):
        read_table(write("mixed.csv", "a\n1\nx\n"))


def test_files_are_put_side_by_side(write):
    light = np.random.default_rng(2).standard_normal((12, 1, 2, 1))
    files = [write("light.npy", light), write("att.npy", LABELS)]
    source = LatentFiles(write("w.npy", WPLUS), files, columns=["l0", "l1", *NAMES])
    assert len(source) == 12 and source.camera(torch.arange(2)) is None
    assert np.array_equal(source.values, np.concatenate([light.reshape(12, 2), LABELS], 1))
    data = LabelledLatentDataModule(source, ["yaw", "l0"], val=2, test=2)
    data.prepare_data()
    data.setup()
    batch = data.latents([3, 9])
    low, high = LABELS[:8, 2].min(), LABELS[:8, 2].max()
    assert np.allclose(batch.labels[:, 0], 2 * (LABELS[[3, 9], 2] - low) / (high - low) - 1, atol=1e-5)
    assert np.array_equal(batch.codes, CODES[[3, 9]]) and batch.camera is None and batch.index.tolist() == [3, 9]


def test_what_does_not_fit_together(write, tmp_path):
    codes, labels, named = write("w.npy", CODES), write("a.npy", LABELS), write("b.csv", csv(LABELS, NAMES))
    with pytest.raises(ValueError, match=r"codes='.*w.npy' has 12 rows, labels='.*c.npy' has 9"):
        LatentFiles(codes, write("c.npy", LABELS[:9])).schema  # noqa: B018
    with pytest.raises(ValueError, match="does not name its columns: give the names of all 3 as columns"):
        LatentFiles(codes, labels).schema  # noqa: B018
    with pytest.raises(ValueError, match="columns names 2 columns, labels have 3"):
        LatentFiles(codes, named, columns=["a", "b"]).schema  # noqa: B018
    with pytest.raises(ValueError, match="a name stands twice among gender, age, yaw, gender"):
        LatentFiles(codes, [named, named]).schema  # noqa: B018
    with pytest.raises(ValueError, match="labels names no file"):
        LatentFiles(codes, [])
    save_generator(tiny_generator(kind="stylegan2"), tmp_path / "tiny.safetensors")
    generator = str(tmp_path / "tiny.safetensors")
    with pytest.raises(ValueError, match=r"are 5 wide; those of space 'w' of generator='.*' are 16"):
        len(LatentFiles(codes, named, generator=generator))
    assert len(LatentFiles(write("z.npy", np.zeros((12, 16))), named, space="z", generator=generator)) == 12
