"""Pictures as people send them: read as their decoders do, laid on white, turned upright, cut to size."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from sat3d.inversion.pictures import PictureError, fit_picture, list_pictures, read_picture
from sat3d.visualization import write_picture
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
    frames,
    header,
    interlaced_png,
    refused,
    saved,
    with_chunk,
    with_segment,
)


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
