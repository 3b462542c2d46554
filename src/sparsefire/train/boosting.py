"""Gradient boosting, the yardstick that is never chosen: it has no weights, but it says what size might buy."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor


def fit_boosting(
    x: np.ndarray, y: np.ndarray, *, task: str, rng: int = 0, trees: int = 100, rows: int | None = None
) -> Any:
    """Fit histogram gradient boosting on prepared rows.

    Args:
        x: prepared rows, flattened.
        y: class codes, or targets.
        task: ``"classification"`` or ``"regression"``.
        rng: decides which rows are kept when there are more than ``rows``.
        trees: boosting rounds (each grows one tree per class), with rate 10 / trees, at most 0.3.
        rows: about as many rows are used at most, with every class; None uses all.

    >>> x = np.arange(60.0).reshape(-1, 1)
    >>> model = fit_boosting(x, (x[:, 0] > 30).astype(int), task="classification", trees=5)
    >>> model.predict([[0.0], [59.0]]).tolist()
    [0, 1]
    """
    flat = x.reshape(len(x), -1)
    if rows is not None and len(flat) > rows:
        kept = np.random.default_rng(rng).choice(len(flat), rows, replace=False)
        if task == "classification":  # no class may be lost
            kept = np.union1d(kept, np.unique(y, return_index=True)[1])
        flat, y = flat[kept], y[kept]
    kind = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    rate = min(0.3, 10.0 / trees)  # scikit-learn's 0.1 for its 100 trees
    model = kind(max_iter=trees, learning_rate=rate, early_stopping=False, random_state=rng % 2**32)
    return model.fit(flat, y)
