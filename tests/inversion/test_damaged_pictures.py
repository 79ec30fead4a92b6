"""Files as nobody should send them: a picture or a PictureError comes out, and nothing else."""

import os
import resource
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sat3d.inversion.containers import MOST_SCANS
from sat3d.inversion.pictures import PictureError, read_picture
from tests.inversion.picture_files import (
    BMP,
    JPEG,
    PICTURE,
    PNG,
    ROWS,
    TIFF,
    WEBP,
    chunk,
    exif,
    header,
    png_claiming,
    refused,
    resized_png,
    saved,
    segment,
    with_chunk,
    with_segment,
)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "is empty"),
        (b"hello there, no picture at all\n", "is text"),
        (b"BM is a car maker, more or less", "is text"),
        (b"  <!DOCTYPE html><html><img src=x></html>", "is a web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg xmlns='x' onload='alert(1)'/>", "is an SVG drawing"),
        (b"<svg/>", "is an SVG drawing"),
        (b"%PDF-1.7\n%\xe2\xe3", "is a document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is a document"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "is a HEIC picture; save it as JPEG"),
        (b"\0\0\0\x18ftypavif" + bytes(40), "is an AVIF picture"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "is a film"),
        (b"\x1a\x45\xdf\xa3" + bytes(40), "is a film"),
        (b"8BPS" + bytes(40), "Photoshop"),
        (b"PK\x03\x04" + bytes(40), "is an archive"),
        (b"II+\0" + bytes(40), "more than 4 GB"),
        (bytes(4000), "no picture of a known format; give PNG, JPEG, WebP, BMP or TIFF"),
        (saved(PICTURE, "PPM"), "no picture of a known format"),
        (saved(PICTURE, "ICO", sizes=[(32, 32)]), "no picture of a known format"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"\xff\xd8\xff", "truncated"),
        (b"RIFF\x04\0\0\0WEBP", "is damaged"),
        (b"RIFF\xff\0\0\0WEBP", "truncated"),
        (b"II*\0", "truncated"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0", "is damaged"),
    ],
    ids=lambda x: None if isinstance(x, bytes) else x[:24],
)
def test_what_is_no_picture_is_told_for_what_it_is(tmp_path, data, kind):
    (tmp_path / "face.png").write_bytes(data)
    assert "face.png" in refused(tmp_path / "face.png", kind, name="target")
    refused(data, kind)


@pytest.mark.parametrize("data", [PNG, JPEG, WEBP, BMP, TIFF], ids=["png", "jpeg", "webp", "bmp", "tiff"])
def test_a_truncated_picture_is_refused_wherever_it_ends(data):
    for kept in sorted({*range(1, min(64, len(data))), *range(64, len(data), 97), len(data) - 20, len(data) // 2}):
        refused(data[:kept], "truncated|damaged|text|no picture|TIFF|text")


def test_damaged_bytes_of_a_png_are_found():
    for place in (17, 45, len(PNG) // 2, len(PNG) - 20):
        data = bytearray(PNG)
        data[place] ^= 0x55
        refused(bytes(data), "damaged|truncated|pixels")


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    refused(tmp_path / "none.png", r"none\.png' does not exist")
    refused("https://example.org/a.png", "does not exist; .*not fetched")
    refused(tmp_path, "is a folder")
    refused("a\0b.png", "cannot be read")
    refused("\ud800.png", "picture=")
    refused("x" * 5000 + ".png", "cannot be read")
    refused(tmp_path / "two\nlines.png", "does not exist")
    (tmp_path / "file").write_bytes(PNG)
    refused(tmp_path / "file" / "a.png", "does not exist")
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "a device or a pipe")
    refused("/dev/zero", "a device or a pipe")
    (tmp_path / "loop.png").symlink_to("loop.png")
    refused(tmp_path / "loop.png", "cannot be read")

    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)  # root may read everything, so the answer is made here
    refused(tmp_path / "file", r"cannot be read \(Permission denied\)")


def test_messages_stay_one_line_whatever_an_upload_is_called():
    told = refused(b"hello there", "is text", name="upload\n\x1b[31m" + "x" * 500)
    assert len(told) < 400 and "\x1b" not in told


def test_limits_are_checked_before_anything_is_read_or_decoded(tmp_path, monkeypatch):
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(2**40)  # a hole: no disk is used, and reading it would end the test
    refused(tmp_path / "large.png", "has more than 50 MiB; save it smaller")
    refused(PNG, "has more than", most_bytes=100)
    monkeypatch.setattr("sat3d.inversion.pictures._DECODERS", {})
    refused(png_claiming(60_000, 60_000), "is 60000x60000 pixels; make its sides 8192 at most")
    refused(png_claiming(2**31 - 1, 2**31 - 1), "make its sides")
    refused(png_claiming(100, 8193), "make its sides")
    refused(png_claiming(1, 1), "is 1x1 pixels; give one with sides of 16 or more")
    refused(png_claiming(0, 100), "sides of 16")
    refused(PNG, "make its sides 30 at most", most_side=30)
    frame = JPEG.index(b"\xff\xc0") + 5
    refused(JPEG[:frame] + struct.pack(">HH", 65500, 65500) + JPEG[frame + 4 :], "65500x65500")
    refused(BMP[:18] + struct.pack("<ii", 50_000, -50_000) + BMP[26:], "truncated|50000x50000")
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16383).to_bytes(3, "little") * 2
    still = b"VP8L" + struct.pack("<IBI", 5, 0x2F, 16383 | 16383 << 14) + b"\0"
    for parts in (canvas + still, still):
        refused(b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WEBP" + parts, "16384x16384")
    width = TIFF.index(struct.pack("<HHI", 256, 4, 1)) if struct.pack("<HHI", 256, 4, 1) in TIFF else None
    if width is None:
        width = TIFF.index(struct.pack("<HHI", 256, 3, 1))
    refused(TIFF[: width + 8] + struct.pack("<I", 60_000) + TIFF[width + 12 :], "60000x32")


def test_our_limit_holds_where_pillow_s_own_would_only_warn_or_forbid(recwarn, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # 1,280 pixels are more than twice that
    assert np.array_equal(read_picture(PNG), PICTURE) and np.array_equal(read_picture(BMP), PICTURE)
    refused(PNG, "make its sides 39 at most", most_side=39)
    assert not recwarn.list


def test_headers_that_claim_another_size_than_the_picture_has():
    refused(png_claiming(1000, 1000), "fewer rows")
    for interlaced in (False, True):
        for width, height in ((40, 33), (41, 32), (40, 1000)):
            refused(resized_png(width, height, interlaced), "fewer rows")
    assert read_picture(resized_png(40, 31, False)).shape == (31, 40, 3)
    refused(BMP[:22] + struct.pack("<i", 4000) + BMP[26:], "truncated")
    frame = JPEG.index(b"\xff\xc0") + 5
    refused(JPEG[:frame] + struct.pack(">HH", 0, 40) + JPEG[frame + 4 :], "40x0")


def test_two_headers_are_one_too_many():
    refused(PNG[:33] + PNG[8:], "damaged")
    frame = JPEG.index(b"\xff\xc0")
    length = 2 + int.from_bytes(JPEG[frame + 2 : frame + 4], "big")
    refused(with_segment(JPEG, 0xC0, JPEG[frame + 4 : frame + length]), "damaged")
    still = WEBP[12:]
    twice = b"VP8X" + struct.pack("<I", 10) + bytes(4) + struct.pack("<I", 39)[:3] + struct.pack("<I", 31)[:3]
    refused(b"RIFF" + struct.pack("<I", 4 + len(twice * 2 + still)) + b"WEBP" + twice * 2 + still, "damaged")


def test_a_jpeg_of_endless_scans_is_refused():
    data = saved(PICTURE, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    assert read_picture(data).shape == PICTURE.shape
    refused(data[:-2] + scan * MOST_SCANS + data[-2:], "damaged")


def test_too_many_parts_are_not_counted_to_the_end():
    refused(PNG[:33] + chunk(b"tEXt", b"") * 200_000 + PNG[33:], "damaged")
    refused(JPEG[:2] + segment(0xFE, b"") * 200_000 + JPEG[2:], "damaged")
    refused(b"\xff\xd8" + b"\xff" * 2**22, "truncated")
    refused(b"\xff\xd8\xff\xfe\0\2" + b"\xff\0" * 2**21, "truncated")


def _tiff(*entries, tail=b""):
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + tail


SIZE = ((256, 4, 1, 100), (257, 4, 1, 100))


@pytest.mark.parametrize(
    "data",
    [
        _tiff(*SIZE),
        _tiff((256, 4, 2, 100), SIZE[1]),
        _tiff(*SIZE, (273, 4, 2**31, 8)),
        _tiff(*SIZE, (273, 4, 2**17, 8), (279, 4, 2**17, 8), tail=bytes(2**19)),  # each inside the file, both not
        _tiff(*SIZE, (273, 12, 4, 8)),
        _tiff(*SIZE, (322, 4, 1, 2**31), (323, 4, 1, 2**31), (324, 4, 1, 8), (325, 4, 1, 100)),
        _tiff(*SIZE, (258, 3, 1, 8), (277, 3, 1, 60000), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 100)),
        _tiff(*SIZE, (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 2**32 - 9), (279, 4, 1, 100)),
        b"II*\0" + struct.pack("<I", 2**32 - 1),
        b"II*\0" + struct.pack("<IH", 2, 0) + bytes(40),
    ],
    ids=range(10),
)
def test_tiffs_that_point_anywhere(data):
    refused(data, "damaged|truncated")


def test_tiffs_of_rare_kinds_say_what_to_do():
    refused(saved(PICTURE, "TIFF", compression="jpeg"), "a compression that is not read here; save it as PNG")
    refused(saved(Image.fromarray(ROWS.astype(np.float32)), "TIFF"), r"not read here \(F\); save it as PNG of 8 bits")
    refused(saved(Image.fromarray(PICTURE).convert("LAB"), "TIFF"), r"\(LAB\)")


def mutated(data, rng):
    """Damage a file as transfers, disks and attackers do."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        at, n = int(rng.integers(len(data))), int(rng.integers(1, 9))
        match rng.integers(7):
            case 0:
                data[at] ^= 1 << rng.integers(8)
            case 1:
                data[at : at + n] = rng.bytes(n)
            case 2:
                data[at : at + n] = b"\xff" * n
            case 3:
                data[at : at + n] = bytes(n)
            case 4:
                del data[at : at + n * 8]
            case 5:
                data[at:at] = data[max(at - 40, 0) : at]
            case 6 if rng.random() < 0.3:
                del data[at + 1 :]
        data = data or bytearray(1)
    return bytes(data)


def with_sums(data):
    """Make a PNG's checksums true again, so that damage gets past them."""
    fixed, at = bytearray(data), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if at + 12 + length > len(data):
            break
        fixed[at + 8 + length : at + 12 + length] = struct.pack(">I", zlib.crc32(fixed[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(fixed)


SMALL = Image.fromarray(PICTURE[:24, :24])
FUZZED = {
    "png": [
        with_chunk(saved(SMALL, "PNG"), b"eXIf", exif(6)),
        saved(SMALL.quantize(8), "PNG", transparency=2),
        saved(SMALL, "PNG", "LA"),
        saved(Image.fromarray(ROWS[:24, :24].astype(np.uint16) * 999), "PNG"),
    ],
    "jpeg": [
        with_segment(saved(SMALL, "JPEG"), 0xE1, b"Exif\0\0" + exif(8)),
        saved(SMALL, "JPEG", progressive=True),
        saved(SMALL, "JPEG", "CMYK"),
        saved(SMALL, "JPEG", "L", restart_marker_rows=1),
    ],
    "webp": [saved(SMALL, "WEBP"), saved(SMALL, "WEBP", "RGBA", lossless=True, exif=b"Exif\0\0" + exif(3))],
    "tiff": [saved(SMALL, "TIFF"), saved(SMALL, "TIFF", compression="tiff_lzw"), saved(SMALL, "TIFF", "RGBA")],
    "bmp": [saved(SMALL, "BMP"), saved(SMALL.quantize(8), "BMP")],
}


@pytest.mark.parametrize(
    ("form", "files"), [("png", 1500), ("jpeg", 1500), ("webp", 700), ("tiff", 1500), ("bmp", 700)]
)
def test_damage_of_any_kind_gives_a_picture_or_a_picture_error(form, files):
    rng = np.random.default_rng(len(form))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read = 0
    for i in range(files):
        data = mutated(FUZZED[form][i % len(FUZZED[form])], rng)
        if form == "png" and i % 3:
            data = with_sums(data)
        try:
            picture = read_picture(data, most_side=1024)
        except PictureError as error:
            assert "\n" not in str(error)
        else:
            read += 1
            assert picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8
            assert min(picture.shape[:2]) >= 16 and max(picture.shape[:2]) <= 1024
    assert 0 < read < files  # some damage is harmless, most is not
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_hostile_files_take_little_memory_and_write_nothing(tmp_path):
    bomb = zlib.compress(bytes(300 * 2**20), 1)
    overlapping = b"".join(struct.pack(">HHII", 1000 + i, 7, 400_000, 8) for i in range(5000)) + bytes(2**19)
    tags = [(256, 4, 1, 64), (257, 4, 1, 64), *((40000 + i, 7, 2**19, 8) for i in range(9000))]
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\xff" * 2 + WEBP[12:]
    frame = JPEG.index(b"\xff\xc0") + 5
    files = {
        "rows": header(64, 64) + chunk(b"IDAT", bomb) + chunk(b"IEND", b""),
        "profile": with_chunk(PNG, b"iCCP", b"p\0\0" + bomb),
        "text": with_chunk(PNG, b"zTXt", b"Comment\0\0" + bomb),
        "size": png_claiming(2**31 - 1, 2**31 - 1),
        "exif": with_chunk(PNG, b"eXIf", b"MM\0*" + struct.pack(">IH", 8, 5000) + overlapping),
        "tags": _tiff(*tags, tail=bytes(2**20)),
        "canvas": b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas,
        "frame": JPEG[:frame] + struct.pack(">HH", 65500, 65500) + JPEG[frame + 4 :],
    }
    for name, data in files.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    code = """
        import resource, sys
        from pathlib import Path
        from PIL import Image
        from sat3d.inversion.pictures import PictureError, list_pictures, read_picture
        Image.init()  # imports are over
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + 150 * 2**20,) * 2)
        def audit(event, args):
            if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
                print("writes", args)
            if event.startswith(("os.", "shutil.", "tempfile.", "socket.", "subprocess.")) and event not in (
                "os.listdir", "os.scandir"
            ):
                print("calls", event, args)
        sys.addaudithook(audit)
        for path in list_pictures(sys.argv[1]):
            try:
                print(path.stem, "read", read_picture(path).shape)
            except PictureError as error:
                print(path.stem, "refused", type(error.__cause__).__name__)
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert not done.stderr and told.keys() == files.keys() and "MemoryError" not in done.stdout, done.stdout
    read = "read (32, 40, 3)"
    assert {name: told[name] for name in ("profile", "text", "exif")} == dict.fromkeys(
        ("profile", "text", "exif"), read
    )
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(files)
