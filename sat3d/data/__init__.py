"""LightningDataModules: streams of codes, labelled codes, world pictures."""

from sat3d.data.codes import StyleCodeDataModule
from sat3d.data.labels import Label
from sat3d.data.latent_sources import LatentFiles, LatentSource
from sat3d.data.latents import LabelledLatentDataModule
from sat3d.data.sampled_latents import SampledLatents
from sat3d.generators.batches import CodeBatch, LatentBatch, PairBatch

__all__ = [
    "CodeBatch",
    "Label",
    "LabelledLatentDataModule",
    "LatentBatch",
    "LatentFiles",
    "LatentSource",
    "PairBatch",
    "SampledLatents",
    "StyleCodeDataModule",
]
