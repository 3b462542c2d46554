"""Measure what the pages of this folder quote, and write it to measured.json (about three minutes on one core).

Usage: OMP_NUM_THREADS=1 python docs/measure.py
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import sparsefire as sf
from sparsefire.train import Training, build, outputs_of, train

HERE = Path(__file__).parent


def learning_rates(splits: int = 3) -> list[dict[str, Any]]:
    """Return the accuracy on held-out digits against the learning rate: dense, and two methods at density 0.02."""
    x, y = load_digits(return_X_y=True)
    found = []
    for method, density in (("dense", 1.0), ("gmp", 0.02), ("static", 0.02)):
        for rate in (1e-3, 3e-3, 1e-2, 3e-2):
            scores = []
            for number in range(splits):
                x_train, x_test, y_train, y_test = train_test_split(
                    x, y, test_size=0.2, stratify=y, random_state=number
                )
                scale = StandardScaler().fit(x_train)
                net = build({"kind": "mlp", "widths": [64, 256, 256, 10]}, rng=number)
                how = Training(method, density, rate=rate, epochs=24)
                train(net, scale.transform(x_train).astype("float32"), y_train, how, task="classification", rng=number)
                right = outputs_of(net, scale.transform(x_test).astype("float32")).argmax(axis=1) == y_test
                scores.append(float(right.mean()))
            found.append({"method": method, "density": density, "rate": rate, "scores": scores})
    return found


def forward_gradient_variance(repeats: int = 400) -> list[dict[str, Any]]:
    """Return E|g − ∇L|²/|∇L|² of forward gradients of a small network, dense and at density 0.1."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(64, 20, generator=generator), torch.randn(64, 1, generator=generator)
    found = []
    for density in (1.0, 0.1):
        net = nn.Sequential(nn.Linear(20, 40, bias=False), nn.Tanh(), nn.Linear(40, 1, bias=False))
        sf.train.networks.initialise_(net, 0)
        sf.sparsify(net, density, rng=0)
        parameters = list(net.parameters())

        def gradient(rule: Any, net: nn.Module = net, parameters: list[nn.Parameter] = parameters) -> torch.Tensor:
            net.zero_grad()
            rule(net, nn.functional.mse_loss, x, y)
            return torch.cat([p.grad.flatten() for p in parameters])

        exact = gradient(sf.rules.Backprop())
        active = sum(int(mask.sum()) for mask in sf.masks.masks(net).values())
        for directions in (1, 4, 16, 64):
            rule = sf.rules.ForwardGradient(directions, generator=generator)
            ratios = [float((gradient(rule) - exact).square().sum() / exact.square().sum()) for _ in range(repeats)]
            error = float(np.std(ratios) / len(ratios) ** 0.5)
            found.append(
                {
                    "active": active,
                    "directions": directions,
                    "relative_variance": np.mean(ratios).item(),
                    "error": error,
                }
            )
    return found


def estimator_scores() -> list[dict[str, Any]]:
    """Return held-out accuracies of SparseClassifier on breast_cancer, 5 folds × 2, and of a logistic regression."""
    x, y = load_breast_cancer(return_X_y=True)
    splits = list(RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0).split(x, y))
    found = []
    for density in (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01):
        models = [sf.SparseClassifier(density=density, random_state=k) for k in range(len(splits))]
        fitted = [m.fit(x[a], y[a]) for m, (a, _) in zip(models, splits, strict=True)]
        scores = [m.score(x[b], y[b]) for m, (_, b) in zip(fitted, splits, strict=True)]
        weights = fitted[0].n_weights_
        found.append({"model": "SparseClassifier", "density": density, "weights": weights, "scores": scores})
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    scores = [linear.fit(x[a], y[a]).score(x[b], y[b]) for a, b in splits]
    found.append({"model": "logistic regression", "density": None, "weights": x.shape[1], "scores": scores})
    return found


def main() -> None:
    """Measure everything and write it."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    measured = {
        "learning_rates": learning_rates(),
        "forward_gradient_variance": forward_gradient_variance(),
        "estimator_scores": estimator_scores(),
    }
    (HERE / "measured.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
