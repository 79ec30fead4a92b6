"""The map between codes and attributes: non-linear, exactly invertible, and exact about its distributions."""

from __future__ import annotations

import numpy as np
import torch

from sat3d.world.attributes import Floats

_EDGE = 1e-7  # how near a uniform coordinate may come to 0 or 1


class CodeMap:
    """Map standard normal codes to uniform coordinates with given correlations, and back.

    Each round rotates pairs of coordinates in their plane, by angles proportional to a fixed random combination of
    *other* coordinates. Given those, a rotation keeps the standard normal distribution, and it is undone by reading the
    same angles again: so `g(z)` is standard normal if `z` is, exactly, and invertible. Normal scores are then
    `x = L g` with `L Lᵀ` the correlation matrix, and coordinates `u = Φ(x)`. The angles' spread sets how non-linear
    the map is: with angles of standard deviation `bend`, one rotation leaves a linear probe R² = exp(-bend²).

    Args:
        correlations: positive definite matrix with ones on its diagonal, (n, n).
        seed: of the couplings.
        rounds: how many times every coordinate is rotated.
        bend: standard deviation of the angles, radians.
        reads: how many other coordinates make an angle.

    Raises:
        ValueError: if the matrix is not a positive definite correlation matrix of at least four coordinates.
    """

    def __init__(
        self, correlations: Floats, seed: int = 0, rounds: int = 1, bend: float = 0.72, reads: int = 2
    ) -> None:
        self.correlations = np.asarray(correlations, dtype=np.float64)
        self.size = n = len(self.correlations)
        if n < 4:
            raise ValueError(f"two pairs of coordinates are needed, at least: correlations are {n} by {n}")
        if not np.allclose(np.diag(self.correlations), 1) or np.linalg.eigvalsh(self.correlations).min() <= 0:
            raise ValueError("correlations must be a positive definite matrix with ones on its diagonal")
        self._factor = np.linalg.cholesky(self.correlations)
        self._halves: list[int] = []  # how many rotations each half of a round ends with
        # RandomState's stream is frozen across versions of numpy, and with it the world
        random = np.random.RandomState(seed)
        self._rotations = []
        for _ in range(rounds):
            order = random.permutation(n)
            for turned, read in ((order[: n // 2], order[n // 2 :]), (order[n // 2 :], order[: n // 2])):
                pairs = turned[: len(turned) // 2 * 2].reshape(-1, 2)
                self._rotations.append(_Rotation(pairs, read, random, bend, reads))
                if len(turned) % 2:  # the one without a partner turns with one of the others
                    pair = np.array([turned[-1], read[0]])
                    rest = np.setdiff1d(order, pair)
                    self._rotations.append(_Rotation(pair.reshape(1, 2), rest, random, bend, reads))
                self._halves.append(len(self._rotations))

    def normal(self, z: Floats) -> Floats:
        """Map codes (B, n) to correlated normal scores (B, n)."""
        return self.stages(z)[-1]

    def stages(self, z: Floats) -> list[Floats]:
        """Give what codes (B, n) are after each half of a round, (B, n) each; the last are correlated normal scores."""
        g, stages = np.array(z, dtype=np.float64), []
        for i, rotation in enumerate(self._rotations, start=1):
            rotation.turn(g, 1.0)
            if i in self._halves:
                stages.append(g.copy())
        return [*stages[:-1], np.asarray(stages[-1] @ self._factor.T)]

    def code(self, x: Floats) -> Floats:
        """Map normal scores (B, n) back to codes (B, n)."""
        g = np.linalg.solve(self._factor, np.asarray(x, dtype=np.float64).T).T.copy()
        for rotation in reversed(self._rotations):
            rotation.turn(g, -1.0)
        return g


class _Rotation:
    """Turn pairs of coordinates, in place, by angles that depend on some of the coordinates in `read`."""

    def __init__(
        self, pairs: np.ndarray, read: np.ndarray, random: np.random.RandomState, bend: float, reads: int
    ) -> None:
        self.pairs = pairs
        self.read = np.stack([random.permutation(read)[:reads] for _ in pairs])
        weights = random.standard_normal(self.read.shape)
        self.weights = bend * weights / np.linalg.norm(weights, axis=1, keepdims=True)

    def turn(self, g: Floats, sign: float) -> None:
        """Rotate by the angles (sign 1) or back (sign -1)."""
        angles = sign * (g[:, self.read] * self.weights).sum(-1)
        cos, sin = np.cos(angles), np.sin(angles)
        a, b = g[:, self.pairs[:, 0]], g[:, self.pairs[:, 1]]
        g[:, self.pairs[:, 0]], g[:, self.pairs[:, 1]] = cos * a - sin * b, sin * a + cos * b


def uniform_from_normal(x: Floats) -> Floats:
    """Map normal scores to (0, 1), kept off both ends."""
    return np.asarray(np.clip(torch.special.ndtr(torch.from_numpy(x)).numpy(), _EDGE, 1 - _EDGE))


def normal_from_uniform(u: Floats) -> Floats:
    """Map coordinates in (0, 1) to normal scores."""
    return np.asarray(torch.special.ndtri(torch.from_numpy(np.clip(u, _EDGE, 1 - _EDGE))).numpy())


def counted_uniform(seed: int, indices: np.ndarray, count: int, stream: int = 0) -> Floats:
    """Draw `count` numbers in (0, 1) for each index: a pure function of (seed, stream, index), whatever the batch.

    The generator is SplitMix64's finaliser (Steele et al. 2014) run over a counter.

    Returns:
        (len(indices), count).
    """
    with np.errstate(over="ignore"):
        key = _mixed(np.uint64(seed & 0xFFFFFFFFFFFFFFFF) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(stream + 1))
        rows = _mixed(key ^ _mixed(np.asarray(indices, dtype=np.uint64) + np.uint64(0xD1B54A32D192ED03)))
        bits = _mixed(rows[:, None] + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, count + 1, dtype=np.uint64))
    return np.asarray(((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def _mixed(x: np.ndarray | np.uint64) -> np.ndarray:
    x = np.asarray(x, dtype=np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
