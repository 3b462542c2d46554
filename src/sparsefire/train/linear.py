"""The linear model beside the networks: multinomial logistic regression or ridge, handed over as one linear layer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

STEPS = 100  # of L-BFGS, the default of scikit-learn
STRENGTHS = (1.0, 0.01, 100.0, 0.0001)  # inverse penalties tried, in this order, when a run may tune


def fit_linear(x: np.ndarray, y: np.ndarray, *, task: str, strength: float = 1.0, classes: int = 0) -> nn.Module:
    """Fit the best linear model of its penalty and return it as ``Flatten, Linear``.

    Args:
        x: prepared rows, float32 [rows, ...]; flattened.
        y: class codes, or standardised targets.
        task: ``"classification"`` (logistic, ℓ2 penalty) or ``"regression"`` (ridge).
        strength: inverse of the penalty, C of ``LogisticRegression``; ridge uses 1/C.
        classes: number of classes C; two classes give one output (the log-odds of class 1).

    >>> net = fit_linear(np.eye(4, dtype="float32"), np.array([0, 1, 0, 1]), task="classification", classes=2)
    >>> net[1].weight.shape
    torch.Size([1, 4])
    """
    flat = x.reshape(len(x), -1)
    model: Any
    logistic = task == "classification"
    model = LogisticRegression(C=strength, max_iter=STEPS) if logistic else Ridge(alpha=1.0 / strength)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the steps are the budget; the score shows what they gave
        model.fit(flat, y)
    weight, bias = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    if task == "classification" and classes > 2 and len(weight) < classes:
        weight, bias = _spread(weight, bias, model.classes_, classes)
    return _layer(weight, bias)


def _layer(weight: np.ndarray, bias: np.ndarray) -> nn.Module:
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return nn.Sequential(nn.Flatten(), layer)


def _spread(weight: np.ndarray, bias: np.ndarray, present: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Give classes that the training rows lack a row of zeros and a very low intercept."""
    if len(weight) == 1:  # two classes were present: one log-odds for the second
        weight, bias = np.vstack([np.zeros_like(weight), weight]), np.concatenate([[0.0], bias])
    full_weight, full_bias = np.zeros((classes, weight.shape[1])), np.full(classes, -1e9)
    full_weight[present], full_bias[present] = weight, bias
    return full_weight, full_bias
