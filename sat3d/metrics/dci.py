"""DCI: disentanglement, completeness and informativeness of a code (Eastwood & Williams 2018).

After StyleSpace (Wu et al. 2021, arXiv 2011.12799, §3), whose released class reads two columns of the attributes only;
here all of them count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

Engine = Literal["boosting", "histogram", "linear"]
ENGINES: tuple[Engine, ...] = get_args(Engine)


class DCIScores(NamedTuple):
    """Hold the three scores, and what they are made of.

    Args:
        disentanglement: D.
        completeness: C.
        informativeness: I, mean accuracy on the held-out halves.
        attributes: those that were kept, K.
        importance: R, each column of sum 1 (or 0), (C, K).
        accuracy: of each attribute, (K,).
    """

    disentanglement: float
    completeness: float
    informativeness: float
    attributes: tuple[str, ...]
    importance: Tensor
    accuracy: Tensor


def disentanglement(importance: Float[Tensor, "c k"]) -> float:
    """Return D = Σ_i ρ_i (1 − H_K(R_i)): 1 where each channel matters to one attribute.

    ρ_i is the row's share of R, H_K the entropy of the row to base K; 0 if R is. The 1e-11 that the released code adds
    to R is not needed: an entropy's limit at 0 is known.
    """
    return _concentration(importance)


def completeness(importance: Float[Tensor, "c k"]) -> float:
    """Return C = Σ_j ρ_j (1 − H_C(R_·j)): 1 where one channel matters to each attribute; see `disentanglement`."""
    return _concentration(importance.T)


def _concentration(rows: Tensor) -> float:
    """Average 1 − H of the rows, H to the base of their length, by their sums."""
    if rows.shape[1] < 2:
        raise ValueError("the entropy needs two attributes and two channels at least")
    if not bool((rows >= 0).all()):
        raise ValueError("importances are numbers from 0 up")
    rows = rows.double()
    total = rows.sum(1, keepdim=True)
    entropy = torch.special.entr(rows / total.clamp_min(torch.finfo(rows.dtype).tiny)).sum(1) / math.log(rows.shape[1])
    return float(((1 - entropy) * total[:, 0]).sum() / total.sum()) if total.any() else 0.0


def channel_importance(
    train: tuple[Float32[np.ndarray, "n c"], Bool[np.ndarray, " n"]],
    test: tuple[Float32[np.ndarray, "m c"], Bool[np.ndarray, " m"]],
    engine: Engine = "boosting",
    seed: int = 0,
) -> tuple[Float[np.ndarray, " c"], float]:
    """Fit a classifier of one attribute and weigh the channels in it.

    Args:
        train: codes (N, C) and labels (N,).
        test: the same, held out.
        engine: `boosting`: gradient-boosted trees and their decrease of impurity (the paper's); `histogram`: histogram
            trees and the rise of the held-out log loss when a channel is shuffled (5 times, not below 0); `linear`:
            logistic regression and |coefficient| on standardised codes.
        seed: of the trees and of the shuffling.

    Returns:
        importance, (C,), of sum 1 or all 0, so that attributes weigh alike in every engine; held-out accuracy.
    """
    try:
        from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise ImportError("the importances of DCI need scikit-learn: pip install 'sat3d[dci]'") from error
    model: Any
    if engine == "boosting":
        model = GradientBoostingClassifier(random_state=seed).fit(*train)
        weight = np.abs(model.feature_importances_)  # rounding leaves some just below 0
    elif engine == "histogram":
        model = HistGradientBoostingClassifier(early_stopping=False, random_state=seed).fit(*train)
        weight = _shuffling_loss(model, *test, seed)
    else:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(*train)
        weight = np.abs(model[-1].coef_[0])
    return weight / (weight.sum() or 1.0), float(model.score(*test))


def _shuffling_loss(model: Any, codes: np.ndarray, labels: np.ndarray, seed: int, repeats: int = 5) -> np.ndarray:
    """Return the mean rise of the log loss over `repeats` shuffles of each channel, 0 where it falls."""

    def loss() -> float:
        return float(np.logaddexp(0, -sign * model.decision_function(shuffled)).mean())

    splits = [tree.nodes[tree.nodes["is_leaf"] == 0] for trees in model._predictors for tree in trees]
    used = np.unique(np.concatenate([nodes["feature_idx"] for nodes in splits]))  # shuffling the others changes nothing
    weight, rng, sign = np.zeros(codes.shape[1]), np.random.default_rng(seed), np.where(labels, 1, -1)
    shuffled = np.asfortranarray(codes, dtype=np.float64)  # the trees' own type, by columns: three times as fast
    before = loss()
    for channel in used:
        column = shuffled[:, channel].copy()
        for _ in range(repeats):
            shuffled[:, channel] = rng.permutation(column)
            weight[channel] += (loss() - before) / repeats
        shuffled[:, channel] = column
    return weight.clip(min=0)


def dci_scores(
    codes: Float[Tensor, "n c"],
    logits: Float[Tensor, "n a"],
    attributes: Sequence[str],
    engine: Engine = "boosting",
    share: float = 0.02,
    minimum: float = 0.05,
    seed: int = 0,
) -> DCIScores:
    """Measure DCI of codes: for each attribute the tails by logit, labelled by its sign; half to train, half to test.

    The rows' order does not matter: they are put in an order of their own, then shuffled by the seed.

    Args:
        codes: z, w or s of pictures sampled without truncation, (N, C).
        logits: of the pictures' attributes, (N, A).
        attributes: names, A.
        engine: see `channel_importance`.
        share: of the rows in each tail.
        minimum: attributes with no more than this share of the rows on either side of logit 0 are left out.
        seed: of the halves and of the engine.

    Raises:
        ValueError: fewer than two attributes are left, or a half of an attribute's tails has one label only.
    """
    if not bool(logits.isfinite().all()):
        raise ValueError("a logit is not finite")
    table, number = logits.double().cpu().numpy(), round(share * len(logits))
    names = [*attributes]
    kept = [j for j in range(len(names)) if min((table[:, j] > 0).mean(), (table[:, j] < 0).mean()) > minimum]
    if len(kept) < 2:
        raise ValueError(f"DCI needs two attributes with more than {minimum:.0%} of the rows on either side of logit 0")
    order = np.lexsort((codes[:, 0].cpu().numpy(), *table.T))
    order = order[np.random.default_rng(seed).permutation(len(order))]  # ties are broken at random
    columns, accuracy = [], []
    for j in kept:
        rising = order[table[order, j].argsort(kind="stable")]
        rows = np.concatenate([rising[:number], rising[len(rising) - number :]])
        rows = rows[np.random.default_rng((seed, j)).permutation(len(rows))]
        x, y = codes[torch.from_numpy(rows).to(codes.device)].float().cpu().numpy(), table[rows, j] > 0
        halves = (x[:number], y[:number]), (x[number:], y[number:])
        if any(len(np.unique(label)) < 2 for _, label in halves):
            raise ValueError(f"{names[j]}: {len(rows)} rows of the tails give a half with one label only; take more")
        weight, score = channel_importance(*halves, engine, seed)
        columns.append(weight)
        accuracy.append(score)
    importance = torch.from_numpy(np.stack(columns, axis=1)).double()
    return DCIScores(
        disentanglement(importance),
        completeness(importance),
        float(np.mean(accuracy)),
        tuple(names[j] for j in kept),
        importance,
        torch.tensor(accuracy, dtype=torch.float64),
    )


class DCI(Metric):
    """Collect codes and logits, and measure DCI by each engine apart; see `dci_scores`.

    Codes are kept in float32: 100,000 of 9,088 channels take 3.6 GB; `compute_on_cpu=True` keeps them off the device.

    Args:
        attributes: names of the logits' columns.
        engines: see `channel_importance`; the paper's takes minutes an attribute on thousands of channels.
        share: of the rows in each tail.
        minimum: see `dci_scores`.
        seed: see `dci_scores`.
        kwargs: torchmetrics' own.

    Example:
        >>> metric = DCI(("hat", "smile"), engines=("linear",), share=0.2)
        >>> logits = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
        >>> metric.update(codes=logits, logits=logits)
        >>> round(metric.compute()["linear"].disentanglement, 1)
        0.7
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    codes: list[Tensor]
    logits: list[Tensor]

    def __init__(
        self,
        attributes: Sequence[str],
        engines: Sequence[Engine] = ENGINES,
        share: float = 0.02,
        minimum: float = 0.05,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.attributes, self.engines = tuple(attributes), tuple(engines)
        self.share, self.minimum, self.seed = share, minimum, seed
        for name in ("codes", "logits"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, codes: Float[Tensor, "n c"], logits: Float[Tensor, "n a"]) -> None:
        """Add codes and the logits of their pictures."""
        # Flat, as torchmetrics gathers an empty vector from a device without rows.
        self.codes.append(codes.detach().float().flatten())
        self.logits.append(logits.detach().float().flatten())

    def compute(self) -> dict[str, DCIScores]:
        """Return the scores by engine."""
        logits = dim_zero_cat(self.logits).reshape(-1, len(self.attributes))
        codes = dim_zero_cat(self.codes).reshape(len(logits), -1)
        return {
            engine: dci_scores(codes, logits, self.attributes, engine, self.share, self.minimum, self.seed)
            for engine in self.engines
        }
