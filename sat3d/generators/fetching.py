"""Fetching a released network's file from a URL that the user gives."""

from __future__ import annotations

import http.client
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from tqdm.auto import tqdm

from sat3d.generators.catalogue import Entry, compare_with_record, entries, record_use
from sat3d.generators.pickles import CheckpointError
from sat3d.generators.released import declare_released, read_checkpoint
from sat3d.replacing import replacing

CHUNK, TIMEOUT = 2**20, 60


def fetch(name: str, url: str) -> Path:
    """Download the file of a released network to where `load_generator` finds it: whole and checked, or not at all.

    Args:
        name: of the network.
        url: `https:` or `file:`.

    Raises:
        ValueError: the name is unknown, or the URL is of another kind.
        FileExistsError: the file is there already.
        OSError: it cannot be fetched, or not be written.
        CheckpointError: what came is not this network, or not the file that was used before.
    """
    if name not in entries():
        raise ValueError(f"name={name!r} is no released network; known are {', '.join(entries())}")
    entry = entries()[name]
    if urlsplit(url).scheme not in ("https", "file"):
        raise ValueError(f"url={url!r}: give an https: or file: URL")
    if entry.path.exists():
        raise FileExistsError(f"name={name!r}: {entry.path} is there already; remove it to fetch it again")
    folder = entry.path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot write to {folder} ({error.strerror}); SAT3D_ZOO names another folder") from error
    with replacing(entry.path) as partial:
        _download(entry, url, partial)
    record_use(entry.path)
    return entry.path


def _download(entry: Entry, url: str, partial: Path) -> None:
    try:
        with _opener().open(url, timeout=TIMEOUT) as response:
            size = int(response.headers.get("Content-Length") or 0)
            with (
                partial.open("wb") as file,
                tqdm(total=size or None, unit="B", unit_scale=True, desc=entry.file) as bar,
            ):
                while chunk := response.read(CHUNK):
                    bar.update(file.write(chunk))
    except (OSError, http.client.HTTPException) as error:
        raise OSError(f"url={url!r}: {error}") from error
    if size and partial.stat().st_size != size:
        raise OSError(f"url={url!r}: {partial.stat().st_size:,} bytes came of {size:,}; fetch it again")
    try:
        compare_with_record(entry.path, partial)
        entry.check(declare_released(read_checkpoint(partial)))
    except CheckpointError as error:
        told = str(error).replace(f"{partial}: ", "")
        raise CheckpointError(f"url={url!r}: what came is not {entry.file}: {told}") from error


def _opener() -> urllib.request.OpenerDirector:
    """Speak https and file only: a redirection to anything else has no handler."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.FileHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
