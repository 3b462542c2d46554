"""Oracle: scikit-learn's own predictions, and the normal equations of ridge regression."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from sparsefire.train import fit_linear, outputs_of


def standard(x: np.ndarray) -> np.ndarray:
    return StandardScaler().fit_transform(x).astype("float32")


@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_many_classes_predict_as_sklearn(strength: float) -> None:
    x, y = load_digits(return_X_y=True)
    x = standard(x)
    net = fit_linear(x[:900], y[:900], task="classification", strength=strength, classes=10)
    peer = LogisticRegression(C=strength, max_iter=200).fit(x[:900], y[:900])
    logits = outputs_of(net, x[900:])
    assert (logits.argmax(1) == peer.predict(x[900:])).all()
    got = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    np.testing.assert_allclose(got, peer.predict_proba(x[900:]), atol=1e-5)


def test_two_classes_have_one_output_the_log_odds() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    x = standard(x)
    net = fit_linear(x, y, task="classification", classes=2)
    peer = LogisticRegression(max_iter=200).fit(x, y)
    odds = outputs_of(net, x)
    assert odds.shape == (len(x), 1)
    np.testing.assert_allclose(odds[:, 0], peer.decision_function(x), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds[:, 0])), peer.predict_proba(x)[:, 1], atol=1e-6)


@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_regression_solves_the_normal_equations(strength: float) -> None:
    x, y = load_diabetes(return_X_y=True)
    x, y = standard(x), (y - y.mean()) / y.std()
    net = fit_linear(x, y, task="regression", strength=strength)
    centred = (x - x.mean(0)).astype(float)
    expected = np.linalg.solve(centred.T @ centred + np.eye(10) / strength, centred.T @ (y - y.mean()))
    np.testing.assert_allclose(net[1].weight.detach().numpy()[0], expected, atol=1e-4)
    np.testing.assert_allclose(outputs_of(net, x)[:, 0], Ridge(alpha=1 / strength).fit(x, y).predict(x), atol=1e-4)


@pytest.mark.parametrize("present", [[0, 2, 3], [1, 3]])
def test_classes_that_are_missing_are_never_predicted(present: list[int]) -> None:
    x, y = load_digits(return_X_y=True)
    x = standard(x)
    rows = np.isin(y, present)
    net = fit_linear(x[rows], y[rows], task="classification", classes=5)
    peer = LogisticRegression(max_iter=200).fit(x[rows], y[rows])
    logits = outputs_of(net, x)
    assert logits.shape == (len(x), 5)
    assert (logits.argmax(1) == peer.predict(x)).all()
    got = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    np.testing.assert_allclose(got[:, present], peer.predict_proba(x), atol=1e-5)


def test_array_data_is_flattened() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2, 3)).astype("float32")
    y = (x[:, 1, 2] > 0).astype(int)
    net = fit_linear(x, y, task="classification", classes=2)
    flat = fit_linear(x.reshape(60, 6), y, task="classification", classes=2)
    assert torch.equal(net[1].weight, flat[1].weight)
    assert ((outputs_of(net, x)[:, 0] > 0) == y).mean() > 0.95
    assert net[1].weight.dtype is torch.float32
