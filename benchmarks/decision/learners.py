"""Learners that cost microseconds: random-feature ridge nets by Gram matrices, trees, nearest neighbours.

Every learner has two calls: ``out_of_fold`` gives one prediction per row for K folds with one initialisation, and
``fresh`` trains on whole samples and predicts new rows (for the true difference). Predictions are real numbers; class
codes or probabilities are made of them by :func:`read_out`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from sparsefire.randomness import integer, stream


class Learner(Protocol):
    """What the experiments ask of a learner."""

    def out_of_fold(self, x: np.ndarray, y: np.ndarray, folds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return one prediction per row from K trainings that leave out its fold."""
        ...

    def fresh(self, x: np.ndarray, y: np.ndarray, new: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return predictions [B, m] of new rows [B, m, 8] after training on [B, n, 8]."""
        ...


@dataclass(frozen=True)
class Net:
    """Random tanh features and a ridge readout.

    Attributes:
        units: hidden units.
        fan_in: inputs per unit (8 is dense).
        inputs: only the first so many inputs of a random order may be used.
        frozen: the same random weights for ever (no initialisation noise).
        ridge: penalty, in units of rows.
    """

    units: int
    fan_in: int = 8
    inputs: int = 8
    frozen: bool = False
    ridge: float = 2.0

    @property
    def weights(self) -> int:
        """Number of weights that are not zero."""
        return self.units * (self.fan_in + 1)

    def draw(self, rng: np.random.Generator, nets: int) -> tuple[np.ndarray, np.ndarray]:
        """Return first-layer weights [nets, 8, units] and biases [nets, 1, units]."""
        if self.frozen:
            rng, nets = stream(0, "frozen", self.units, self.fan_in), 1
        usable = rng.random((nets, 8)).argsort(axis=1)[:, : self.inputs]
        picks = rng.random((nets, self.units, self.inputs)).argsort(axis=2)[:, :, : self.fan_in]
        chosen = np.take_along_axis(usable[:, None, :], picks, axis=2)
        w = np.zeros((nets, self.units, 8))
        np.put_along_axis(
            w, chosen, rng.standard_normal((nets, self.units, self.fan_in)) * 1.5 / np.sqrt(self.fan_in), axis=2
        )
        return w.transpose(0, 2, 1), 0.7 * rng.standard_normal((nets, 1, self.units))

    def features(self, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return tanh features with a constant at the end [..., n, units + 1]."""
        out = np.empty((*x.shape[:-1], self.units + 1))
        np.tanh(x @ w + b, out=out[..., :-1])
        out[..., -1] = 1.0
        return out

    def _solve(self, gram: np.ndarray, right: np.ndarray) -> np.ndarray:
        penalty = np.full(self.units + 1, self.ridge)
        penalty[-1] = 1e-9  # the constant is free
        return np.linalg.solve(gram + np.diag(penalty), right[..., None])[..., 0]

    def out_of_fold(self, x: np.ndarray, y: np.ndarray, folds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Gram matrices per fold, taken from their sum, and one batched solve."""
        w, b = self.draw(rng, 1)
        z = self.features(x, w[0], b[0])
        parts = [np.flatnonzero(folds == k) for k in range(int(folds.max()) + 1)]
        gram = np.stack([z[part].T @ z[part] for part in parts])
        right = np.stack([y[part] @ z[part] for part in parts])
        beta = self._solve(gram.sum(axis=0) - gram, right.sum(axis=0) - right)
        return np.einsum("ij,ij->i", z, beta[folds])

    def fresh(self, x: np.ndarray, y: np.ndarray, new: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Batched over data sets."""
        w, b = self.draw(rng, len(x))
        z = self.features(x, w, b)
        turned = z.swapaxes(1, 2)
        beta = self._solve(turned @ z, (turned @ y[..., None])[..., 0])
        return (self.features(new, w, b) @ beta[..., None])[..., 0]


@dataclass(frozen=True)
class Tree:
    """A regression tree of some depth with random subsets of 4 inputs at each split."""

    depth: int

    def _one(self, x: np.ndarray, y: np.ndarray, new: np.ndarray, state: int) -> np.ndarray:
        tree = DecisionTreeRegressor(max_depth=self.depth, max_features=4, random_state=state)
        return tree.fit(x, y, check_input=True).predict(new)

    def out_of_fold(self, x: np.ndarray, y: np.ndarray, folds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One tree per fold, one initialisation for all folds."""
        state, out = integer(rng) % 2**31, np.empty(len(y))
        for k in range(int(folds.max()) + 1):
            held = folds == k
            out[held] = self._one(x[~held], y[~held], x[held], state)
        return out

    def fresh(self, x: np.ndarray, y: np.ndarray, new: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One tree per data set."""
        return np.stack([self._one(*case, state=integer(rng) % 2**31) for case in zip(x, y, new, strict=True)])


@dataclass(frozen=True)
class Neighbours:
    """The mean of the nearest neighbours in the first inputs: no initialisation at all."""

    count: int
    inputs: int

    def _mean(self, distance: np.ndarray, y: np.ndarray) -> np.ndarray:
        nearest = np.argpartition(distance, self.count - 1, axis=-1)[..., : self.count]
        return np.take_along_axis(np.broadcast_to(y[..., None, :], distance.shape), nearest, axis=-1).mean(axis=-1)

    def _distance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = a[..., : self.inputs], b[..., : self.inputs]
        squares = np.square(a).sum(-1)[..., :, None] + np.square(b).sum(-1)[..., None, :]
        return squares - 2 * a @ b.swapaxes(-1, -2)

    def out_of_fold(self, x: np.ndarray, y: np.ndarray, folds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """All distances once; rows of the same fold are infinitely far."""
        distance = self._distance(x, x)
        distance[folds[:, None] == folds[None, :]] = np.inf
        return self._mean(distance, y)

    def fresh(self, x: np.ndarray, y: np.ndarray, new: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Batched over data sets."""
        return self._mean(self._distance(new, x), y)


def read_out(score: str, value: np.ndarray) -> np.ndarray:
    """Return what the decision takes: class codes for accuracy, else the number itself (a probability, a value)."""
    return (value > 0.5).astype(np.int64) if score == "accuracy" else value


DENSE = Net(40)
LEARNERS: dict[str, tuple[Learner, Learner]] = {  # name → (small, dense)
    "cut": (Net(12, fan_in=3), DENSE),
    "drop": (Net(30, fan_in=3, inputs=5), DENSE),
    "eq": (Net(40), DENSE),
    "fix": (Net(12, fan_in=3, frozen=True), Net(40, frozen=True)),
    "tiny": (Net(5, fan_in=2), DENSE),
    "tree": (Tree(2), Tree(7)),
    "knn": (Neighbours(15, 3), Neighbours(9, 8)),
}
FAMILY: dict[str, tuple[Net, ...]] = {  # three methods, four densities each, from dense to sparse
    "fan-in": tuple(Net(32, fan_in=k) for k in (6, 4, 3, 2)),
    "units": tuple(Net(u) for u in (30, 22, 16, 11)),
    "both": (
        Net(30, fan_in=6, inputs=7),
        Net(24, fan_in=5, inputs=7),
        Net(18, fan_in=4, inputs=6),
        Net(13, fan_in=3, inputs=6),
    ),
}
