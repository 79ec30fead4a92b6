"""Reading pictures that people upload or name: a picture or a `PictureError` comes out, whatever goes in."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from torch import Tensor

from sat3d.inversion.containers import Container, ContainerError, check_rows, open_container
from sat3d.perception.networks import fit_resolution

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""What counts as a picture in a folder; the type of a file is decided by its content."""
MOST_BYTES, MOST_SIDE, LEAST_SIDE = 50 * 2**20, 8192, 16

# Not Image.open, whose limit is one for the whole process, warns before it raises, and lets other formats in.
_DECODERS: dict[str, Callable[[io.BytesIO], Any]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureError(ValueError):
    """Tell in one line which picture is not read, why, and what to do."""


def read_picture(
    source: str | Path | bytes,
    *,
    name: str = "picture",
    most_bytes: int = MOST_BYTES,
    most_side: int = MOST_SIDE,
    least_side: int = LEAST_SIDE,
) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture from a file or from bytes: PNG, JPEG, WebP, BMP or TIFF, as its content says.

    The orientation that EXIF tells is applied. Transparent pictures are laid on white; 16 bits become 8; grey, palettes
    and CMYK become RGB. Colour profiles are not applied. Beside pixels nothing is kept: no EXIF, no place, no text.
    Nothing is written.

    Args:
        source: a file's path, or what is in it.
        name: what messages call it: an option of the command line, the name of an upload.
        most_bytes: size of the file, checked before it is read.
        most_side: width and height in pixels, checked before anything is decoded, which takes up to 16 bytes a pixel.
        least_side: width and height in pixels.

    Raises:
        PictureError: there is no such picture; it is damaged, animated, too large or too small, or of another format.
    """
    label = _label(source, name)
    data = source if isinstance(source, bytes) else _read(Path(source), label, most_bytes)
    _check_bytes(len(data), label, most_bytes)
    if not data:
        raise PictureError(f"{label} is empty; copy or save it again")
    try:
        container = open_container(data)
    except ContainerError as error:
        raise PictureError(f"{label} {error}") from error
    sides = (container.width, container.height)
    if max(sides) > most_side:
        raise PictureError(f"{label} is {sides[0]}x{sides[1]} pixels; make its sides {most_side} at most")
    if min(sides) < least_side:
        raise PictureError(f"{label} is {sides[0]}x{sides[1]} pixels; give one with sides of {least_side} or more")
    try:
        return _decode(container)
    except (ContainerError, PictureError) as error:
        raise PictureError(f"{label} {error}") from error
    except Exception as error:  # decoders raise nearly anything, MemoryError and SyntaxError among it
        raise PictureError(f"{label} is damaged or truncated; save it anew as PNG") from error


def fit_picture(picture: UInt8[np.ndarray, "h w 3"], resolution: int) -> Float[Tensor, "1 3 r r"]:
    """Cut the square in a picture's middle and resize it, anti-aliased, to a generator's resolution, in [-1, 1].

    Raises:
        ValueError: the resolution is below 1.
    """
    if resolution < 1:
        raise ValueError(f"resolution={resolution}: give 1 or more")
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize_channels(picture[top : top + side, left : left + side], lambda x: fit_resolution(x, resolution))


def resize_channels(
    picture: UInt8[np.ndarray, "h w 3"], resize: Callable[[Tensor], Tensor]
) -> Float[Tensor, "1 3 i j"]:
    """Resize a picture channel by channel, which takes a third of the memory, and scale it to [-1, 1]."""
    channels = [torch.from_numpy(np.ascontiguousarray(picture[..., c])) for c in range(3)]
    return torch.cat([resize(x[None, None].float()) for x in channels], dim=1).div_(127.5).sub_(1).clamp_(-1, 1)


def list_pictures(paths: str | Path | Iterable[str | Path], *, name: str = "picture") -> list[Path]:
    """Replace folders by the pictures in them, which are told by their suffixes and sorted by name.

    Files stay as they are given. Folders in folders, hidden files, and links that lead out of the folder are left out.

    Args:
        paths: files and folders.
        name: the option that they were given for.

    Raises:
        PictureError: a path does not exist, or a folder has no picture in it.
    """
    found: list[Path] = []
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        label = _label(path, name)
        try:
            mode = path.stat().st_mode
            if not stat.S_ISDIR(mode):
                found.append(path)
                continue
            inside = sorted(x for x in path.iterdir() if _belongs(x, path))
        except (OSError, ValueError) as error:
            raise PictureError(f"{label} {_why(error)}") from error
        if not inside:
            raise PictureError(f"{label} is a folder without pictures; name files, or one with {', '.join(SUFFIXES)}")
        found += inside
    if not found:
        raise PictureError(f"{name}: no picture is named; give files or folders")
    return found


def _belongs(file: Path, folder: Path) -> bool:
    if file.name.startswith(".") or file.suffix.lower() not in SUFFIXES or not file.is_file():
        return False
    return file.resolve().is_relative_to(folder.resolve())


def _label(source: str | Path | bytes, name: str) -> str:
    told = name if isinstance(source, bytes) else f"{name}={str(source)!r}"
    told = "".join(letter if letter.isprintable() else "?" for letter in told)
    return told if len(told) <= 240 else f"{told[:120]}…{told[-119:]}"


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "does not exist; give the path of a file (addresses of the web are not fetched)"
    told = (error.strerror if isinstance(error, OSError) else None) or "is no path"
    return f"cannot be read ({told}); give the path of a file"


def _read(path: Path, label: str, most_bytes: int) -> bytes:
    try:
        told = path.stat()
        if stat.S_ISDIR(told.st_mode):
            raise PictureError(f"{label} is a folder; name a picture in it")
        if not stat.S_ISREG(told.st_mode):
            raise PictureError(f"{label} is a device or a pipe; name a file")
        _check_bytes(told.st_size, label, most_bytes)
        with path.open("rb") as file:
            return file.read(most_bytes + 1)
    except PictureError:
        raise
    except (OSError, ValueError) as error:
        raise PictureError(f"{label} {_why(error)}") from error


def _check_bytes(size: int, label: str, most_bytes: int) -> None:
    if size > most_bytes:
        raise PictureError(f"{label} has more than {most_bytes / 2**20:.4g} MiB; save it smaller")


def _decode(container: Container) -> UInt8[np.ndarray, "h w 3"]:
    if container.format == "PNG":
        check_rows(container)
    with _DECODERS[container.format](io.BytesIO(container.data)) as image:
        if image.size != (container.width, container.height):
            raise PictureError("tells two sizes; save it anew as PNG")
        deep = image.mode.startswith("I;16") or (image.mode == "I" and container.format == "PNG")  # "I": older Pillow
        if not deep and image.mode not in _MODES:
            raise PictureError(f"has pixels of a kind that is not read here ({image.mode}); save it as PNG of 8 bits")
        image.load()
        plain = _eight_bits(image) if deep else _on_white(image)
    turn = _TURNS.get(container.orientation)
    return np.array(plain if turn is None else plain.transpose(turn))


def _eight_bits(image: Image.Image) -> Image.Image:
    deep = np.asarray(image).astype(np.uint32)
    grey = ((deep * 255 + 32767) // 65535).astype(np.uint8)
    if isinstance(clear := image.info.get("transparency"), int):
        grey[deep == clear] = 255
    return Image.fromarray(grey).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    clear = image.convert("LA") if image.mode == "La" else image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(clear.convert("RGBA"))
    return white.convert("RGB")
