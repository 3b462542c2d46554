"""Measure what the pages of this folder quote, and write it to measured.json (about six minutes on one core).

Usage: OMP_NUM_THREADS=1 python docs/measure.py [NAME …]     (all of it, or what is named, such as airport_cascades)

The cascades need the routes of OpenFlights (openflights/routes.csv.gz, with columns src and dst) in the folder that
SPARSEFIRE_DATA names.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import sparsefire as sf
from sparsefire import masks
from sparsefire.cascades import IndependentCascade
from sparsefire.cascades.shape import modes
from sparsefire.propagation import diagnose, init, log_norm, norm_law, norm_moments
from sparsefire.propagation.init.looks_linear import mirrored_masks
from sparsefire.train import Training, build, outputs_of, train
from sparsefire.wiring import fixed_fan_in, from_frame

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
            rule = sf.rules.ForwardGradient(directions, rng=generator)
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


def rule_estimates(repeats: int = 30) -> list[dict[str, Any]]:
    """Return the cosine of estimates with the gradient, and the losses they read, for a network on 256 digits."""
    data = load_digits()
    x = torch.from_numpy(StandardScaler().fit_transform(data.data[:256])).float()
    y = torch.from_numpy(data.target[:256])
    net = sf.train.networks.build({"kind": "mlp", "widths": [64, 32, 10]}, rng=0)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(20):  # a gradient worth estimating, neither the first nor the last
        sf.rules.Backprop()(net, nn.functional.cross_entropy, x, y)
        optimizer.step()
        optimizer.zero_grad()
    rules = sf.rules
    series: dict[str, Any] = {
        "two queries": [rules.TwoQuery(k, scale=1e-3, rng=0) for k in (1, 4, 16, 64, 256, 1024)],
        "one query": [rules.OneQuery(k, scale=3e-2, rng=0) for k in (2, 8, 32, 128, 512, 2048)],
        "node perturbation": [rules.NodePerturbation(directions=k, scale=1e-3, rng=0) for k in (1, 4, 16)],
        "coordinates": [rules.CoordinateDifferences(scale=1e-3, share=s, rng=0) for s in (0.01, 0.1, 1.0)],
        "unit-wise differences": [rules.UnitDifferences(units=u, scale=1e-3, rng=0) for u in (4, 16, None)],
    }
    found = []
    for name, members in series.items():
        for rule in members:
            cosines, exact = [], _gradient_of(net, sf.rules.Backprop(), x, y)
            for _ in range(repeats):
                cosines.append(float(nn.functional.cosine_similarity(_gradient_of(net, rule, x, y), exact, dim=0)))
            found.append(
                {
                    "rule": name,
                    "queries": round(rule.budget.queries / repeats),
                    "cosine": float(np.mean(cosines)),
                    "error": float(np.std(cosines) / len(cosines) ** 0.5),
                }
            )
    return found


def _gradient_of(net: nn.Module, rule: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    net.zero_grad()
    rule(net, nn.CrossEntropyLoss(reduction="none" if rule.per_example else "mean"), x, y)
    return torch.cat([p.grad.flatten() for p in net.parameters()])


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


def airport_cascades(source: str = "KEF", runs: int = 100_000) -> dict[str, Any]:
    """Return laws of independent cascades along the flights of OpenFlights, one arc per pair of airports.

    ``sizes`` holds what occurred, as "size:cascades size:cascades …".
    """
    folder = Path(os.environ.get("SPARSEFIRE_DATA", HERE.parents[1] / "shared" / "data"))
    routes = pd.read_csv(folder / "openflights" / "routes.csv.gz", keep_default_na=False)[["src", "dst"]]
    wiring = from_frame(routes[routes.src != routes.dst].drop_duplicates())
    at = wiring.labels.index(source)
    found = []
    for probability in (0.01, 0.02, 0.03, 0.05, 0.1):
        law = IndependentCascade(wiring, probability).size_distribution([at], runs=runs, rng=0, workers=None)
        counts = np.rint(law.pmf * runs).astype(int)
        near = np.abs(law.support - law.mean()) <= 0.25 * law.mean()
        found.append(
            {
                "probability": probability,
                "mean": law.mean(),
                "quantiles": {str(q): law.quantile(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)},
                "groups": [vars(group) for group in modes(law)],
                "within a quarter of the mean": float(law.pmf[near].sum()),
                "sizes": " ".join(f"{size}:{counts[size]}" for size in np.flatnonzero(counts)),
            }
        )
    routes_from = int(wiring.out_degrees[at])
    return {"units": wiring.units, "arcs": wiring.arcs, "source": source, "routes": routes_from, "laws": found}


def sparse_relu_networks(width: int = 1000, depth: int = 30, networks: int = 40) -> list[dict[str, Any]]:
    """Return dead share and kurtosis by layer of simulated ReLU networks with one fan-in: mean, 5% and 95%."""
    found = []
    for fan_in, weights in ((2, "normal"), (3, "normal"), (4, "normal"), (8, "normal"), (4, "sign")):
        generator = np.random.default_rng(fan_in)
        dead, fourth = np.empty((networks, depth)), np.empty((networks, depth))
        for network in range(networks):
            x = np.maximum(generator.standard_normal(width), 0.0)
            for layer in range(depth):
                matrix = fixed_fan_in((width, width), fan_in, rng=generator).to_scipy().T.tocsr()  # [out, in]
                drawn = generator.standard_normal(matrix.nnz)
                matrix.data = (2 / fan_in) ** 0.5 * (np.sign(drawn) if weights == "sign" else drawn)
                h = matrix @ x
                dead[network, layer] = (h == 0).mean()
                fourth[network, layer] = (h**4).mean() / (h**2).mean() ** 2
                x = np.maximum(h, 0.0) / np.sqrt((h**2).mean())  # the scale does not matter to either
        found.append({"fan_in": fan_in, "weights": weights, "dead_share": _spread(dead), "kurtosis": _spread(fourth)})
    return found


def _spread(values: np.ndarray) -> dict[str, list[float]]:
    named = {"mean": values.mean(0), "5%": np.quantile(values, 0.05, 0), "95%": np.quantile(values, 0.95, 0)}
    return {name: row.round(5).tolist() for name, row in named.items()}


def norm_by_depth(depth: int = 50) -> list[dict[str, Any]]:
    """Return quantiles by layer of |x_l|²/|x_0|² of He-scaled ReLU networks, dense and sparse; their mean is 1."""
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    table = norm_moments(width=100, depth=depth, quantiles=levels)
    above = [1 - norm_law(100, layer).cdf(1.0) for layer in (20, depth)]
    dense = {"width": 100, "fan_in": 100, "quantiles": {f"{q:g}": table[f"q{q:g}"].tolist() for q in levels}}
    law = log_norm(5, depth, 500, runs=20_000, rng=0, method="population")
    rows = np.exp(law.quantile(levels))
    sparse = {"width": 500, "fan_in": 5, "quantiles": {f"{q:g}": r.tolist() for q, r in zip(levels, rows, strict=True)}}
    shares = (1 - law.cdf(0.0))[[19, depth - 1]].tolist()
    return [dense | {"above the mean at 20, 50": above}, sparse | {"above the mean at 20, 50": shares}]


def deep_sparse_digits(splits: int = 3) -> list[dict[str, Any]]:
    """Return the accuracy on held-out digits of sparse networks with 20 hidden layers, by rate."""
    x, y = load_digits(return_X_y=True)
    widths = [64, *[128] * 20, 10]
    settings = (
        (0.02, "erk", "he"), (0.02, "erk", "in-degree"), (0.02, "erk", "signs"), (0.055, "critical-signs", "signs"),
        (0.071, "erk", "in-degree"), (0.071, "critical", "he"), (0.071, "critical", "typical"),
    )  # fmt: skip
    found = []
    for density, layout, start in settings:
        by_rate: dict[str, list[float]] = {}
        for rate in (3e-3, 1e-2):
            by_rate[str(rate)] = []
            for number in range(splits):
                x_train, x_test, y_train, y_test = train_test_split(
                    x, y, test_size=0.2, stratify=y, random_state=number
                )
                scale = StandardScaler().fit(x_train)
                net = build({"kind": "mlp", "widths": widths}, rng=number)
                how = Training("static", density, layout, rate=rate, epochs=12, init=start)
                train(net, scale.transform(x_train).astype("float32"), y_train, how, task="classification", rng=number)
                right = outputs_of(net, scale.transform(x_test).astype("float32")).argmax(axis=1) == y_test
                by_rate[str(rate)].append(float(right.mean()))
        found.append({"density": density, "layout": layout, "init": start, "scores": by_rate})
    return found


def initialisers(draws: int = 15) -> list[dict[str, Any]]:
    """Return what 20 hidden layers of width 256 do under each initialiser: 5%, 50% and 95% of draws."""
    starts: dict[str, Any] = {
        "He by width": lambda net, k: net,
        "in_degree_": lambda net, k: init.in_degree_(net, rng=k),
        "typical_": lambda net, k: init.typical_(net, rng=k),
        "signs_": lambda net, k: init.signs_(net, rng=k),
        "typical_, signs": lambda net, k: init.typical_(net, weights="sign", rng=k),
        "looks_linear_": _mirrored,
        "sparse_orthogonal_": lambda net, k: init.sparse_orthogonal_(net, structure="butterfly", rng=k),
        "approximate_isometry_": lambda net, k: init.approximate_isometry_(net, rng=k),
        "approximate_isometry_, 100 steps": lambda net, k: init.approximate_isometry_(net, steps=100, rng=k),
    }
    cases = [(5, name) for name in starts] + [(77, "in_degree_"), (77, "approximate_isometry_")]
    found = []
    for fan_in, name in cases:
        rows = []
        for number in range(draws):
            net = build({"kind": "mlp", "widths": [256] * 21 + [10]}, rng=number)
            sf.sparsify(net, fan_in / 256, "static", "uniform", rng=number)
            net = starts[name](net, number).double()
            x = torch.from_numpy(np.random.default_rng(number).standard_normal((64, 256)))
            with torch.no_grad():
                signal = (net[:-1](x).square().mean(1) / x.square().mean(1)).median()
            d = diagnose(net, x, redraws=0)
            last, values = d.layers.iloc[-2], d.singular_values
            rows.append([float(signal), last["kurtosis"], last["dead_units"], (values > 1e-3 * values[0]).sum()])
        low, middle, high = np.quantile(rows, [0.05, 0.5, 0.95], axis=0)
        measures = ("signal", "kurtosis", "dead units", "directions of 10")
        found.append(
            {"init": name, "fan_in": fan_in} | {m: [low[i], middle[i], high[i]] for i, m in enumerate(measures)}
        )
    return found


def _mirrored(net: nn.Module, number: int) -> nn.Module:
    for name, mask in mirrored_masks(net, rng=number).items():
        masks.write_mask_(masks.layers(net)[name], mask)
    return init.looks_linear_(net, rng=number)


MEASURED = (
    learning_rates, forward_gradient_variance, rule_estimates, estimator_scores, airport_cascades,
    sparse_relu_networks, norm_by_depth, deep_sparse_digits, initialisers,
)  # fmt: skip


def main(names: list[str]) -> None:
    """Measure everything, or what is named, and write it."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    path = HERE / "measured.json"
    measured = json.loads(path.read_text(encoding="utf-8"))
    measured |= {job.__name__: job() for job in MEASURED if not names or job.__name__ in names}
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
