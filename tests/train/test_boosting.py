"""Oracle: scikit-learn's histogram gradient boosting with the same settings."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from sparsefire.train import fit_boosting

X = np.random.default_rng(0).normal(size=(200, 2, 3)).astype("float32")
SCORE = X[:, 0, 0] * X[:, 1, 1]


# The rate is 10 / trees, at most 0.3: scikit-learn's own 0.1 for its own 100 trees.
RATES = [(15, 0.3), (50, 0.2), (100, 0.1)]


@pytest.mark.parametrize(("trees", "rate"), RATES)
def test_a_classifier_is_sklearns(trees: int, rate: float) -> None:
    y = (SCORE > 0).astype(int) + (SCORE > 1)
    ours = fit_boosting(X, y, task="classification", trees=trees, rng=3)
    peer = HistGradientBoostingClassifier(max_iter=trees, learning_rate=rate, early_stopping=False)
    peer.fit(X.reshape(200, 6), y)
    np.testing.assert_allclose(ours.predict_proba(X.reshape(200, 6)), peer.predict_proba(X.reshape(200, 6)))
    assert ours.n_iter_ == trees


@pytest.mark.parametrize(("trees", "rate"), RATES)
def test_a_regressor_is_sklearns(trees: int, rate: float) -> None:
    ours = fit_boosting(X, SCORE, task="regression", trees=trees)
    peer = HistGradientBoostingRegressor(max_iter=trees, learning_rate=rate, early_stopping=False)
    peer.fit(X.reshape(200, 6), SCORE)
    np.testing.assert_allclose(ours.predict(X.reshape(200, 6)), peer.predict(X.reshape(200, 6)))


@pytest.mark.parametrize("rng", [0, 2**63 - 1])
def test_rows_are_bounded_and_drawn_by_rng(rng: int) -> None:
    """With a leaf of at least 20 rows, 30 rows allow one split: at most two values; all rows allow many."""
    y = np.arange(200.0)
    flat = X.reshape(200, 6)
    few = fit_boosting(X, y, task="regression", trees=1, rows=30, rng=rng)
    assert len(np.unique(few.predict(flat))) == 1  # 30 rows cannot be split into two leaves of 20
    again = fit_boosting(X, y, task="regression", trees=1, rows=30, rng=rng)
    other = fit_boosting(X, y, task="regression", trees=1, rows=30, rng=rng - 1 if rng else 1)
    assert (few.predict(flat) == again.predict(flat)).all()
    assert (few.predict(flat) != other.predict(flat)).all()
    assert len(np.unique(fit_boosting(X, y, task="regression", trees=1, rows=200).predict(flat))) > 2
