"""The containers of checkpoints: plain pickles, and both formats of `torch.save`."""

from __future__ import annotations

import encodings.cp437  # noqa: F401 - zipfile would import it while it reads
import struct
import zipfile
from pathlib import Path
from typing import Any

from sat3d.generators.pickles.machine import Machine
from sat3d.generators.pickles.opcodes import run
from sat3d.generators.pickles.rules import CheckpointRules
from sat3d.generators.pickles.sources import Span, SpanFile
from sat3d.generators.pickles.tensors import Storage, StorageType
from sat3d.generators.pickles.values import Budget, CheckpointError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
ZIP_MAGIC = b"PK\x03\x04"
ENTRY_HEADER = struct.Struct("<4s22xHH")


def read_file(path: str | Path) -> Any:
    """Read a checkpoint file as data; tensors stay in the file until they are asked for.

    Raises:
        CheckpointError: it is damaged, or asks for something that is refused.
        OSError: it cannot be read.
    """
    try:
        return read_span(Span.open(Path(path)))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_span(data: Span, budget: Budget | None = None) -> Any:
    """Read a pickle or a file of `torch.save` as data, nested ones included.

    Raises:
        CheckpointError: it is damaged, or asks for something that is refused.
    """
    budget = budget or Budget()
    if budget.depth == 0:
        raise CheckpointError("pickles inside pickles inside pickles: refused")
    budget.depth -= 1
    try:
        if data.part(0, min(4, len(data))).bytes() == ZIP_MAGIC:
            return _read_zip(data, budget)
        return _read_stream(data, budget)
    finally:
        budget.depth += 1


def _nested(budget: Budget) -> Any:
    return lambda data: read_span(Span.of(data) if isinstance(data, bytes) else data, budget)


class _Storages:
    """Collect the storages that a pickle declares by key."""

    def __init__(self) -> None:
        self.known: dict[str, Storage] = {}

    def declare(self, key: str, kind: StorageType, count: int) -> Storage:
        """Return the one storage of a key.

        Raises:
            CheckpointError: if it was declared otherwise before.
        """
        if not 0 <= count < 2**48:
            raise CheckpointError(f"a storage of {count} elements: refused")
        known = self.known.setdefault(key, Storage(kind.dtype, count))
        if (known.dtype, known.count) != (kind.dtype, count):
            raise CheckpointError("damaged: one storage is declared in two ways")
        return known


def _read_stream(data: Span, budget: Budget) -> Any:
    """Read a plain pickle, or the older format of `torch.save`: five pickles, then the storages' bytes."""
    storages = _Storages()
    rules = CheckpointRules(budget, _nested(budget), storages.declare)
    machine = Machine(data, rules, budget)
    first = run(machine)
    if type(first) is not int or first != LEGACY_MAGIC:
        return first
    values = []
    for _ in range(4):
        machine = Machine(data.part(machine.at, len(data) - machine.at), rules, budget)
        data = machine.data
        values.append(run(machine))
    _, system, value, keys = values
    if type(system) is dict and system.get("little_endian") is False:
        raise CheckpointError("written on a big-endian machine: not read")
    if type(keys) is not list or not all(type(key) is str for key in keys) or set(keys) != storages.known.keys():
        raise CheckpointError("damaged: the storages in the file are not those that are declared")
    at = machine.at
    for key in keys:
        storage = storages.known[key]
        count = int.from_bytes(data.part(at, 8).bytes(), "little")
        if count != storage.count:
            raise CheckpointError(f"a storage of {storage.count} elements is declared where {count} are")
        storage.locate(data.part(at + 8, storage.nbytes))
        at += 8 + storage.nbytes
    return value


def _read_zip(data: Span, budget: Budget) -> Any:
    """Read the newer format of `torch.save`: an uncompressed archive with one entry for each storage."""
    entries = _entries(data, budget)
    pickled = [name for name in entries if name.endswith("/data.pkl")]
    if len(pickled) != 1:
        raise CheckpointError("an archive that torch.save did not write: it has no single data.pkl")
    folder = pickled[0].removesuffix("data.pkl")
    if any(name.startswith(f"{folder}code/") for name in entries):
        raise CheckpointError("a TorchScript archive, which carries code: refused")
    if f"{folder}byteorder" in entries and entries[f"{folder}byteorder"].bytes() != b"little":
        raise CheckpointError("written on a big-endian machine: not read")
    storages = _Storages()

    def declare(key: str, kind: StorageType, count: int) -> Storage:
        storage = storages.declare(key, kind, count)
        name = f"{folder}data/{key}"
        if name not in entries:
            raise CheckpointError("a storage is declared whose bytes are not in the file")
        storage.locate(entries[name])
        return storage

    return run(Machine(entries[pickled[0]], CheckpointRules(budget, _nested(budget), declare), budget))


def _entries(data: Span, budget: Budget) -> dict[str, Span]:
    """Return where the archive's entries lie; all are stored as they are, or the archive is refused."""
    try:
        with zipfile.ZipFile(SpanFile(data)) as archive:  # type: ignore[arg-type]
            listed = archive.infolist()
    # zipfile raises NotImplementedError for a later version of the format than it reads.
    except (zipfile.BadZipFile, NotImplementedError, ArithmeticError, LookupError, ValueError, struct.error) as error:
        raise CheckpointError(f"a damaged archive: {error}") from error
    budget.spend(len(listed))
    entries: dict[str, Span] = {}
    for entry in listed:
        if entry.filename in entries:
            raise CheckpointError("an archive with two entries of one name: refused")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            raise CheckpointError("an archive that torch.save did not write: an entry is compressed or encrypted")
        header = data.part(entry.header_offset, ENTRY_HEADER.size).bytes()
        magic, name, extra = ENTRY_HEADER.unpack(header)
        if magic != ZIP_MAGIC:
            raise CheckpointError("a damaged archive: an entry is not where it is said to be")
        entries[entry.filename] = data.part(entry.header_offset + ENTRY_HEADER.size + name + extra, entry.file_size)
    return entries
