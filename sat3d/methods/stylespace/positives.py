"""Which codes show an attribute: those that a scorer ranks highest, or examples that somebody gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat3d.generators import Generator
from sat3d.generators.sampling import SEEDS, CodeStream
from sat3d.methods.sweeps import tail_of
from sat3d.perception import QMM, ClipModel, Scorer

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Examples:
    """Say where an attribute's positive examples come from: 10 to 30 suffice; exactly one of these is given.

    An attribute that no scorer knows can be shown by examples alone.

    Args:
        seeds: as `lightning generate --truncation ψ` shows them, at the run's ψ.
        indices: numbers of the run's own training stream.
        codes: file with styles (N, C) or ws (N, num_ws, w_dim): `.npy`, or `.safetensors` with one tensor.
        pictures: folder of pictures. The codes of the stream whose pictures CLIP finds most like them, compared with
            what is usual, are the positives; so the pictures themselves need not be inverted.
    """

    seeds: tuple[int, ...] = ()
    indices: tuple[int, ...] = ()
    codes: str | None = None
    pictures: str | None = None

    def __post_init__(self) -> None:
        given = [f.name for f in fields(self) if getattr(self, f.name)]
        if len(given) != 1:
            said = ", ".join(given) or "none"
            raise ValueError(f"examples: give exactly one of seeds, indices, codes and pictures, not {said}")
        for numbers in (self.seeds, self.indices):
            if numbers and (len(set(numbers)) < 2 or min(numbers) < 0):
                raise ValueError(f"examples: {list(numbers)} must be two different numbers from 0 on, at least")


def seeded_styles(generator: Generator, seeds: tuple[int, ...], truncation: float) -> Float[Tensor, "n c"]:
    """Return the styles of seeds as the command line numbers them."""
    z = CodeStream(0, generator.z_dim, stream=SEEDS).z(list(seeds)).to(generator.device)
    return generator.styles(generator.map(z, truncation=truncation))


def stored_styles(generator: Generator, file: str) -> Float[Tensor, "n c"]:
    """Read codes from a file, as styles.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds nothing that fits the generator.
    """
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"examples.codes: no file {path}")
    if path.suffix == ".npy":
        codes = torch.from_numpy(np.load(path, allow_pickle=False))
    else:
        from safetensors.torch import load_file

        tensors = load_file(path)
        if len(tensors) != 1:
            raise ValueError(f"examples.codes: {path} holds {len(tensors)} tensors; one is expected")
        (codes,) = tensors.values()
    codes = codes.float().to(generator.device)
    if codes.ndim == 2 and codes.shape[1] == generator.style_space.size:
        return codes
    if codes.ndim == 3 and codes.shape[1:] == (generator.num_ws, generator.w_dim):
        return generator.styles(codes)
    raise ValueError(
        f"examples.codes: {path} holds {tuple(codes.shape)}; wanted are styles (N, {generator.style_space.size}) "
        f"or ws (N, {generator.num_ws}, {generator.w_dim})"
    )


def read_pictures(folder: str, side: int) -> Float[Tensor, "n 3 h w"]:
    """Read a folder's pictures, cropped to squares in their middle, in [-1, 1].

    Raises:
        FileNotFoundError: there are fewer than two pictures.
    """
    from PIL import Image, ImageOps

    files = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in SUFFIXES)
    if len(files) < 2:
        raise FileNotFoundError(f"examples.pictures: {len(files)} pictures in {folder}; give a folder with 10 to 30")
    pages = [
        np.asarray(ImageOps.fit(ImageOps.exif_transpose(Image.open(file)).convert("RGB"), (side, side)))
        for file in files
    ]
    return torch.from_numpy(np.stack(pages)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Likeness(nn.Module):
    """Tell how much of each attribute pictures show: a scorer's log-odds, or CLIP's likeness to example pictures.

    Args:
        scorer: reads the attributes of `names`; `None` where there are none.
        names: columns of the scorer, see `tail_of`; `None` takes all of them.
        clip: compares pictures; a scorer's own if not given.
        folders: example pictures by attribute.

    Raises:
        ValueError: for unknown columns, or pictures without CLIP.
    """

    directions: Tensor | None

    def __init__(
        self,
        scorer: Scorer | None,
        names: Sequence[str] | None,
        clip: ClipModel | None,
        folders: Mapping[str, str],
    ) -> None:
        super().__init__()
        if scorer is None and names:
            raise ValueError("attributes: name a scorer, or clip and descriptors, to find their positives")
        self.scorer, self.folders = scorer, dict(folders)
        self.clip = scorer.clip if clip is None and isinstance(scorer, QMM) else clip
        if self.clip is None and folders:
            raise ValueError("examples: pictures are compared by CLIP; name one, e.g. clip: toyfaces-clip")
        columns = [] if scorer is None else list(scorer.columns if names is None else names)
        self.names = (*columns, *folders)
        self.tails = [] if scorer is None else [tail_of(scorer, name) for name in columns]
        self.register_buffer("directions", None)

    def compare(self, usual: Float[Tensor, "m 3 h w"]) -> None:
        """Read the example pictures, and learn what they have in common that usual pictures have not."""
        assert self.clip is not None
        side = usual.shape[-1]
        found = [
            likeness_direction(self.clip, read_pictures(folder, side).to(usual.device), usual)
            for folder in self.folders.values()
        ]
        self.directions = torch.stack(found)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b a"]:
        """Return a number for each of `names`, the higher the more; numbers of different names do not compare."""
        parts = []
        if self.scorer is not None:
            odds = self.scorer.log_odds(images)
            parts += [torch.stack([t.sign * odds[:, t.column] for t in self.tails], dim=1)] if self.tails else []
        if self.directions is not None:
            assert self.clip is not None
            parts.append(self.clip.encode_image(images) @ self.directions.T)
        return torch.cat(parts, dim=1)


@torch.no_grad()
def likeness_direction(
    clip: ClipModel, examples: Float[Tensor, "n 3 h w"], usual: Float[Tensor, "m 3 h w"]
) -> Float[Tensor, " d"]:
    """Return what CLIP sees in the examples and not in usual pictures: the difference of the mean embeddings."""
    wanted, common = (
        torch.cat([clip.encode_image(part) for part in pictures.split(16)]).mean(0) for pictures in (examples, usual)
    )
    return torch.nn.functional.normalize(wanted - common, dim=0)
