"""Oracle: simulated risk, by all paths of small discrete problems, by NumPy alone, and by numbers of the notes.

Where inputs, noise and directions are ±1 a few steps have finitely many outcomes: the distribution of the simulated
risks is compared with the full list. Everything else is within 4 standard errors of a value from elsewhere.
"""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats

import sparsefire as sf

conv = sf.convergence


def signs(n: int) -> np.ndarray:
    return np.array(list(itertools.product((-1.0, 1.0), repeat=n)))


def axes(n: int) -> np.ndarray:
    return np.concatenate([np.eye(n), -np.eye(n)]) * np.sqrt(n)


# ---------------------------------------------------------------- all paths


def all_paths(rule: str, alphas: list[float], **given: Any) -> np.ndarray:
    """Return the risks at the end of all paths, equally likely, for inputs, noise and directions of ±1."""
    d, sigma = given["dimension"], given.get("noise", 1.0)
    q = given.get("covariance")
    values, vectors = np.linalg.eigh(np.eye(d) if q is None else np.array(q))
    xs = signs(d) @ (vectors * np.sqrt(values) @ vectors.T)
    mask = given.get("mask", d)
    us = (axes if given.get("law") == "coordinates" else signs)(mask)
    us = np.pad(us, ((0, 0), (0, d - mask)))
    c = given.get("radius") or sigma / np.sqrt(d)
    baseline, memory = given.get("baseline", "none"), given.get("memory", 0.02)
    start = np.asarray(given.get("start", 1.0))
    state = [(np.full(d, np.sqrt(start / d)) if start.ndim == 0 else start, None)]
    reward = given.get("reward")
    for a in alphas:
        after = []
        for (delta, b), x, eps in itertools.product(state, xs, (-sigma, sigma)):
            if rule == "sgd":
                step = (eps - x @ delta) * x
                step[mask:] = 0.0
                after.append((delta + a * step, b))
                continue
            if rule in ("forward-gradient", "two-query"):
                for chosen in itertools.product(us, repeat=given.get("repeats", 1)):
                    now = delta
                    for u in chosen:
                        now = now + a * (eps - x @ now) * (x @ u) * u
                    after.append((now, b))
                continue
            for u in us:
                e = eps - x @ (delta + c * u)
                loss = e * e / 2 if reward is None else np.interp(abs(e), *reward)
                before = 0.0 if baseline == "none" else loss if b is None else b
                kept = loss if baseline == "previous" or b is None else b + memory * (loss - b)
                after.append((delta - a * (loss - before) * u / c, kept))
        state = after
    weight = np.eye(d) if given.get("of", "parameters") == "parameters" or q is None else np.array(q)
    return np.array([delta @ weight @ delta for delta, _ in state])


TABLE = (np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, -1.0, 2.0]))
SMALL: list[tuple[str, list[float], dict[str, Any]]] = [
    ("sgd", [0.3, 0.2, 0.1], {"dimension": 2}),
    ("sgd", [0.3, 0.2], {"dimension": 2, "covariance": [[1.0, 0.4], [0.4, 0.8]], "of": "prediction"}),
    ("sgd", [0.3, 0.2], {"dimension": 3, "mask": 2, "start": [1.0, -1.0, 0.5]}),
    ("forward-gradient", [0.2, 0.1, 0.15], {"dimension": 2}),
    ("forward-gradient", [0.2, 0.1, 0.15], {"dimension": 2, "law": "coordinates", "noise": 0.3}),
    ("forward-gradient", [0.2, 0.1], {"dimension": 3, "mask": 2, "law": "coordinates", "start": [1.0, 0.0, 2.0]}),
    ("forward-gradient", [0.2, 0.1], {"dimension": 2, "repeats": 2, "noise": 0.5}),
    ("forward-gradient", [0.1], {"dimension": 3, "covariance": [[2.0, 0.3, 0], [0.3, 1.0, 0], [0, 0, 0.4]]}),
    ("two-query", [0.2, 0.1], {"dimension": 2, "radius": 3.0}),
    ("one-query", [0.02, 0.03, 0.01], {"dimension": 2, "radius": 0.5}),
    ("one-query", [0.02, 0.05], {"dimension": 2, "noise": 0.7}),  # c = σ/√d
    ("one-query", [0.02, 0.1, 0.05], {"dimension": 2, "radius": 0.5, "baseline": "previous"}),
    ("one-query", [0.02, 0.1, 0.05, 0.04], {"dimension": 1, "radius": 0.5, "baseline": "mean", "memory": 0.3}),
    ("one-query", [0.1, 0.1, 0.05, 0.04], {"dimension": 1, "radius": 0.5, "baseline": "mean", "memory": 1.0}),
    ("one-query", [0.1, 0.1], {"dimension": 2, "reward": TABLE}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "alphas", "given"), SMALL, ids=lambda v: v if isinstance(v, str) else None)
def test_every_path_comes_as_often_as_it_should(rule: str, alphas: list[float], given: dict[str, Any]) -> None:
    expected = all_paths(rule, alphas, **given)
    sure = {"design": "rademacher", "noise_law": "two-point"} | ({} if rule == "sgd" else {"law": "rademacher"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = conv.simulate_risk(rule, steps=len(alphas), step_size=alphas, runs=4000, rng=7, **(sure | given))
    values = found.values[:, -1]
    points, count = np.unique(expected.round(9), return_counts=True)
    at = np.searchsorted(points, values - 1e-7)
    assert (at < len(points)).all()
    np.testing.assert_allclose(values, points[at], atol=2e-8)
    chance = count / len(expected)
    seen = np.bincount(at, minlength=len(points)).astype(float)
    order = np.argsort(chance)  # join rare outcomes until each expects ten runs or more
    groups, total = np.zeros(len(points), int), 0.0
    for i in order:
        groups[i] = int(total // (10 / 4000))
        total += chance[i]
    joined = np.unique(groups, return_inverse=True)[1]
    observed, theory = np.bincount(joined, seen), np.bincount(joined, chance) * 4000
    if len(theory) > 1:
        assert stats.chisquare(observed, theory).pvalue > 1e-4
    z = (values.mean() - expected.mean()) / (values.std(ddof=1) / np.sqrt(4000) + 1e-300)
    assert abs(z) < 4 or abs(values.mean() - expected.mean()) < 1e-9


def test_first_step_with_a_baseline_does_not_move() -> None:
    for rule, baseline in itertools.product(("one-query", "hebbian"), ("previous", "mean")):
        found = conv.simulate_risk(
            rule, dimension=3, steps=2, step_size=0.1, runs=5, rng=0, baseline=baseline, start=2.0, radius=0.4
        )
        np.testing.assert_allclose(found.values[:, :2], 2.0, rtol=1e-12)
        assert (np.abs(found.values[:, 2] - 2.0) > 1e-9).all()


# ---------------------------------------------------------------- one step, by moments


POINTS = {"normal": 3.0, "laplace": 6.0, "two-point": 1.0, "rademacher": 1.0, "student": 9.0, "sparse": 3 / 0.4}


def kurtosis_points(law: str) -> tuple[np.ndarray, np.ndarray]:
    k = POINTS[law]
    return np.sqrt(k) * np.array([-1.0, 0.0, 1.0]), np.array([0.5 / k, 1 - 1 / k, 0.5 / k])


@pytest.mark.parametrize("noise_law", ["normal", "laplace", "two-point"])
@pytest.mark.parametrize("design", ["normal", "rademacher", "sparse"])
def test_one_step_of_one_query_knows_the_fourth_moments(design: str, noise_law: str) -> None:
    d, sigma, c, alpha, delta = 2, 0.6, 0.7, 0.05, np.array([0.9, -0.4])
    (x, xw), (e, ew) = kurtosis_points(design), kurtosis_points(noise_law)
    expected = 0.0
    for (i, j), k, u in itertools.product(itertools.product(range(3), repeat=2), range(3), signs(d)):
        loss = (sigma * e[k] - np.array([x[i], x[j]]) @ (delta + c * u)) ** 2 / 2
        moved = delta - alpha * loss * u / c
        expected += xw[i] * xw[j] * ew[k] * moved @ moved / 4
    found = conv.simulate_risk(
        "one-query", dimension=d, noise=sigma, radius=c, start=delta, design=design, filled=0.4, noise_law=noise_law,
        law="rademacher", steps=1, step_size=alpha, runs=20_000, rng=1,
    )  # fmt: skip
    assert abs(found.mean()[-1] - expected) < 4 * found.standard_error()[-1]


def test_one_step_of_the_hebbian_rule_by_quadrature() -> None:
    radius, alpha, delta, sigma = 1.3, 0.1, 0.8, 0.5
    u, uw = np.polynomial.legendre.leggauss(20)
    x, xw = np.polynomial.hermite_e.hermegauss(6)
    uw, xw = uw / 2, xw / xw.sum()
    u = radius * u
    loss = (sigma * x[None, None, :] - x[None, :, None] * (delta + u[:, None, None])) ** 2 / 2
    moved = delta - alpha * loss * (np.exp(u) - np.exp(-u))[:, None, None]
    expected = float(np.einsum("i,j,k,ijk->", uw, xw, xw, moved**2))
    found = conv.simulate_risk(
        "hebbian", dimension=1, noise=sigma, radius=radius, start=delta**2, steps=1, step_size=alpha, runs=40_000, rng=2
    )
    assert abs(found.mean()[-1] - expected) < 4 * found.standard_error()[-1]


# ---------------------------------------------------------------- NumPy alone


def draw(rng: np.random.Generator, law: str, shape: tuple[int, int]) -> np.ndarray:
    z = rng.normal(size=shape)
    if law == "sphere":
        return z * np.sqrt(shape[1]) / np.linalg.norm(z, axis=1, keepdims=True)
    if law == "student":
        return rng.standard_t(5, size=shape) * np.sqrt(3 / 5)
    if law == "sparse":
        return z * (rng.random(shape) < 0.3) / np.sqrt(0.3)
    if law == "uniform":
        return rng.uniform(-np.sqrt(3), np.sqrt(3), size=shape)
    if law in ("rademacher", "two-point"):
        return np.sign(z)
    if law == "laplace":
        return rng.laplace(scale=np.sqrt(0.5), size=shape)
    return z


def by_numpy(rule: str, alphas: np.ndarray, runs: int, **given: Any) -> np.ndarray:
    """Return the risks of runs at the end."""
    rng = np.random.default_rng(99)
    d, sigma, law = given["dimension"], given.get("noise", 1.0), given.get("law", "normal")
    several, design = given.get("directions", 1), given.get("design", "normal")
    values, vectors = np.linalg.eigh(np.array(given.get("covariance", np.eye(d))))
    root = vectors * np.sqrt(values) @ vectors.T
    delta = np.full((runs, d), 1 / np.sqrt(d))
    b = None
    for a in alphas:
        x = draw(rng, design, (runs, d)) @ root
        eps = sigma * draw(rng, given.get("noise_law", "normal"), (runs, 1))[:, 0]
        for _ in range(given.get("repeats", 1)):
            e = eps - (x * delta).sum(axis=1)
            step = np.zeros_like(delta)
            for _ in range(several):
                if rule == "hebbian":
                    u = rng.uniform(-given["radius"], given["radius"], size=(runs, d))
                    loss, g = (e - (x * u).sum(axis=1)) ** 2 / 2, np.exp(u) - np.exp(-u)
                elif rule == "one-query":
                    u = draw(rng, law, (runs, d))
                    c = given.get("radius", sigma / np.sqrt(d))
                    loss, g = (e - c * (x * u).sum(axis=1)) ** 2 / 2, u / c
                else:
                    u = draw(rng, law, (runs, d))
                    loss, g = -e * (x * u).sum(axis=1), u
                kind = given.get("baseline", "none")
                before = 0.0 if kind == "none" else loss if b is None else b
                b = loss if kind == "previous" or b is None else b + given.get("memory", 0.02) * (loss - b)
                step -= ((loss - before)[:, None] * g) / several
            delta = delta + a * step
    return (delta**2).sum(axis=1)


SPARSE = {"design": "sparse", "filled": 0.3}
FULL = [[1.5, 0.4, 0.0], [0.4, 0.8, -0.2], [0.0, -0.2, 0.5]]


@pytest.mark.parametrize(
    ("rule", "scale", "given"),
    [
        ("hebbian", 0.05, {"dimension": 3, "radius": 1.0, "baseline": "none"}),
        ("hebbian", 0.05, {"dimension": 3, "radius": 1.0, "baseline": "previous"}),
        ("hebbian", 0.05, {"dimension": 2, "radius": 0.5, "baseline": "mean", "memory": 0.2} | SPARSE),
        ("one-query", 0.02, {"dimension": 3, "law": "normal", "noise_law": "laplace"}),
        ("one-query", 0.02, {"dimension": 3, "law": "sphere", "covariance": FULL, "baseline": "mean", "memory": 0.1}),
        ("one-query", 0.01, {"dimension": 3, "law": "uniform", "directions": 3, "design": "student"}),
        ("one-query", 0.02, {"dimension": 2, "law": "rademacher", "repeats": 3, "design": "sphere"}),
        ("forward-gradient", 0.04, {"dimension": 3, "design": "student", "covariance": FULL, "law": "uniform"}),
        ("forward-gradient", 0.03, {"dimension": 4, "design": "sphere", "repeats": 6, "noise_law": "two-point"}),
        ("two-query", 0.1, {"dimension": 3, "directions": 4, "law": "sphere", "radius": 2.0}),
    ],
)  # fmt: skip
def test_against_numpy(rule: str, scale: float, given: dict[str, Any]) -> None:
    alphas = scale / (1 + np.arange(12) / 8)
    found = conv.simulate_risk(rule, steps=12, step_size=alphas, runs=8000, rng=3, **given)
    numpy = by_numpy(rule, alphas, 8000, **given)
    ours = found.values[:, -1]
    gap = ours.mean() - numpy.mean()
    assert abs(gap) < 4 * np.hypot(ours.std() / np.sqrt(8000), numpy.std() / np.sqrt(8000))
    assert stats.ks_2samp(ours, numpy).pvalue > 1e-4
