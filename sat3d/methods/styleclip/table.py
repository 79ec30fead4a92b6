"""The table Δi: in which direction of CLIP's space a picture goes when one style channel changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize
from torchmetrics import Metric

TABLE, TABLE_CARD = "channel_directions.safetensors", "channel_directions.json"


def channel_directions(
    look: Callable[[Tensor], Tensor],
    styles: Float[Tensor, " c"],
    channels: Int[Tensor, " u"],
    mean: Float[Tensor, " c"],
    reach: Float[Tensor, " c"],
    batch: int = 16,
    quiet: bool = True,
) -> Float[Tensor, "u d"]:
    """Set one channel of a picture at a time to both its ends, and return what CLIP sees change.

    unit(E_i(G(s with s_c = μ_c + r_c)) − E_i(G(s with s_c = μ_c − r_c))), Patashnik et al. 2021, arXiv 2103.17249,
    §6.2; 0 for a channel on which the picture does not depend.

    Args:
        look: styles (B, C) to unit image features (B, D).
        styles: of the picture, (C,).
        channels: flat indices, (U,).
        mean: the population's μ, (C,).
        reach: r, the paper's is 5 σ, (C,).
        batch: pictures made at a time.
        quiet: show no progress bar; it appears where one picture takes longer than 10 s.

    Returns:
        (U, D).
    """
    from tqdm.auto import tqdm

    ends = torch.stack([mean + reach, mean - reach], dim=1)[channels].flatten()  # up, down, up, …
    rows = channels.repeat_interleave(2)
    steps = torch.arange(len(rows), device=channels.device).split(batch)
    features = []
    for step in tqdm(steps, desc="channels", leave=False, disable=quiet, delay=10):
        edited = styles.repeat(len(step), 1)
        edited[torch.arange(len(step)), rows[step]] = ends[step]
        features.append(look(edited))
    up, down = torch.cat(features).unflatten(0, (-1, 2)).unbind(1)
    return normalize(up - down, dim=1)


class DirectionMean(Metric):
    """Average unit directions over pictures, and make them unit again.

    Args:
        rows: U.
        columns: D.
        kwargs: torchmetrics' own.
    """

    is_differentiable = False
    full_state_update = False

    total: Tensor
    pictures: Tensor

    def __init__(self, rows: int, columns: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros(rows, columns, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("pictures", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, directions: Float[Tensor, "u d"]) -> None:
        """Add one picture's."""
        self.total = self.total + directions.double()
        self.pictures = self.pictures + 1

    def compute(self) -> Tensor:
        """Return the directions, (U, D), float32; rows of 0 where nothing was seen."""
        return normalize(self.total, dim=1).float()


class ChannelDirections(NamedTuple):
    """Hold what was found about U of C channels, apart from any text.

    Args:
        directions: Δi, unit rows, (U, D), float32.
        channels: flat indices, (U,).
        population: mean and σ of all channels, (2, C), float64.
        facts: what it is of: networks by hash, and settings; plain data.
    """

    directions: Tensor
    channels: Tensor
    population: Tensor
    facts: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write `channel_directions.safetensors` and `.json`."""
        tensors = {k: v.detach().cpu().contiguous() for k, v in self._asdict().items() if k != "facts"}
        partial = folder / f"{TABLE}.part"
        save_file(tensors, partial)
        partial.replace(folder / TABLE)
        partial = folder / f"{TABLE_CARD}.part"
        partial.write_text(json.dumps({"format": 1, **self.facts}, indent=2) + "\n")
        partial.replace(folder / TABLE_CARD)


def read_table(path: str | Path, wanted: Mapping[str, Any]) -> ChannelDirections:
    """Read an earlier run's table.

    Args:
        path: its run folder, or one of the two files.
        wanted: facts that it must have.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: it is damaged, or of something else.
    """
    folder = Path(path).parent if Path(path).name in (TABLE, TABLE_CARD) else Path(path)
    for name in (TABLE, TABLE_CARD):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"table: no file {folder / name}; give the folder of an earlier run")
    try:
        facts = json.loads((folder / TABLE_CARD).read_text())
        tensors = load_tensors((folder / TABLE).read_bytes())
        found = ChannelDirections(**{k: tensors[k] for k in ("directions", "channels", "population")}, facts=facts)
    except (SafetensorError, json.JSONDecodeError, UnicodeDecodeError, KeyError) as error:
        raise ValueError(f"table: {folder} is truncated or damaged ({error})") from error
    for key, value in json.loads(json.dumps(wanted)).items():  # tuples as the lists that were written
        if facts.get(key) != value:
            raise ValueError(f"table: {folder} was made with {key}={facts.get(key)}, not {value}; leave table out")
    return found
