"""What `edit` and the page take as a source or reference: a seed, a picture, or codes that `invert` kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from sat3d.generators import Generator
    from sat3d.inversion import PictureCodes
    from sat3d.methods import ChannelEditor

Align = Literal["auto", "none", "ffhq"]
CHANNELS = "channels"
"""In place of an editor's folder: every channel of the generator by name, in its standard deviations."""


def made_for(editor: str | Path) -> str:
    """Return the name of the generator that an editor was made for.

    Raises:
        ValueError: if its card names none.
        FileNotFoundError: if there is no such editor, or its generator has to be given as a file.
    """
    from sat3d.generators.zoo import resolve
    from sat3d.methods import load_editor

    name = (load_editor(editor).card["generator"] or {}).get("name")
    if not name:
        raise ValueError(f"generator: the card of {editor} names none; give its name or file")
    try:
        resolve(name)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"generator: not given, and {editor} was made for {name!r}, whose file is needed\n{error}"
        ) from error
    return str(name)


def codes_of(
    source: int | str,
    net: Generator,
    *,
    option: str = "source",
    truncation: float = 1.0,
    align: Align = "auto",
    landmarks: str | None = None,
) -> PictureCodes:
    """Return the codes of a source, (1, …); a picture is inverted now, as `sat3d invert PICTURE` does.

    Args:
        source: a seed, a `.safetensors` file that `invert` wrote (or its folder), or a picture.
        net: the generator.
        option: what it was given for.
        truncation: ψ of seeds.
        align: of pictures.
        landmarks: of pictures, see `invert`.

    Raises:
        ValueError: for a seed below 0, and files that are neither codes of the generator nor a picture.
        FileNotFoundError: if there is no such file.
    """
    from sat3d.commands.seeds import ws_of
    from sat3d.inversion import PictureCodes, PictureInverter, load_codes

    if isinstance(source, int) or source.strip().lstrip("-").isdecimal():
        if int(source) < 0:
            raise ValueError(f"{option}={source}: seeds are numbers from 0 on")
        ws = ws_of(net, [int(source)], truncation)
        return PictureCodes(ws, net.styles(ws))
    path = Path(source)
    if path.is_dir():
        path = path / "code.safetensors"
    if path.suffix == ".safetensors":
        return load_codes(path, net)
    picture = read_aligned(path, net, align, landmarks, option)
    from tqdm.auto import tqdm

    invert = PictureInverter(net)
    with tqdm(total=invert.recipe.options.steps, desc=f"Inverting {path.name}") as bar:
        (found,) = invert(picture, progress=lambda step, steps, loss: bar.update())
    return found.codes


def read_aligned(
    source: Path | bytes,
    net: Generator,
    align: Align = "auto",
    landmarks: str | None = None,
    option: str = "source",
    **limits: int,
) -> Tensor:
    """Read a picture and align it as the generator's are, (1, 3, R, R) in [-1, 1].

    Args:
        source: a picture's file, or what is in it.
        net: the generator.
        align: `auto` asks what is known of the generator.
        landmarks: a file, or a folder with files of the pictures' names; found by a library if not given.
        option: what the picture was given for.
        limits: see `read_picture`.

    Raises:
        ValueError: it is none, or shows no face where one is looked for.
        ImportError: landmarks have to be found, and what finds them is not installed.
    """
    from sat3d.inversion import expected_alignment, prepare_picture, read_landmarks, read_picture

    wanted = expected_alignment(net.name) if align == "auto" else align
    points = None
    if landmarks is not None:
        given = Path(landmarks)
        if given.is_dir() and isinstance(source, Path):
            near = [given / f"{source.stem}{suffix}" for suffix in (".json", ".csv", ".npy")]
            given = next((file for file in near if file.is_file()), near[0])
        points = read_landmarks(given)
    picture = read_picture(source, name=option, **limits)
    name = option if isinstance(source, bytes) else f"{option}={str(source)!r}"
    return prepare_picture(picture, net.resolution, align=wanted, landmarks=points, name=name)


def every_channel(generator: Generator) -> ChannelEditor:
    """Return an editor without attributes of its own: it moves any channel by name, in the channel's deviations."""
    from sat3d.inversion import CodeStatistics
    from sat3d.methods import ChannelEditor

    std = CodeStatistics.of(generator).s[1]
    return ChannelEditor.of(generator.style_space, (), std=std).to(generator.device).eval()
