"""`invert`: pictures as codes that every editor takes, with a grid to look at and a table to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sat3d.commands.seeds import writable
from sat3d.commands.sources import Align, read_aligned

if TYPE_CHECKING:
    from torch import Tensor

    from sat3d.inversion import Inverted, PictureInverter
    from sat3d.ops.camera import Camera

CODE = "code.safetensors"
ROWS = 16  # most rows of the grid


def main(
    pictures: list[str],
    generator: str = "toyfaces64",
    out: str = "out",
    space: Literal["w", "w+", "s"] = "s",
    steps: int = 100,
    encoder: str = "shipped",
    tune: int = 0,
    yaw: float | None = None,
    pitch: float | None = None,
    align: Align = "auto",
    landmarks: str | None = None,
    lr: float = 0.1,
    noise: float = 0.0,
    pixels: float = 1.0,
    perceptual: float = 1.0,
    identity: float = 0.0,
    code: float = 0.003,
    perceptual_network: str | None = None,
    identity_network: str | None = None,
    batch_size: int = 8,
    redo: bool = False,
    device: str = "cpu",
) -> None:
    """Find the codes of pictures: what `edit` and the page take as a source or reference.

    Every picture gets a folder with code.safetensors, the picture as the generator is to draw it, and as it does;
    inversion.csv and grid.png show all of them. Pictures that were inverted the same way are not inverted again.

    Args:
        pictures: Files, and folders of pictures (PNG, JPEG, WebP, BMP, TIFF).
        generator: Name or file of the generator.
        out: Folder for the files.
        space: What moves: one w for all layers, one for each (w+), or every style channel (s).
        steps: Of the optimisation; 0 leaves what the encoder says.
        encoder: Where it starts: what is shipped for the generator (if there is any), none for the mean code, or a file
            that an experiments/inversion training exported.
        tune: Steps of pivotal tuning, which moves a private copy of the generator's weights; 0 for none.
        yaw: Camera angle around the up axis in radians, where it is known; looked for if not given. 3-D only.
        pitch: Camera angle from level in radians, likewise.
        align: How faces are turned and cut before: as in FFHQ, not at all, or as the generator's pictures were (auto).
        landmarks: File with the landmarks of the one picture, or folder with files of the pictures' names; found by a
            library if not given (pip install 'sat3d[landmarks]').
        lr: Largest step, in standard deviations of the generator's codes.
        noise: What is added to codes at first, in standard deviations; it falls to none.
        pixels: Weight of the mean squared difference of pixels.
        perceptual: Weight of the perceptual distance.
        identity: Weight of 1 − cos of identities.
        code: Weight of how unusual codes are, in squared standard deviations.
        perceptual_network: lpips, or an observer's name; what is at hand for the generator, if not given.
        identity_network: Identity embedder, or TorchScript file of an ArcFace.
        batch_size: Pictures at a time.
        redo: Invert again what has been inverted.
        device: Where to compute, such as cpu or cuda.
    """
    if batch_size < 1 or tune < 0:
        raise ValueError(f"batch_size={batch_size}, tune={tune}: give a batch from 1 on, and steps from 0 on")
    if (yaw is None) != (pitch is None):
        raise ValueError("yaw, pitch: a known camera has both; give them, or leave them out")

    from tqdm.auto import tqdm

    from sat3d.commands.seeds import camera_of, device_of
    from sat3d.generators import load_generator
    from sat3d.inversion import InversionOptions, LossOptions, PictureInverter, Recipe, TuningOptions, list_pictures

    paths = list_pictures(pictures, name="pictures")
    net = load_generator(generator, device=device_of(device))
    camera = None if yaw is None else camera_of(net, yaw, pitch)
    loss = LossOptions(pixels, perceptual, identity, code, perceptual_network, identity_network)
    options = InversionOptions(space=space, steps=steps, lr=lr, noise=noise, loss=loss)
    invert = PictureInverter(net, Recipe(options, encoder, TuningOptions(steps=tune, loss=loss) if tune else None))
    work = Work(invert, camera, writable(out), align, landmarks, redo)
    items, refused = list(zip(paths, folder_names(paths), strict=True)), []
    with tqdm(total=len(paths), desc="Inverting", unit="picture") as bar:
        for start in range(0, len(paths), batch_size):
            refused += work.run(items[start : start + batch_size], bar)
    if len(refused) < len(paths):
        names = [name for path, name in items if (work.folder / name / CODE).is_file()]
        _write_table(work.folder, names)
        _write_grid(work.folder, names[:ROWS])
        done = f", {work.known} were inverted before" if work.known else ""
        print(f"{work.folder}: {work.inverted} pictures inverted{done}; inversion.csv, grid.png, {len(names)} x {CODE}")
    if refused:
        raise ValueError("\n".join([f"{len(refused)} of {len(paths)} pictures were left out:", *refused]))


@dataclass
class Work:
    """Invert pictures into folders, and count.

    Args:
        invert: does it.
        camera: of all of them, where it is known.
        folder: gets a folder for each picture.
        align: as `main` takes it.
        landmarks: likewise.
        redo: whether what is there is made again.
    """

    invert: PictureInverter
    camera: Camera | None
    folder: Path
    align: Align = "auto"
    landmarks: str | None = None
    redo: bool = False
    inverted: int = 0
    known: int = 0

    def run(self, items: Sequence[tuple[Path, str]], bar: Any) -> list[str]:
        """Invert pictures that are not yet; return what is wrong with those that cannot be."""
        import torch

        net, todo, refused = self.invert.generator, [], []
        for path, name in items:
            try:
                picture = read_aligned(path, net, self.align, self.landmarks, "pictures")
            except (ValueError, ImportError) as error:
                refused.append(str(error))
                bar.update()
                continue
            key = self.invert.key(picture, self.camera)
            if not self.redo and _key_of(self.folder / name / CODE) == key:
                self.known += 1
                bar.update()
            else:
                todo.append((path, name, key, picture))
        if todo:
            pictures = torch.cat([picture for *_, picture in todo])

            def told(step: int, steps: int, loss: float) -> None:
                bar.set_postfix_str(f"step {step} of {steps}, loss {loss:.4f}")

            for (path, name, key, _), found in zip(todo, self.invert(pictures, self.camera, told), strict=True):
                self._write(self.folder / name, found, picture=path.name, key=key)
                self.inverted += 1
                bar.update()
        return refused

    def _write(self, folder: Path, found: Inverted, **facts: Any) -> None:
        """Write a picture's folder; the code comes last, so that one that is there has all the rest."""
        from sat3d.visualization import to_uint8, write_picture

        folder.mkdir(exist_ok=True)
        write_picture(folder / "picture.png", to_uint8(found.picture[0]))
        write_picture(folder / "inversion.png", to_uint8(found.drawn[0]))
        found.codes.save(folder / CODE, self.invert.generator, **facts)


def folder_names(paths: Sequence[Path]) -> list[str]:
    """Name a folder for each picture: its stem, with a number where several have the same."""
    names: dict[str, None] = {}
    for path in paths:
        stem = path.stem or "picture"
        others = (f"{stem}-{k}" for k in range(2, len(paths) + 2))
        names[next(name for name in chain([stem], others) if name not in names)] = None
    return list(names)


def _key_of(path: Path) -> str | None:
    """Return what decided the codes of a file, if it is whole."""
    from sat3d.inversion import read_card

    try:
        return str(read_card(path).get("key"))
    except (FileNotFoundError, ValueError):
        return None


def _write_table(folder: Path, names: Sequence[str]) -> None:
    import csv

    from sat3d.inversion import read_card
    from sat3d.replacing import replacing

    cards = [read_card(folder / name / CODE) for name in names]
    rows = [{"name": n, **card["figures"], "seconds": card["seconds"]} for n, card in zip(names, cards, strict=True)]
    head = list(dict.fromkeys(key for row in rows for key in row))
    with replacing(folder / "inversion.csv") as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, head, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_grid(folder: Path, names: Sequence[str]) -> None:
    """Draw picture | inversion | difference, a row for each."""
    import numpy as np
    import torch
    from PIL import Image

    from sat3d.visualization import difference, picture_grid, write_picture

    def loaded(name: str, file: str) -> Tensor:
        with Image.open(folder / name / file) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 127.5 - 1

    wanted, drawn = (torch.stack([loaded(name, f"{file}.png") for name in names]) for file in ("picture", "inversion"))
    shown = torch.stack([wanted, drawn, difference(wanted, drawn)], dim=1)
    scale = max(1, 128 // shown.shape[-1])
    write_picture(folder / "grid.png", picture_grid(shown, list(names), ["picture", "inversion", "difference"], scale))
