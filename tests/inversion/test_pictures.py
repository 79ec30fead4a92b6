"""Pictures as people send them, and files as nobody should: a picture or a PictureError comes out, and nothing else."""

import io
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
from PIL import Image, ImageOps

from sat3d.inversion.containers import MOST_SCANS
from sat3d.inversion.pictures import PictureError, fit_picture, list_pictures, read_picture
from sat3d.visualization import write_picture

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


@pytest.mark.parametrize(
    "data",
    [
        PNG,
        WEBP,
        BMP,
        TIFF,
        saved(PICTURE, "TIFF", compression="tiff_lzw"),
        saved(PICTURE, "TIFF", compression="tiff_adobe_deflate"),
        saved(PICTURE, "TIFF", compression="packbits"),
    ],
    ids=["png", "webp", "bmp", "tiff", "lzw", "deflate", "packbits"],
)
def test_a_lossless_picture_comes_back_bit_by_bit_under_any_name(tmp_path, data):
    (tmp_path / "holiday.txt").write_bytes(data)
    for source in (data, tmp_path / "holiday.txt", str(tmp_path / "holiday.txt")):
        read = read_picture(source)
        assert np.array_equal(read, PICTURE) and read.dtype == np.uint8 and read.flags.writeable


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"dpi": (300, 300)}])
def test_a_jpeg_is_decoded_as_its_decoder_does(options):
    data = saved(PICTURE, "JPEG", **options)
    assert np.array_equal(read_picture(data), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG"])
def test_grey_becomes_three_equal_channels(form):
    read = read_picture(saved(PICTURE, form, "L"))
    assert (read == read[..., :1]).all() and abs(read[..., 0] - ROWS * 0.0).max() > 100
    assert abs(read.astype(int) - np.asarray(Image.fromarray(PICTURE).convert("L"))[..., None]).max() <= 8


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight_by_the_nearest_level(form):
    deep = (PICTURE[..., 0].astype(np.uint16) << 8) + 200
    read = read_picture(saved(Image.fromarray(deep), form))
    assert np.array_equal(read[..., 1], np.round(deep / 65535 * 255).astype(np.uint8))


def test_sixteen_bits_of_three_channels():
    deep = PICTURE.astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    data = header(40, 32, depth=16) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(read_picture(data), PICTURE)


def test_interlaced_rows_are_counted_by_their_passes():
    assert np.array_equal(read_picture(interlaced_png()), PICTURE)


def test_palettes_and_single_bits():
    palette = Image.fromarray(PICTURE).quantize(16)
    for form in ("PNG", "BMP", "TIFF"):
        assert np.array_equal(read_picture(saved(palette, form)), np.asarray(palette.convert("RGB")))
        bits = Image.fromarray(PICTURE).convert("1")
        assert np.array_equal(read_picture(saved(bits, form))[..., 0], np.asarray(bits.convert("L")))


def test_cmyk_is_near_its_colours():
    read = read_picture(saved(PICTURE, "JPEG", "CMYK", quality=100))
    assert abs(read.astype(int) - PICTURE).mean() < 4


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_what_is_transparent_is_laid_on_white(form):
    alpha = np.full((32, 40, 1), 128, np.uint8)
    alpha[:16] = 0
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    read = read_picture(saved(np.concatenate([PICTURE, alpha], -1), form, **options)).astype(int)
    assert (read[:16] == 255).all()
    assert abs(read[16:] - (PICTURE[16:] * 128.0 + 255 * 127) / 255).max() <= 1


def test_transparent_colours_are_white_too():
    for mode, value, colour in (("L", 0, 0), ("P", 3, 3), ("RGB", (0, 0, 0), 0)):
        shape = (32, 40, 3) if mode == "RGB" else (32, 40)
        image = Image.fromarray(np.full(shape, colour, np.uint8))
        if mode == "P":
            image = image.convert("P")
        assert (read_picture(saved(image, "PNG", transparency=value)) == 255).all(), mode
    deep = np.full((32, 40), 300, np.uint16)
    data = saved(Image.fromarray(deep), "PNG")
    clear = with_chunk(data, b"tRNS", struct.pack(">H", 300))
    assert (read_picture(data) == 1).all() and (read_picture(clear) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_the_orientation_of_exif_is_applied(form, orientation):
    plain = {"PNG": PNG, "WEBP": WEBP, "TIFF": TIFF, "JPEG": JPEG}[form]
    told = Image.Exif()
    told[0x112] = orientation
    if form == "PNG":
        data = with_chunk(PNG, b"eXIf", exif(orientation, "<"))
    elif form == "JPEG":
        data = with_segment(JPEG, 0xE1, b"Exif\0\0" + exif(orientation))
    elif form == "WEBP":
        data = saved(PICTURE, "WEBP", lossless=True, exif=told)
    else:
        data = saved(PICTURE, "TIFF", tiffinfo={0x112: orientation})
    upright = Image.fromarray(read_picture(plain))
    upright.getexif()[0x112] = orientation
    assert np.array_equal(read_picture(data), np.asarray(ImageOps.exif_transpose(upright)))


BROKEN_EXIF = [
    b"",
    b"Exif\0\0",
    b"MM\0*",
    b"junk" * 9,
    exif(0),
    exif(9),
    exif(65535),
    exif(6)[:12],
    exif(6)[:-6],
    b"MM\0*" + struct.pack(">I", 2**32 - 1) + exif(6)[8:],
    b"MM\0*" + struct.pack(">IH", 8, 65535) + exif(6)[10:],  # as many entries as can be told, without their bytes
    b"MM\0*" + struct.pack(">IHHHII", 8, 1, 0x112, 3, 2**31, 8),  # two thousand million orientations
    b"MM\0*" + struct.pack(">IHHHII", 8, 1, 0x112, 2, 40, 8),
]


@pytest.mark.parametrize("broken", BROKEN_EXIF, ids=range(len(BROKEN_EXIF)))
def test_broken_exif_changes_nothing(recwarn, broken):
    assert np.array_equal(read_picture(with_chunk(PNG, b"eXIf", broken)), PICTURE)
    assert np.array_equal(read_picture(with_segment(JPEG, 0xE1, b"Exif\0\0" + broken)), read_picture(JPEG))
    assert not recwarn.list


def test_huge_exif_is_passed_over_and_the_first_one_counts():
    overlapping = b"".join(struct.pack(">HHII", 1000 + i, 7, 60_000, 8) for i in range(5000))
    huge = b"MM\0*" + struct.pack(">IH", 8, 5000) + overlapping + bytes(64)
    assert np.array_equal(read_picture(with_segment(JPEG, 0xE1, b"Exif\0\0" + huge)), read_picture(JPEG))
    assert np.array_equal(read_picture(with_chunk(PNG, b"eXIf", huge + bytes(2**21))), PICTURE)
    first = with_chunk(with_chunk(PNG, b"eXIf", exif(6)), b"eXIf", exif(1))
    assert read_picture(first).shape == (32, 40, 3)
    assert read_picture(with_chunk(with_chunk(PNG, b"eXIf", exif(1)), b"eXIf", exif(6))).shape == (40, 32, 3)


def test_nothing_that_came_along_is_written_again(tmp_path):
    secret = b"59.3293 N, 18.0686 E"
    data = with_chunk(with_chunk(PNG, b"tEXt", b"Comment\0" + secret), b"eXIf", exif(1) + secret)
    for suffix in ("png", "jpg"):
        written = write_picture(tmp_path / f"a.{suffix}", read_picture(data)).read_bytes()
        assert not any(word in written for word in (secret, b"eXIf", b"Exif", b"tEXt", b"iCCP", b"ICC_PROFILE"))


def test_profiles_comments_and_previews_are_not_even_decoded():
    bomb = zlib.compress(bytes(100 * 2**20), 1)
    for kind, body in (
        (b"iCCP", b"p\0\0" + bomb),
        (b"zTXt", b"Comment\0\0" + bomb),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb),
        (b"tEXt", b"Comment\0" + b"x" * 2**23),
        (b"gAMA", b""),
        (b"pHYs", b"\0"),
    ):
        assert np.array_equal(read_picture(with_chunk(PNG, kind, body)), PICTURE), kind
    plain = read_picture(JPEG)
    for marker, body in (
        (0xE2, b"ICC_PROFILE\0\1\xff" + bytes(60_000)),
        (0xE2, b"MPF\0" + b"\xff" * 60),
        (0xED, b"Photoshop 3.0\0" + b"8BIM" * 99),
        (0xFE, b"x" * 60_000),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation='6'/>"),
    ):
        assert np.array_equal(read_picture(with_segment(JPEG, marker, body)), plain), body[:9]
    profiled = saved(PICTURE, "WEBP", lossless=True, icc_profile=b"p" * 999, exif=b"Exif\0\0" + exif(1), xmp=b"x" * 9)
    assert np.array_equal(read_picture(profiled), PICTURE)
    tagged = saved(PICTURE, "TIFF", icc_profile=b"p" * 999, description="x" * 999)
    assert np.array_equal(read_picture(tagged), PICTURE)


def test_a_picture_of_several_in_a_phone_s_jpeg_is_its_first():
    data = frames("MPO")
    assert np.array_equal(read_picture(data), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_animations_are_refused_with_a_way_out(form):
    refused(frames(form), "animation; save one frame of it as PNG")


def test_gifs_and_pages_too():
    refused(frames("GIF"), "is a GIF; save one frame")
    refused(saved(PICTURE, "GIF"), "is a GIF; save one frame")
    refused(frames("TIFF"), "several pages; save one of them")


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


def test_fit_cuts_the_middle_and_keeps_the_scale():
    picture = np.zeros((40, 100, 3), np.uint8)
    picture[:, 30:70] = (255, 0, 51)
    fitted = fit_picture(picture, 20)
    assert fitted.shape == (1, 3, 20, 20)
    expected = np.array([1.0, -1.0, -0.6])
    assert np.allclose(fitted.numpy(), expected[None, :, None, None], atol=1e-6)
    assert np.allclose(fit_picture(picture.swapaxes(0, 1), 64).numpy(), expected[None, :, None, None], atol=1e-6)
    tall = fit_picture(PICTURE, 32)  # nothing to resize: the very values
    assert np.array_equal(np.round((tall[0].numpy() + 1) * 127.5).transpose(1, 2, 0), PICTURE[:, 4:36])
    with pytest.raises(ValueError, match="resolution=0"):
        fit_picture(PICTURE, 0)


def test_fit_shrinks_without_aliasing():
    fine = np.zeros((512, 512, 3), np.uint8)
    fine[:, ::2] = 255  # stripes of one pixel: any subset of columns would be black, white or a moiré
    assert abs(fit_picture(fine, 30).numpy()).max() < 0.02
    checks = np.indices((64, 64)).sum(0)[..., None] % 2 * np.full(3, 255)
    assert abs(fit_picture(checks.astype(np.uint8), 16)).max() < 0.02


def test_folders_are_replaced_by_their_pictures(tmp_path):
    outside = tmp_path / "outside"
    folder = tmp_path / "faces"
    (folder / "deep").mkdir(parents=True)
    outside.mkdir()
    for name in ("b.png", "a.JPG", "c.webp", "notes.txt", ".hidden.png", "deep/d.png"):
        (folder / name).write_bytes(PNG)
    (outside / "secret.png").write_bytes(PNG)
    (folder / "out.png").symlink_to(outside / "secret.png")
    (folder / "in.png").symlink_to("b.png")
    (folder / "gone.png").symlink_to("nothing.png")
    os.mkfifo(folder / "pipe.png")
    inside = [folder / name for name in ("a.JPG", "b.png", "c.webp", "in.png")]
    assert list_pictures(folder) == inside
    assert list_pictures([str(folder / "notes.txt"), folder]) == [folder / "notes.txt", *inside]
    (folder / "deep" / "d.png").unlink()
    with pytest.raises(PictureError, match=r"targets=.*deep' is a folder without pictures; name files"):
        list_pictures([folder / "deep"], name="targets")
    with pytest.raises(PictureError, match="does not exist"):
        list_pictures([folder, tmp_path / "none"])
    with pytest.raises(PictureError, match="no picture is named"):
        list_pictures([])
