"""One linear SVM: the boundary between positive and negative codes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Boundary(NamedTuple):
    """Hold a hyperplane n·w + b = 0.

    Args:
        normal: n, of length 1, towards the positives, (D,).
        bias: b, so that n·w + b is a signed distance.
        accuracy: on the codes that were left out; NaN where there are none.
    """

    normal: Tensor
    bias: float
    accuracy: float


def fit_boundary(
    positives: Float[Tensor, "p d"], negatives: Float[Tensor, "n d"], share: float = 0.7, seed: int = 0
) -> Boundary:
    """Separate two sets of codes by a linear SVM of scikit-learn (InterFaceGAN, arXiv 1907.10786, §3.1).

    Args:
        positives: codes that show the attribute.
        negatives: codes that do not.
        share: of each that is learnt from.
        seed: of which.

    Raises:
        ImportError: without scikit-learn.
    """
    try:
        from sklearn.svm import SVC
    except ImportError as error:
        raise ImportError("InterFaceGAN needs scikit-learn: pip install 'sat3d[svm]'") from error
    random = torch.Generator().manual_seed(seed)
    learnt, kept = [], []
    for codes in (positives, negatives):
        order = torch.randperm(len(codes), generator=random)
        cut = max(1, round(share * len(codes)))
        learnt.append(codes.cpu().double()[order[:cut]])
        kept.append(codes.cpu().double()[order[cut:]])
    machine = SVC(kernel="linear")
    machine.fit(torch.cat(learnt).numpy(), [1] * len(learnt[0]) + [0] * len(learnt[1]))
    normal, bias = torch.from_numpy(machine.coef_[0].copy()), float(machine.intercept_[0])
    size = float(normal.norm())
    right = torch.cat([kept[0] @ normal + bias > 0, kept[1] @ normal + bias < 0]).double()
    return Boundary((normal / size).float(), bias / size, float(right.mean()) if len(right) else float("nan"))
