"""Metrics: torchmetrics classes around functions of tensors; they know no generator and no observer."""

from sat3d.metrics.consistency import ViewConsistency, view_spread
from sat3d.metrics.dependency import AttributeDependency, attribute_dependency
from sat3d.metrics.pictures import PictureMatch, masked_l1, masked_psnr
from sat3d.metrics.transfer import (
    TransferCurves,
    TransferScore,
    column_drift,
    gain_at_drift,
    mean_of_others,
    transfer_gain,
)

__all__ = [
    "AttributeDependency",
    "PictureMatch",
    "TransferCurves",
    "TransferScore",
    "ViewConsistency",
    "attribute_dependency",
    "column_drift",
    "gain_at_drift",
    "masked_l1",
    "masked_psnr",
    "mean_of_others",
    "transfer_gain",
    "view_spread",
]
