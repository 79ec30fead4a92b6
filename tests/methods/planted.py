"""Codes with planted labels, of which the truth can be read back: a nonlinear, invertible map of labels and noise."""

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer
from torch.utils.data import DataLoader, Dataset

from sat3d.data import Label, LabelledLatentDataModule, LatentFiles
from sat3d.generators.batches import LatentBatch

WIDTH, LABELS = 8, 3
COLUMNS = {"smile": {"value": [0]}, "hat": {"no": [1], "yes": [2]}}


def _mixing() -> torch.Tensor:
    return torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(7)))[0]


def planted(u: torch.Tensor) -> torch.Tensor:
    """Return codes of factors: smile in [-1, 1], hat ±1, and noise; each bends the next, then all are mixed."""
    return (u + 0.3 * torch.sin(2 * u.roll(1, 1)) * _first(u)) @ _mixing()


def factors(w: torch.Tensor) -> torch.Tensor:
    """Return the factors of codes: the inverse of `planted`."""
    bent = w @ _mixing().T
    u = [bent[:, 0]]
    for k in range(1, WIDTH):
        u.append(bent[:, k] - 0.3 * torch.sin(2 * u[-1]))
    return torch.stack(u, 1)


def _first(u: torch.Tensor) -> torch.Tensor:
    return torch.tensor([0.0] + [1.0] * (WIDTH - 1)).to(u)


def samples(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes and labels."""
    random = torch.Generator().manual_seed(seed)
    u = 0.5 * torch.randn(count, WIDTH, generator=random)
    u[:, 0] = 2 * torch.rand(count, generator=random) - 1
    u[:, 1] = (torch.rand(count, generator=random) < 0.5).float() * 2 - 1
    return planted(u), torch.stack([u[:, 0], -u[:, 1], u[:, 1]], 1)


class PlantedCodes(LightningDataModule):
    """Planted codes in batches that are the same in every epoch."""

    columns, label_width = COLUMNS, LABELS

    def __init__(self, count: int = 1024, batch_size: int = 64) -> None:
        super().__init__()
        self.count, self.batch_size = count, batch_size

    def _loader(self, count: int, seed: int) -> DataLoader:
        class Rows(Dataset):
            codes, labels = samples(count, seed)

            def __len__(self):
                return len(self.codes)

            def __getitem__(self, i):
                return i

        rows = Rows()

        def batch(numbers):
            index = torch.tensor(numbers)
            return LatentBatch(index, rows.codes[index], rows.labels[index], None)

        return DataLoader(rows, self.batch_size, collate_fn=batch)

    def train_dataloader(self):
        return self._loader(self.count, 0)

    def val_dataloader(self):
        return self._loader(128, 1)

    test_dataloader = val_dataloader


def planted_files(folder, count: int, **options) -> LabelledLatentDataModule:
    """Return planted codes as the library reads them: shuffled, shared by processes, and resumed within an epoch."""
    codes, labels = samples(count, 0)
    np.save(folder / "codes.npy", codes)
    np.save(folder / "labels.npy", torch.stack([labels[:, 0], (labels[:, 2] > 0).float()], 1))
    source = LatentFiles(str(folder / "codes.npy"), str(folder / "labels.npy"), columns=["smile", "hat"])
    plan = ["smile", Label("hat", classes=("no", "yes"))]
    return LabelledLatentDataModule(source, plan, **{"val": 8, "test": 8, "batch_size": 16, **options})


class Losses(Callback):
    """Keep the loss of every step."""

    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.values.append(float(outputs["loss"]))


def trainer(folder, **kwargs):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "devices": 1}
    return Trainer(default_root_dir=folder, **{**quiet, "logger": False, "enable_checkpointing": False, **kwargs})


def moved(editor, attribute, told=False):
    """Return how an edit moves the planted factors of 128 codes: what it should move, and the spread of the others.

    Both as parts of the strength: 0.5 for smile; 2 for hat/yes, on codes without a hat. `told` gives the labels.
    """
    w, labels = samples(128, 1)
    kept = labels[:, 2] < 0 if attribute == "hat/yes" else labels[:, 2] < 2
    row, strength = {"smile": (0, 0.5), "hat/yes": (1, 2.0)}[attribute]
    values = labels[kept] if told else None
    change = (factors(editor.edit(w[kept], attribute, strength, values=values)) - factors(w[kept])) / strength
    others = change[:, [k for k in range(WIDTH) if k != row]]
    return float(change[:, row].mean()), float(others.square().mean().sqrt())
