"""Checkpoint files are read as data: what they hold comes back, what they ask for is refused."""

import io
import pickle
import struct
import zipfile
from argparse import Namespace
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest
import torch

from sat3d.generators.pickles import ArrayRecord, CheckpointError, Record, Reference, Span, TensorRecord, read_span
from tests.generators.released_format import dump, stand_in, torch_file


def read(data: bytes):
    return read_span(Span.of(data))


VALUE = {
    "none": None, "yes": True, "no": False, "small": 3, "word": 70000, "negative": -5, "long": 2**80, "minus": -(2**80),
    "float": 1.5, "text": "naïve — 文", "bytes": b"abc", "list": [1, [2, 3], ()], "tuple": (1, 2, 3, 4), "pair": (1, 2),
    "set": {1, 2}, "frozen": frozenset({"a"}), "dict": {1: "a", ("b", 2): [None]}, "empty": {},
}  # fmt: skip


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back_from_every_protocol(protocol):
    assert read(pickle.dumps(VALUE, protocol)) == VALUE


@pytest.mark.parametrize("protocol", range(2, 6))
def test_numbers_and_arrays_of_numpy_come_back(protocol):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = read(pickle.dumps([np.float64(0.1), np.int64(7), np.bool_(True), array, array.T], protocol))
    assert found[:3] == [0.1, 7, True]
    assert all(isinstance(record, ArrayRecord) for record in found[3:])
    assert np.array_equal(found[3].array(), array) and np.array_equal(found[4].array(), array.T)


DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int8, torch.int16, torch.int32,
    torch.int64, torch.bool, torch.complex64, torch.uint16, torch.float8_e5m2,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("how", ["pickle", "zip", "legacy"])
def test_tensors_of_every_type_come_back(dtype, how):
    tensor = (torch.arange(12) % 5).to(dtype).reshape(3, 4)
    value = [tensor, torch.nn.Parameter(tensor, requires_grad=False), tensor[1:, ::2], tensor.t(), tensor[0, 0]]
    data = pickle.dumps(value, 4) if how == "pickle" else torch_file(value, how == "zip")
    for record, expected in zip(read(data), value, strict=True):
        found = record.tensor()
        assert isinstance(record, TensorRecord)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape) == (record.dtype, record.shape)
        assert torch.equal(*(t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (found, expected)))


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_that_share_memory_in_the_file_share_it_here(zipped):
    whole = torch.arange(10.0)
    first, second, other = (r.tensor() for r in read(torch_file([whole, whole[2:5], whole.clone()], zipped)))
    assert second.data_ptr() == first.data_ptr() + 8
    first[2] = 99
    assert second[0] == 99 and other[2] == 2


def test_a_storage_of_a_gpu_is_read_on_the_cpu():
    for zipped in (True, False):
        data = torch_file([torch.arange(3.0)], zipped)
        if zipped:
            archive = zipfile.ZipFile(io.BytesIO(data))
            entries = {name: archive.read(name) for name in archive.namelist()}
            pickled = next(name for name in entries if name.endswith("data.pkl"))
            entries[pickled] = entries[pickled].replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:3")
            data = archived(entries)
        else:
            data = data.replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:3")
        assert b"cuda:3" in data
        assert read(data)[0].tensor().tolist() == [0, 1, 2]


def archived(entries, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_settings_that_torch_stores_come_back():
    value = {
        "args": Namespace(size=8), "size": torch.zeros(2, 3).shape, "device": torch.device("cpu"),
        "dtype": torch.float16, "ordered": OrderedDict(a=1), "array": np.arange(3),
    }  # fmt: skip
    value["ordered"]._metadata = {"version": 1}
    for zipped in (True, False):
        found = read(torch_file(value, zipped))
        assert isinstance(found["args"], Record) and found["args"].state == {"size": 8}
        assert (found["size"], found["device"], found["ordered"]) == ((2, 3), "cpu", {"a": 1})
        assert found["dtype"] is torch.float16
        assert found["array"].array().tolist() == [0, 1, 2]


class Unknown:
    pass


class UnknownDict(dict):
    pass


@pytest.mark.parametrize("protocol", range(5))
def test_objects_of_unknown_classes_become_records(protocol):
    stand_in("training.augment.Pipe", Unknown)
    made = Unknown()
    made.value, made.itself = 3, made
    found = read(dump([made, Unknown], protocol, {"training.augment.Pipe": Unknown}))
    assert found[1] == found[0].cls == Reference("training.augment", "Pipe")
    assert found[0].state["value"] == 3 and found[0].state["itself"] is found[0]


def test_unknown_dictionaries_keep_their_entries():
    stand_in("addict.Dict", UnknownDict)
    found = read(dump(UnknownDict(a=1), 4, {"addict.Dict": UnknownDict}))
    assert found.cls.dotted == "addict.Dict" and found.pairs == [("a", 1)]


HOSTILE = [
    "os.system", "posix.system", "nt.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "builtins.getattr",
    "builtins.__import__", "__builtin__.eval", "importlib.import_module", "operator.attrgetter", "functools.partial",
    "types.CodeType", "types.FunctionType", "marshal.loads", "pickle.loads", "_pickle.loads", "shutil.rmtree",
    "socket.socket", "webbrowser.open", "runpy.run_path", "code.interact", "pdb.run", "ctypes.CDLL", "builtins.open",
    "torch.load", "torch.hub.load", "torch.jit.load", "torch.ops.load_library", "numpy.load", "numpy.lib.npyio.load",
    "numpy.testing._private.utils.runstring", "torch.utils.cpp_extension.load", "torch.serialization.load",
    "torch._utils._rebuild_device_tensor_from_numpy", "torch_utils.custom_ops.get_plugin", "dnnlib.util.open_url",
    "dnnlib.util.call_func_by_name", "torch_utils.persistence._src_to_module", "copyreg.__newobj__", "pip.main",
]  # fmt: skip


@pytest.mark.parametrize("dotted", HOSTILE)
def test_a_call_of_anything_else_is_refused_by_name(dotted):
    module, name = dotted.rsplit(".", 1)
    argument = b"X\x01\0\0\0x"
    texts = b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, name))
    ways = {
        "REDUCE": f"c{module}\n{name}\n".encode() + argument + b"\x85R.",
        "STACK_GLOBAL": b"\x80\x04" + texts + b"\x93" + argument + b"\x85R.",
        "INST": b"(" + argument + f"i{module}\n{name}\n".encode() + b".",
        "OBJ": b"(" + f"c{module}\n{name}\n".encode() + argument + b"o.",
        "hidden": f"ctorch._tensor\n_rebuild_from_type_v2\n(c{module}\n{name}\nN".encode() + argument + b"\x85NtR.",
    }
    for way, data in ways.items():
        with pytest.raises(CheckpointError) as caught:
            read(data)
        assert dotted in str(caught.value) or way == "hidden", way


PACKAGES = ("torch", "numpy", "dnnlib", "pip", "torch_utils")


@pytest.mark.parametrize("dotted", [dotted for dotted in HOSTILE if dotted.split(".")[0] not in PACKAGES])
def test_names_of_the_standard_library_are_refused_without_a_call(dotted):
    module, name = dotted.rsplit(".", 1)
    with pytest.raises(CheckpointError, match=dotted.replace(".", r"\.")):
        read(f"c{module}\n{name}\n.".encode())


def test_a_storage_inside_the_file_is_read_by_the_same_rule():
    inner = b"cposix\nsystem\nX\x01\0\0\0x\x85R."
    outer = b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(inner)) + inner + b"\x85R."
    with pytest.raises(CheckpointError, match=r"posix\.system"):
        read(outer)
    for _ in range(6):
        inner = b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(inner)) + inner + b"\x85R."
    with pytest.raises(CheckpointError, match="inside pickles"):
        read(inner)


def test_a_pickle_of_the_tensorflow_era_says_so():
    with pytest.raises(CheckpointError, match=r"TensorFlow era.*legacy\.py"):
        read(b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81}b.")


def storage(count: int) -> bytes:
    """Pickle a storage of one float that says it had `count`."""
    typed = torch.storage.TypedStorage(
        wrap_storage=torch.zeros(1).untyped_storage(), dtype=torch.float32, _internal=True
    )
    inner = torch_file(typed, zipped=False)
    for what in (b"K\x01N", b"K\x01t"):
        inner = inner.replace(what, b"\x8a\x08" + struct.pack("<q", count) + what[2:])
    return b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(inner)) + inner + b"\x85R"


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def declared(count: int, offset: int, size: int, stride: int) -> bytes:
    parts = storage(count) + number(offset) + number(size) + b"\x85" + number(stride) + b"\x85\x89}"
    return b"\x80\x04ctorch._utils\n_rebuild_tensor_v2\n(" + parts + b"tR."


def test_a_tensor_keeps_to_the_bytes_that_are_there():
    assert read(declared(1, 0, 1, 1)).tensor().tolist() == [0]
    terabyte = 2**38
    for numbers in [
        (terabyte, 0, terabyte, 1), (1, 0, terabyte, 1), (1, 0, terabyte, 0), (1, 0, 2, 0), (1, 1, 1, 1), (1, -1, 1, 1),
        (1, 0, 1, -1), (1, 2**62, 1, 1), (2**62, 0, 1, 1), (-1, 0, 1, 1), (2, 0, 1, 1), (0, 0, 1, 1), (1, 0, -1, 1),
    ]:  # fmt: skip
        with pytest.raises(CheckpointError):
            read(declared(*numbers))


BOMBS = {
    "nested lists": b"(l" * 10 + b"]" * 400_000 + b"a" * 399_999 + b".",
    "nested tuples as a key": b"}" + b")" + b"\x85" * 100_000 + b"Ns.",
    "nested tuples": b")" + b"\x85" * 450_000 + b".",
    "too many instructions": b"N0" * 300_000 + b"N.",
    "a memo of its own size": b"Nr\xff\xff\xff\xffj\xff\xff\xff\xff" * 200_000 + b".",
    "a text of 4 GB": b"X\xff\xff\xff\xffabc.",
    "bytes of 16 EB": b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc.",
    "an integer of 2 GB": b"\x8b\xff\xff\xff\x7fabc.",
    "a long integer": b"\x8b\x00\x00\x01\x00" + b"\x01" * 65536 + b".",
    "a decimal integer": b"I" + b"9" * 5000 + b"\n.",
    "a list that holds itself as a key": b"]q\x00h\x00a}h\x00Ns.",
    "doubling": b"]" + b"q\x00(h\x00h\x00l" * 40 + b"c_codecs\nencode\nh\x00\x85R.",
    "copies of one text": b"c_codecs\nencode\nq\x01X\0\0\x40\0"
    + b"a" * 2**22
    + b"q\x020("
    + b"h\x01h\x02\x85R" * 99
    + b"l.",
    "copies of one set": b"c__builtin__\nset\nq\x01("
    + b"K\x01" * 9999
    + b"lq\x02("
    + b"h\x01h\x02\x85R" * 9999
    + b"l.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_in_a_value_or_a_refusal(name):
    try:
        read(BOMBS[name])
    except CheckpointError:
        assert name not in ("nested tuples",)
    else:
        assert name in ("nested tuples",)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x80", b"\x80\x04", b".", b"0.", b"(.", b"t.", b"R.", b"NR.", b"h\x01.", b"\x80\x09N.", b"P1\n.", b"Q.",
        b"\x82\x01.", b"\x97.", b"\x98.", b"NNs.", b"}NNNu.", b"}(NNNu.", b"}]Ns.", b"Nb.", b"cos", b"I1", b"Sabc\n.",
        b"Fx\n.", b"X\x02\0\0\0\xff\xfe.", b"not a pickle", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"K\x01K\x02a.",
        b"\x95\xff\0\0\0\0\0\0\0N.",
    ],
    ids=repr,
)  # fmt: skip
def test_damaged_pickles_are_refused(data):
    with pytest.raises(CheckpointError):
        read(data)


def test_archives_that_torch_save_did_not_write_are_refused():
    pickled = pickle.dumps([1], 2)
    assert read(archived({"a/data.pkl": pickled})) == [1]
    later = bytearray(archived({"a/data.pkl": pickled}))
    later[later.index(b"PK\x01\x02") + 6] = 99  # the version of the format that is needed to read the entry
    refused = {
        "compressed": archived({"a/data.pkl": pickled}, zipfile.ZIP_DEFLATED),
        "no single data.pkl": archived({"a/other": b""}),
        "TorchScript": archived({"a/data.pkl": pickled, "a/code/x.py": b""}),
        "big-endian": archived({"a/data.pkl": pickled, "a/byteorder": b"big"}),
        "damaged archive": archived({"a/data.pkl": pickled})[:-10],
        "zip file version 9.9": bytes(later),
    }
    for reason, data in refused.items():
        with pytest.raises(CheckpointError, match=reason):
            read(data)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_refused_wherever_it_ends(zipped):
    data = torch_file({"a": torch.arange(4.0), "b": [torch.ones(2, 2)]}, zipped)
    for stop in range(len(data) - 1):
        with pytest.raises(CheckpointError):
            read(data[:stop])


def test_nothing_is_imported_that_a_file_names(monkeypatch):
    class Trap(ModuleType):
        def __getattr__(self, name):
            raise AssertionError(f"{name} was looked up")

    monkeypatch.setitem(__import__("sys").modules, "trapped", Trap("trapped"))
    assert read(b"ctrapped\nanything\n.").dotted == "trapped.anything"


def test_views_of_a_shared_storage_of_booleans_are_no_copies_of_it():
    shared = torch.arange(100_000) % 3 == 0
    for record in read(pickle.dumps([shared[k : k + 1] for k in range(3)], 4)):
        assert record.tensor().untyped_storage().nbytes() == 1
