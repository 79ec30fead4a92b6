"""Boundaries that others released: read from .npy files, and tried on the generator that they shall edit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from sat3d.generators import Generator
from sat3d.generators.batches import CodeBatch
from sat3d.methods.base import edited_styles
from sat3d.methods.directions import DirectionEditor
from sat3d.methods.interfacegan.editor import BoundaryEditor
from sat3d.methods.sweeps import tail_of
from sat3d.perception import Scorer


class Effect(NamedTuple):
    """Say what a boundary does to its attribute.

    Args:
        change: of the attribute's log-odds from −shift to +shift, mean over codes, in σ of unedited pictures.
        chance: the most that any of the random directions changed it, either way.
    """

    change: float
    chance: float

    @property
    def belongs(self) -> bool:
        """Whether the boundary moves the attribute more than every random direction does, and the right way."""
        return self.change > self.chance


def read_boundaries(files: Mapping[str, str | Path], generator: Generator, codes: CodeBatch) -> BoundaryEditor:
    """Read released boundaries: unit normals (D,) or (1, D), one in a .npy file, for w.

    Args:
        files: for each attribute its file. Arrays only: a pickled object is refused.
        generator: whose w they shall move.
        codes: sampled ones, of which the spread along each normal is the unit of strength.

    Raises:
        FileNotFoundError: for missing files.
        ValueError: for what is no array of numbers, not of the generator's width, of no length or not finite.
    """
    normals = torch.stack([_normal(name, Path(path), generator.w_dim) for name, path in files.items()])
    sigma = (codes.ws[:, 0].cpu() @ normals.T).std(0, correction=0)
    return BoundaryEditor(tuple(files), sigma[:, None] * normals).to(codes.ws.device)


def _normal(name: str, path: Path, width: int) -> Float[Tensor, " d"]:
    if not path.is_file():
        raise FileNotFoundError(f"files: {name}: no file {path}")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"files: {name}: {path} is no .npy file of plain numbers ({error})") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.shape not in ((width,), (1, width)):
        told = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise ValueError(
            f"files: {name}: {path} holds {told}, not (1, {width}) numbers, the width of the generator's w"
        )
    normal = torch.from_numpy(array.astype(np.float64)).reshape(width)
    if not bool(normal.isfinite().all()) or float(normal.norm()) < 1e-6:
        raise ValueError(f"files: {name}: {path} is no direction: it is not finite, or of length 0")
    return (normal / normal.norm()).float()


@torch.no_grad()
def boundary_effects(
    editor: DirectionEditor,
    columns: Mapping[str, str],
    generator: Generator,
    scorer: Scorer,
    codes: CodeBatch,
    shift: float = 3.0,
    controls: int = 30,
    seed: int = 0,
    chunk: int = 16,
) -> dict[str, Effect]:
    """Try directions on codes, beside random ones, which a boundary of another generator is as good as.

    Each is added and subtracted, `shift` σ of the codes along it. A direction that has nothing to do with its attribute
    passes `Effect.belongs` with probability 1 / (2 · (controls + 1)).

    Args:
        editor: of w, strength 1 being σ.
        columns: for each attribute its column of the scorer, with a minus before it for the low end.
        generator: shows the codes.
        scorer: tells the attributes.
        codes: B of them.
        shift: strength.
        controls: random directions.
        seed: of the random directions.
        chunk: pictures made at a time.
    """
    parts = [codes[i : i + chunk] for i in range(0, len(codes), chunk)]

    def read(styles: list[Tensor]) -> Tensor:
        images = (generator.synthesize(s, camera=p.camera).image for s, p in zip(styles, parts, strict=True))
        return torch.cat([scorer.log_odds(image) for image in images])

    def change(tried: DirectionEditor, name: str) -> Tensor:
        high, low = (read([edited_styles(generator, tried, p, name, x) for p in parts]) for x in (shift, -shift))
        return (high - low).mean(0) / std

    std = read([part.styles for part in parts]).std(0, correction=0).clamp_min(1e-6)
    random = torch.randn(controls, generator.w_dim, generator=torch.Generator().manual_seed(seed))
    random = random / random.norm(dim=1, keepdim=True)
    spread = (codes.ws[:, 0].cpu() @ random.T).std(0, correction=0)
    chance = DirectionEditor([str(k) for k in range(controls)], spread[:, None] * random).to(codes.ws.device)
    bar = tqdm(chance.attributes, desc="Random directions")
    most = torch.stack([change(chance, name) for name in bar]).abs().amax(0)
    found = {}
    for name in editor.attributes:
        tail = tail_of(scorer, columns.get(name, name))
        found[name] = Effect(tail.sign * float(change(editor, name)[tail.column]), float(most[tail.column]))
    return found
