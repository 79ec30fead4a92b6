"""Metrics: torchmetrics classes around functions of tensors; they know no generator and no observer."""

from sat3d.metrics.agreement import Agreement, RegionAgreement, agreement, part_overlap, pixel_counts
from sat3d.metrics.change import ALLOWED_DRIFT, ChangeAtDrift, change_at_drift
from sat3d.metrics.consistency import ViewConsistency, view_spread
from sat3d.metrics.contribution import ChannelContribution, RegionResponse, contribution, membership_sums
from sat3d.metrics.dci import DCI, DCIScores, channel_importance, completeness, dci_scores, disentanglement
from sat3d.metrics.dependency import (
    AttributeDependency,
    DependencyCurve,
    MatchedDependency,
    attribute_dependency,
    matched_dependency,
)
from sat3d.metrics.locality import (
    ChannelRegions,
    EditLocality,
    LocalityScores,
    RegionOverlap,
    change_inside,
    lab_errors,
    locally_active,
    region_grid,
    region_hits,
    winning_region,
)
from sat3d.metrics.moments import (
    ColumnCovariance,
    ColumnMoments,
    Covariance,
    Moments,
    merge_moments,
    merge_scatter,
    row_moments,
    row_scatter,
)
from sat3d.metrics.perceptual import feature_distance
from sat3d.metrics.pictures import PictureErrors, PictureMatch, masked_l1, masked_psnr, picture_errors
from sat3d.metrics.reprojection import reprojection_error, warped_view
from sat3d.metrics.top import Ranking, TopRows
from sat3d.metrics.transfer import (
    TransferCurves,
    TransferScore,
    column_drift,
    gain_at_drift,
    mean_of_others,
    transfer_gain,
)

__all__ = [
    "ALLOWED_DRIFT",
    "DCI",
    "Agreement",
    "AttributeDependency",
    "ChangeAtDrift",
    "ChannelContribution",
    "ChannelRegions",
    "ColumnCovariance",
    "ColumnMoments",
    "Covariance",
    "DCIScores",
    "DependencyCurve",
    "EditLocality",
    "LocalityScores",
    "MatchedDependency",
    "Moments",
    "PictureErrors",
    "PictureMatch",
    "Ranking",
    "RegionAgreement",
    "RegionOverlap",
    "RegionResponse",
    "TopRows",
    "TransferCurves",
    "TransferScore",
    "ViewConsistency",
    "agreement",
    "attribute_dependency",
    "change_at_drift",
    "change_inside",
    "channel_importance",
    "column_drift",
    "completeness",
    "contribution",
    "dci_scores",
    "disentanglement",
    "feature_distance",
    "gain_at_drift",
    "lab_errors",
    "locally_active",
    "masked_l1",
    "masked_psnr",
    "matched_dependency",
    "mean_of_others",
    "membership_sums",
    "merge_moments",
    "merge_scatter",
    "part_overlap",
    "picture_errors",
    "pixel_counts",
    "region_grid",
    "region_hits",
    "reprojection_error",
    "row_moments",
    "row_scatter",
    "transfer_gain",
    "view_spread",
    "warped_view",
    "winning_region",
]
