"""Frozen observers of images: CLIP with descriptor groups, attribute predictors, identity, parsing, regions."""

from sat3d.perception.attributes import AttributePredictor, PredictedAttribute, PredictorConfig
from sat3d.perception.clip import ClipModel, load_clip
from sat3d.perception.cluster_regions import ClusterRegions
from sat3d.perception.descriptor_groups import DescriptorGroups, bundled_descriptors
from sat3d.perception.identity import IdentityConfig, IdentityEmbedder
from sat3d.perception.network_regions import NetworkRegions, ParsingNetwork
from sat3d.perception.observer import Observer
from sat3d.perception.parsing import ParserConfig, PartParser
from sat3d.perception.perceptual import PerceptualNetwork, load_perceptual
from sat3d.perception.qmm import QMM
from sat3d.perception.region_source import RegionSource
from sat3d.perception.regions import ParserRegions, Regions
from sat3d.perception.scorer import Scorer, group_distance
from sat3d.perception.storage import load_observer, save_observer, save_weights

__all__ = [
    "QMM",
    "AttributePredictor",
    "ClipModel",
    "ClusterRegions",
    "DescriptorGroups",
    "IdentityConfig",
    "IdentityEmbedder",
    "NetworkRegions",
    "Observer",
    "ParserConfig",
    "ParserRegions",
    "ParsingNetwork",
    "PartParser",
    "PerceptualNetwork",
    "PredictedAttribute",
    "PredictorConfig",
    "RegionSource",
    "Regions",
    "Scorer",
    "bundled_descriptors",
    "group_distance",
    "load_clip",
    "load_observer",
    "load_perceptual",
    "save_observer",
    "save_weights",
]
