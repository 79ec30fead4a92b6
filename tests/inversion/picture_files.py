"""Files of pictures, whole and damaged, that tests make themselves; and how a refusal is looked at."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sat3d.inversion.pictures import PictureError, read_picture

ROWS, COLUMNS = np.mgrid[:32, :40]
PICTURE = np.stack([ROWS * 8 % 256, COLUMNS * 6, (ROWS + COLUMNS) * 3], axis=-1).astype(np.uint8)


def saved(picture, form, mode=None, **options):
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    (image.copy() if mode is None else image.convert(mode)).save(file, form, **options)
    return file.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(png, kind, body):
    """Put a chunk behind the header of a PNG."""
    return png[:33] + chunk(kind, body) + png[33:]


def header(width, height, depth=8, colour=2):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def png_claiming(width, height):
    return header(width, height) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def resized_png(width, height, interlaced):
    """Make a PNG of 40x32 pixels whose header tells another size."""
    data = interlaced_png() if interlaced else PNG
    told = struct.pack(">II", width, height) + data[24:29]
    return data[:8] + chunk(b"IHDR", told) + data[33:]


def interlaced_png():
    rows = []
    for x, y, right, down in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        rows += [b"\0" + row.tobytes() for row in PICTURE[y::down, x::right]]
    told = struct.pack(">IIBBBBB", 40, 32, 8, 2, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", told)
        + chunk(b"IDAT", zlib.compress(b"".join(rows)))
        + chunk(b"IEND", b"")
    )


def segment(marker, body):
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def with_segment(jpeg, marker, body):
    """Put a segment behind the start of a JPEG."""
    return jpeg[:2] + segment(marker, body) + jpeg[2:]


def exif(orientation, order=">"):
    return {">": b"MM\0*", "<": b"II*\0"}[order] + struct.pack(order + "IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


PNG, JPEG = saved(PICTURE, "PNG"), saved(PICTURE, "JPEG", quality=95)
WEBP, BMP, TIFF = saved(PICTURE, "WEBP", lossless=True), saved(PICTURE, "BMP"), saved(PICTURE, "TIFF")


def frames(form):
    return saved(PICTURE, form, save_all=True, append_images=[Image.fromarray(255 - PICTURE)])


def refused(source, match, **options):
    """Read what must not be read, and look at the message: one line that names the option."""
    with pytest.raises(PictureError, match=match) as caught:
        read_picture(source, **options)
    told = str(caught.value)
    assert told.startswith(options.get("name", "picture")[:6]) and "\n" not in told and len(told) < 400
    return told
