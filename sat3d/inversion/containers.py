"""The files that pictures come in: their size from the header, and of their parts those alone that make pixels.

Decoders are handed nothing else, so no EXIF, colour profile, comment, thumbnail or animation is ever parsed by them.
Formats are read as their specifications have them: PNG (W3C, 3rd edition), JPEG (ITU-T T.81), WebP (RFC 9649), TIFF 6.0
and BMP.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FORMATS = ("PNG", "JPEG", "WebP", "BMP", "TIFF")
MOST_PARTS = 100_000
"""Chunks or segments of a file: a picture of 50 MiB in libpng's chunks of 8 KiB has 6,400."""
MOST_SCANS = 100
"""Scans of a progressive JPEG: about ten are usual, and even an empty one costs a pass over the whole picture."""
MOST_VALUES = 2**18
"""Values of one tag of a TIFF; the colours of a palette of 16 bits are 196,608."""

ANIMATED = "holds an animation; save one frame of it as PNG"
DAMAGED = "is damaged; save it anew as PNG"
TRUNCATED = "is truncated: it ends before its picture does; copy or save it again"


class ContainerError(ValueError):
    """Say what is wrong with a file, as the end of a sentence that begins with its name."""


@dataclass(frozen=True)
class Container:
    """Hold a picture that is not decoded yet.

    Args:
        format: one of `FORMATS`.
        width: pixels, as stored.
        height: pixels, as stored.
        data: the file without what makes no pixels.
        orientation: EXIF's, 1 to 8; 1 if there is none or it makes no sense.
    """

    format: str
    width: int
    height: int
    data: bytes
    orientation: int = 1


def open_container(data: bytes) -> Container:
    """Find out by its content what a file is, and take out what makes its pixels.

    Raises:
        ContainerError: it is damaged, truncated, animated, or no picture of these formats.
    """
    for starts, reader in _READERS:
        if starts.match(data):
            try:
                return reader(data)
            except (struct.error, IndexError) as error:
                raise ContainerError(TRUNCATED) from error
    raise ContainerError(f"{_kind_of(data)}; give {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")


def _kind_of(data: bytes) -> str:
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for pattern, kind in _OTHERS:
        if pattern.match(start):
            return kind
    printable = start and all(byte >= 32 or byte in b"\t\r\n\f" for byte in start)
    return "is text, not a picture" if printable else "is no picture of a known format"


def _png(data: bytes) -> Container:
    kept, orientation = [data[:8]], None
    size: tuple[int, int] | None = None
    for kind, body, chunk in _png_chunks(data):
        if (kind == b"IHDR") != (size is None):
            raise ContainerError(DAMAGED)  # the header comes first, and once
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", body)
            size = (width, height)
        elif kind == b"acTL" and struct.unpack_from(">I", body)[0] > 1:
            raise ContainerError(ANIMATED)
        elif kind == b"eXIf" and orientation is None:
            orientation = _orientation(body)
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            if zlib.crc32(memoryview(chunk)[4:-4]) != int.from_bytes(chunk[-4:], "big"):
                raise ContainerError(DAMAGED)
            kept.append(chunk)
    assert size is not None  # the last chunk is IEND, and the first was IHDR
    return Container("PNG", *size, b"".join(kept), orientation or 1)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    position = 8
    for _ in range(MOST_PARTS):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ContainerError(TRUNCATED)
        chunk = data[position:end]
        yield kind, chunk[8:-4], chunk
        if kind == b"IEND":
            return
        position = end
    raise ContainerError(DAMAGED)


_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the type of colour
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7


def check_rows(png: Container) -> None:
    """Count the bytes of a PNG's rows, since decoders leave those that are missing black.

    Call it when the size in the header is known to be no trap: it takes the time of decoding.

    Raises:
        ContainerError: rows are missing or damaged.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", png.data, 16)
    if colour not in _SAMPLES or depth not in (1, 2, 4, 8, 16) or interlaced > 1:
        raise ContainerError(DAMAGED)
    expected = 0
    for x, y, step_x, step_y in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if columns > 0 and rows > 0:
            expected += rows * (1 + (columns * _SAMPLES[colour] * depth + 7) // 8)
    inflating = zlib.decompressobj()
    try:
        for kind, waiting, _ in _png_chunks(png.data):
            while kind == b"IDAT" and waiting and expected > 0:
                expected -= len(inflating.decompress(waiting, 2**18))
                waiting = inflating.unconsumed_tail
    except zlib.error as error:
        raise ContainerError(DAMAGED) from error
    if expected > 0:
        raise ContainerError("has fewer rows than its header tells; copy or save it again")


_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # headers of frames: all of this row but tables
_TABLES = {0xC4, 0xCC, 0xDB, 0xDD}
_LONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length


def _jpeg(data: bytes) -> Container:
    kept, position, size, orientation = [data[:2]], 2, None, None
    for _ in range(MOST_PARTS):
        found = _MARKER.search(data, position)
        if found is None:
            raise ContainerError(TRUNCATED)
        marker, position = found[1][0], found.end()
        if marker in _LONE:
            continue
        if marker == 0xD9:
            raise ContainerError(DAMAGED)  # the end comes before the picture
        (length,) = struct.unpack_from(">H", data, position)
        body = data[position + 2 : position + length]
        if length < 2 or position + length > len(data):
            raise ContainerError(TRUNCATED)
        if marker in _FRAMES:
            if size is not None:
                raise ContainerError(DAMAGED)
            height, width = struct.unpack_from(">HH", body, 1)
            size = (width, height)
        elif marker == 0xE1 and body.startswith(b"Exif\0\0") and orientation is None:
            orientation = _orientation(body)
        # The headers of JFIF and Adobe tell the colour space.
        told = (marker, body[:5]) in ((0xE0, b"JFIF\0"), (0xEE, b"Adobe"))
        if marker in _FRAMES or marker in _TABLES or told:
            kept.append(bytes((0xFF, marker)) + data[position : position + length])
        position += length
        if marker == 0xDA:  # compressed data, in which 0xFF is never followed by this marker
            scans = data[position - length - 2 :]
            if size is None or scans.count(b"\xff\xda") > MOST_SCANS:
                raise ContainerError(DAMAGED)
            return Container("JPEG", *size, b"".join([*kept, scans]), orientation or 1)
    raise ContainerError(DAMAGED)


def _webp(data: bytes) -> Container:
    kept: list[bytes] = []
    canvas, size, orientation = None, None, None
    position, end = 12, 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise ContainerError(TRUNCATED)
    for _ in range(MOST_PARTS):
        if position >= end or (size is not None and canvas is None):
            break  # the simple format has one chunk, and what comes behind it is not read
        kind, length = struct.unpack_from("<4sI", data, position)
        body, position = data[position + 8 : position + 8 + length], position + 8 + length + length % 2
        if position > end + 1:
            raise ContainerError(TRUNCATED)
        if kind == b"VP8X":
            if kept:
                raise ContainerError(DAMAGED)
            flags, width, height = body[0], body[4:7], body[7:10]
            canvas = (int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1)
            if flags & 2:
                raise ContainerError(ANIMATED)
            body = bytes((flags & 16, 0, 0, 0)) + width + height  # of what else there is, only transparency stays
        elif kind in (b"ANIM", b"ANMF"):
            raise ContainerError(ANIMATED)
        elif kind in (b"VP8 ", b"VP8L") and size is None:
            size = _webp_size(kind, body)
        elif kind == b"EXIF" and orientation is None:
            orientation = _orientation(body)
        if kind in (b"VP8X", b"ALPH", b"VP8 ", b"VP8L"):
            kept.append(kind + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2))
    if size is None or canvas not in (None, size):
        raise ContainerError(DAMAGED)
    inner = b"WEBP" + b"".join(kept)
    return Container("WebP", *size, b"RIFF" + len(inner).to_bytes(4, "little") + inner, orientation or 1)


def _webp_size(kind: bytes, body: bytes) -> tuple[int, int]:
    if kind == b"VP8 ":
        start, width, height = struct.unpack_from("<3sHH", body, 3)
        if start != b"\x9d\x01\x2a":
            raise ContainerError(DAMAGED)
        return width & 0x3FFF, height & 0x3FFF
    signature, bits = struct.unpack_from("<BI", body)
    if signature != 0x2F:
        raise ContainerError(DAMAGED)
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _bmp(data: bytes) -> Container:
    offset, header = struct.unpack_from("<II", data, 10)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if width < 1 or bits not in (1, 4, 8, 16, 24, 32):
        raise ContainerError(DAMAGED)
    if compression not in (0, 3, 6):  # as they are, or as masks say
        raise ContainerError("is a compressed BMP; save it as PNG")
    if offset + (width * bits + 31) // 32 * 4 * abs(height) > len(data):
        raise ContainerError(TRUNCATED)
    return Container("BMP", width, abs(height), data)


# Tags that make pixels, and the bytes of a value by its type. Resolution, names, dates, places, profiles, previews and
# layers are not among them.
_TIFF_TAGS = {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339}
_TIFF_TYPES = {3: 2, 4: 4}
_TIFF_COMPRESSIONS = {1, 5, 8, 32773, 32946}  # none, LZW, deflate, packed bits, deflate's old number


def _tiff(data: bytes) -> Container:
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    entries, following = _directory(data, order, start)
    if following:
        raise ContainerError("holds several pages; save one of them as PNG")
    if start < 8:
        raise ContainerError(DAMAGED)
    kept = {tag: entry for tag, entry in entries.items() if tag in _TIFF_TAGS}
    total = 0
    for entry in kept.values():
        type_, count, place = struct.unpack_from(order + "HII", entry, 2)
        length = count * _TIFF_TYPES.get(type_, len(data) + 1)
        total += length
        outside = length > 4 and place + length > len(data)
        if count > MOST_VALUES or total > len(data) or outside:
            raise ContainerError(DAMAGED)
    width, height, compression = (_value(kept.get(tag), order) for tag in (256, 257, 259))
    if compression not in (None, *_TIFF_COMPRESSIONS):
        raise ContainerError("is a TIFF of a compression that is not read here; save it as PNG")
    if not width or not height:
        raise ContainerError(DAMAGED)
    for tag, side in ((322, width), (323, height)):
        if (_value(kept.get(tag), order) or 0) > side + 1024:  # tiles may stand over the edge
            raise ContainerError(DAMAGED)
    plain = bytearray(data)
    table = struct.pack(order + "H", len(kept)) + b"".join(kept.values()) + bytes(4)
    plain[start : start + len(table)] = table
    return Container("TIFF", width, height, bytes(plain), _oriented(entries, order))


def _directory(data: bytes, order: str, start: int) -> tuple[dict[int, bytes], int]:
    """Read the entries of a TIFF's directory, 12 bytes each, by tag, and where the next directory is."""
    (count,) = struct.unpack_from(order + "H", data, start)
    end = start + 2 + 12 * count
    (following,) = struct.unpack_from(order + "I", data, end)
    entries = [data[i : i + 12] for i in range(start + 2, end, 12)]
    return {int(struct.unpack_from(order + "H", entry)[0]): entry for entry in entries}, following


def _value(entry: bytes | None, order: str) -> int | None:
    """Return a whole number that stands in its entry."""
    if entry is None:
        return None
    type_, count = struct.unpack_from(order + "HI", entry, 2)
    if type_ not in (3, 4) or count != 1:
        return None
    return int(struct.unpack_from(order + "HI"[type_ - 3], entry, 8)[0])


def _oriented(entries: dict[int, bytes], order: str) -> int:
    value = _value(entries.get(0x112), order)
    return value if value is not None and 1 <= value <= 8 else 1


def _orientation(exif: bytes) -> int:
    """Read the orientation alone from EXIF, which is a TIFF without a picture; 1 from what makes no sense."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        entries, _ = _directory(exif[: start + 2 + 12 * count] + bytes(4), order, start)
    except struct.error:
        return 1
    return _oriented(entries, order)


_READERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], Container]], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"\xff\xd8\xff"), _jpeg),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    (re.compile(rb"II\*\0|MM\0\*"), _tiff),
    # By the length of its header: two letters alone may begin a text.
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), _bmp),
)
_OTHERS = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"gif8", "is a GIF; save one frame of it as PNG"),
        (rb"....ftyp(hei|hev|mif|msf)", "is a HEIC picture; save it as JPEG"),
        (rb"....ftypavi", "is an AVIF picture; save it as PNG"),
        (rb"....ftyp|\x1ae\xdf\xa3|riff....avi |....moov", "is a film; save one frame of it as PNG"),
        (rb"%pdf|%!ps", "is a document, not a picture; save its picture as PNG"),
        (rb"<svg|<\?xml.*<svg|<!--.*<svg", "is an SVG drawing; save it as PNG"),
        (rb"<!doctype html|<html|<\?xml.*<html|<head|<body", "is a web page, not a picture"),
        (rb"8bps", "is a Photoshop file; save it as PNG"),
        (rb"pk\x03\x04|\x1f\x8b|7z\xbc\xaf|rar!", "is an archive; take the picture out of it"),
        (rb"ii\+\0|mm\0\+", "is a TIFF for more than 4 GB; save it as PNG"),
    )
)
