"""LightningDataModules: streams of codes, world pictures."""

from sat3d.data.codes import StyleCodeDataModule
from sat3d.generators.batches import CodeBatch, PairBatch

__all__ = ["CodeBatch", "PairBatch", "StyleCodeDataModule"]
