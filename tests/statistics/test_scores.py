"""Oracle: scikit-learn's metrics."""

import numpy as np
import pytest
from sklearn import metrics

from sparsefire.errors import UserError
from sparsefire.statistics import accuracy, auc, r2, score_of
from sparsefire.statistics.scores import correctness


def test_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, guess = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    assert accuracy(y, guess) == metrics.accuracy_score(y, guess)
    binary, score = rng.integers(0, 2, 200), rng.integers(0, 20, 200) / 20
    assert auc(binary, score) == pytest.approx(metrics.roc_auc_score(binary, score), rel=1e-12)
    value, fit = rng.normal(size=200), rng.normal(size=200)
    assert r2(value, fit) == pytest.approx(metrics.r2_score(value, fit), rel=1e-12)
    assert score_of("r2", value, fit) == r2(value, fit)


def test_correctness_keeps_rounds():
    table = correctness([0, 1, 2], np.array([[0, 1], [1, 1], [0, 2]]))
    np.testing.assert_array_equal(table, [[1, 0], [1, 1], [0, 1]])


@pytest.mark.parametrize(
    "call",
    [
        lambda: score_of("rmse", [0, 1], [0, 1]),
        lambda: accuracy([0, 1], [0, 1, 1]),
        lambda: auc([0, 0], [0.1, 0.2]),
        lambda: auc([0, 2], [0.1, 0.2]),
        lambda: r2([0.3, 0.3, 0.3], [0.1, 0.2, 0.3]),
        lambda: r2([1.0, 2.0], [1.0, np.inf]),
    ],
)
def test_undefined_scores_are_refused(call):
    with pytest.raises(UserError):
        call()
