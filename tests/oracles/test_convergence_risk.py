"""Oracle: exact risk, by enumeration of discrete laws that have the same fourth moments, and numbers of the notes.

The second moment of a step needs no more than four moments of inputs and of directions, so that every law may be
replaced by a few points: Gauss-Hermite and Gauss-Legendre nodes, ±√κ and 0 for a kurtosis κ, a regular polygon or an
icosahedron for a sphere. Then E (δ, 1)(δ, 1)′ is pushed through the average over all points, without any formula.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import sparsefire as sf

conv = sf.convergence
Points = tuple[np.ndarray, np.ndarray]

# ---------------------------------------------------------------- points with the right moments


def kurtosis_points(kappa: float) -> Points:
    """Return 0 and ±√κ with E x² = 1 and E x⁴ = κ."""
    if kappa == 1:
        return np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    return np.sqrt(kappa) * np.array([-1.0, 0.0, 1.0]), np.array([0.5 / kappa, 1 - 1 / kappa, 0.5 / kappa])


def hermite(n: int) -> Points:
    x, w = np.polynomial.hermite_e.hermegauss(n)
    return x, w / w.sum()


def product(points: Points, n: int) -> Points:
    x = np.array(list(itertools.product(points[0], repeat=n)))
    w = np.array([np.prod(c) for c in itertools.product(points[1], repeat=n)])
    return x, w


def on_sphere(n: int) -> Points:
    """Return a spherical 5-design of radius √n for n = 1, 2, 3."""
    if n == 1:
        x = np.array([[-1.0], [1.0]])
    elif n == 2:
        angle = np.arange(6) * np.pi / 3 + 0.2
        x = np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    else:
        golden = (1 + np.sqrt(5)) / 2
        corners = [(0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
        x = np.array([np.roll(c, s) for c in corners for s in range(3)], dtype=float)
        x *= np.sqrt(3 / (1 + golden**2))
    return x, np.full(len(x), 1 / len(x))


def points_of(law: str, n: int, filled: float = 0.1, nodes: int = 3) -> Points:
    if law == "normal":
        return product(hermite(nodes), n)
    if law in ("rademacher", "two-point"):
        return product(kurtosis_points(1), n)
    if law == "uniform":
        return product(kurtosis_points(1.8), n)
    if law == "student":  # five degrees of freedom: kurtosis 3 + 6/(5 - 4)
        return product(kurtosis_points(9.0), n)
    if law == "sparse":
        return product(kurtosis_points(3 / filled), n)
    if law == "sphere":
        return on_sphere(n)
    assert law == "coordinates"
    x = np.concatenate([np.eye(n), -np.eye(n)]) * np.sqrt(n)
    return x, np.full(2 * n, 0.5 / n)


# ---------------------------------------------------------------- one step as random affine maps of δ


class Steps:
    """θ ← θ + α G (δ, 1): all maps G of one step with their weights, for the first ``mask`` rows of θ [d, m]."""

    def __init__(self, rule: str, d: int, **given: Any) -> None:
        self.d, self.m = d, given.get("outputs", 1)
        self.sigma, self.repeats = given.get("noise", 1.0), given.get("repeats", 1)
        q = given.get("covariance")
        rank = given.get("rank")
        if rank is not None:
            self.q = np.diag((np.arange(d) < rank).astype(float))
        elif q is None:
            self.q = np.eye(d)
        else:
            self.q = np.diag(q) if np.ndim(q) == 1 else np.array(q, dtype=float)
        values, vectors = np.linalg.eigh(self.q)
        root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T  # the symmetric root: matters for some designs
        z, zw = self.inputs(given, rank)
        self.inputs_and_weights = (z @ root, zw)
        self.mask = given.get("mask") or d
        self.rule, self.law, self.l = rule, given.get("law", "normal"), given.get("directions", 1)
        start = np.asarray(given.get("start", 1.0), dtype=float)
        if start.ndim == 0:
            active = given.get("active") or d
            error = np.zeros((d, self.m))
            error[:active] = np.sqrt(start / (active * self.m))
        else:
            error = start.reshape(d, self.m)
        self.error = error

    def inputs(self, given: dict[str, Any], rank: int | None) -> Points:
        law, nodes = given.get("design", "normal"), 3 if self.repeats == 1 else 2 * self.repeats + 1
        n = self.d if rank is None or law == "sphere" else rank  # X = Q^½ z: a shadow of the whole sphere
        z, w = points_of(law, n, given.get("filled", 0.1), nodes)
        return np.pad(z, ((0, 0), (0, self.d - n))), w

    def slopes(self, x: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
        """Yield (weight, H [d m, m]) with ĝ = -H e for the residuals e of one sample."""
        m, d = self.m, self.d
        keep = (np.arange(d) < self.mask).astype(float)
        if self.rule == "sgd":
            yield 1.0, np.kron((x * keep)[:, None], np.eye(m))
            return
        if self.rule == "node-perturbation":
            size, shape = m, lambda u: np.kron((x * keep)[:, None], np.outer(u, u))
        elif self.rule == "weight-perturbation" or m > 1:
            size = self.mask * m

            def shape(u: np.ndarray) -> np.ndarray:
                full = np.zeros((d, m))
                full[: self.mask] = u.reshape(self.mask, m)
                return np.outer(full.ravel(), x @ full)
        else:
            size = self.mask

            def shape(u: np.ndarray) -> np.ndarray:
                full = np.pad(u, (0, d - self.mask))
                return (full * (x @ full))[:, None]

        u, w = points_of(self.law, size)
        one = [(float(wi), shape(ui)) for ui, wi in zip(u, w, strict=True)]
        for chosen in itertools.product(one, repeat=self.l):
            yield float(np.prod([c[0] for c in chosen])), sum(c[1] for c in chosen) / self.l

    def samples(self) -> Iterator[tuple[float, list[tuple[float, np.ndarray]]]]:
        """Yield (weight, [(weight, G)]) for every sample and all its directions."""
        noises, nw = product((np.array([-self.sigma, self.sigma]), np.array([0.5, 0.5])), self.m)
        for x, wx in zip(*self.inputs_and_weights, strict=True):
            slopes = list(self.slopes(x))
            for e, we in zip(noises, nw, strict=True):
                maps = []
                for w, h in slopes:
                    g = np.zeros((self.d * self.m + 1,) * 2)
                    g[:-1, :-1] = -h @ np.kron(x[None, :], np.eye(self.m))
                    g[:-1, -1] = h @ e
                    maps.append((w, g))
                yield float(wx * we), maps

    def push(self) -> Callable[[float], np.ndarray]:
        """Return α → the matrix that pushes vec E (δ, 1)(δ, 1)′ through one sample."""
        n = self.d * self.m + 1
        eye, size = np.eye(n), n * n
        per_sample = []
        for w, maps in self.samples():
            weights, g = np.array([v for v, _ in maps]), np.stack([g for _, g in maps])
            mean = np.einsum("i,ijk->jk", weights, g)
            twice = np.einsum("i,iab,icd->acbd", weights, g, g).reshape(size, size)
            per_sample.append((w, np.kron(mean, eye) + np.kron(eye, mean), twice))
        if self.repeats == 1:
            linear = sum(w * one for w, one, _ in per_sample)
            square = sum(w * two for w, _, two in per_sample)
            return lambda a: np.eye(size) + a * linear + a * a * square
        return lambda a: sum(
            w * np.linalg.matrix_power(np.eye(size) + a * one + a * a * two, self.repeats) for w, one, two in per_sample
        )

    def moments(self, alphas: Any) -> np.ndarray:
        """Return E (δ, 1)(δ, 1)′ at all steps [K + 1, n, n]."""
        push = self.push()
        state = np.append(self.error.ravel(), 1.0)
        b = np.outer(state, state).ravel()
        out = [b]
        for a in alphas:
            b = push(a) @ b
            out.append(b)
        return np.array(out).reshape(len(out), len(state), len(state))

    def risks(self, moments: np.ndarray, of: str) -> np.ndarray:
        weight = np.eye(self.d) if of == "parameters" else self.q
        return np.einsum("kij,ji->k", moments[:, :-1, :-1], np.kron(weight, np.eye(self.m)))


BASIS = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
FULL3 = BASIS @ np.diag([2.0, 0.7, 0.3]) @ BASIS.T
FULL2 = np.array([[1.3, 0.5], [0.5, 0.6]])
ALPHAS = np.array([0.05, 0.0, 0.09, 0.02, 0.04, 0.01])

CASES: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {"dimension": 1}),
    ("forward-gradient", {"dimension": 1, "law": "uniform", "design": "student"}),
    ("forward-gradient", {"dimension": 1, "law": "coordinates", "noise": 0.0}),
    ("sgd", {"dimension": 3, "covariance": FULL3, "start": [1.0, -2.0, 0.5], "noise": 0.6}),
    ("sgd", {"dimension": 2, "covariance": FULL2, "design": "rademacher"}),
    ("sgd", {"dimension": 2, "covariance": FULL2, "design": "sparse", "filled": 0.3, "start": [0.0, 1.5]}),
    ("sgd", {"dimension": 3, "covariance": [2.0, 1.0, 0.2], "design": "student", "active": 2}),
    ("sgd", {"dimension": 3, "covariance": FULL3, "mask": 2}),
    ("sgd", {"dimension": 3, "mask": 3, "noise_law": "two-point"}),
    ("forward-gradient", {"dimension": 3, "covariance": FULL3, "noise": 0.7, "start": [1.0, -2.0, 0.5]}),
    ("forward-gradient", {"dimension": 3, "law": "sphere", "design": "sphere", "start": 0.0}),
    ("forward-gradient", {"dimension": 3, "law": "rademacher", "covariance": FULL3, "start": [0.0, 0.0, 2.0]}),
    ("forward-gradient", {"dimension": 3, "law": "coordinates", "covariance": FULL3, "design": "rademacher"}),
    (
        "forward-gradient",
        {"dimension": 2, "law": "uniform", "covariance": FULL2, "design": "student", "start": [1.0, 0.0]},
    ),
    ("forward-gradient", {"dimension": 2, "law": "sphere", "covariance": FULL2, "design": "sparse", "filled": 0.5}),
    (
        "forward-gradient",
        {"dimension": 3, "law": "rademacher", "covariance": FULL3, "mask": 2, "start": [1.0, 2.0, 3.0]},
    ),
    ("forward-gradient", {"dimension": 3, "law": "sphere", "mask": 2, "design": "sphere"}),
    ("forward-gradient", {"dimension": 3, "law": "coordinates", "mask": 1}),
    ("forward-gradient", {"dimension": 3, "rank": 1}),
    ("forward-gradient", {"dimension": 3, "rank": 2, "law": "rademacher", "design": "student", "noise": 0.4}),
    ("forward-gradient", {"dimension": 3, "rank": 2, "law": "sphere", "design": "sphere"}),
    ("forward-gradient", {"dimension": 3, "rank": 3}),
    ("forward-gradient", {"dimension": 3, "rank": 1, "mask": 2, "law": "uniform"}),
    ("forward-gradient", {"dimension": 2, "directions": 2, "covariance": FULL2, "law": "rademacher"}),
    ("forward-gradient", {"dimension": 2, "directions": 2, "design": "rademacher", "law": "coordinates", "mask": 2}),
    ("forward-gradient", {"dimension": 2, "directions": 3, "design": "sphere", "law": "sphere", "start": [2.0, 1.0]}),
    ("two-query", {"dimension": 2, "covariance": FULL2, "law": "uniform", "radius": 7.0}),
    ("sgd", {"dimension": 2, "outputs": 2, "covariance": FULL2, "start": [[1.0, 0.0], [2.0, -1.0]]}),
    ("sgd", {"dimension": 2, "outputs": 3, "rank": 1}),
    ("node-perturbation", {"dimension": 2, "outputs": 2, "covariance": FULL2}),
    ("node-perturbation", {"dimension": 2, "outputs": 2, "law": "rademacher", "start": [[1.0, 0.0], [2.0, -1.0]]}),
    ("node-perturbation", {"dimension": 2, "outputs": 2, "directions": 2, "law": "sphere", "design": "student"}),
    ("node-perturbation", {"dimension": 2, "outputs": 1}),
    ("weight-perturbation", {"dimension": 2, "outputs": 2, "law": "rademacher", "design": "rademacher"}),
    ("weight-perturbation", {"dimension": 2, "outputs": 2, "law": "coordinates", "covariance": FULL2}),
    ("weight-perturbation", {"dimension": 1, "outputs": 3, "law": "sphere", "design": "sparse"}),
    ("weight-perturbation", {"dimension": 2, "outputs": 2, "mask": 1, "law": "uniform"}),
    ("weight-perturbation", {"dimension": 2, "outputs": 1, "covariance": FULL2}),
    ("forward-gradient", {"dimension": 2, "repeats": 2}),
    ("forward-gradient", {"dimension": 1, "repeats": 3, "noise": 0.0}),
    ("forward-gradient", {"dimension": 2, "repeats": 3, "law": "sphere", "design": "sphere"}),
    ("forward-gradient", {"dimension": 2, "repeats": 2, "rank": 1}),
    ("forward-gradient", {"dimension": 2, "repeats": 3, "mask": 1}),
]


def name(case: Any) -> str:
    return (
        "-".join(f"{k}={'…' if k == 'covariance' else v}" for k, v in case.items()) if isinstance(case, dict) else case
    )


def split(given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return given["dimension"], {k: v for k, v in given.items() if k != "dimension"}


@pytest.mark.parametrize(("rule", "given"), CASES, ids=name)
def test_every_law_against_enumeration(rule: str, given: dict[str, Any]) -> None:
    d, rest = split(given)
    steps = Steps(rule, d, **rest)
    moments = steps.moments(ALPHAS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # heavy tails make some of these steps too long
        for of in ("parameters", "prediction"):
            expected = steps.risks(moments, of)
            found = conv.exact_risk(rule, steps=len(ALPHAS), step_size=ALPHAS, of=of, **given)
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)
            parts = conv.decompose(rule, steps=len(ALPHAS), step_size=ALPHAS, of=of, **given)
            mean = moments[:, :-1, -1].reshape(-1, d, steps.m)
            weight = np.eye(d) if of == "parameters" else steps.q
            bias = np.einsum("kim,ij,kjm->k", mean, weight, mean)
            quiet = Steps(rule, d, **(rest | {"noise": 0.0}))
            np.testing.assert_allclose(parts.bias, bias, rtol=1e-10, atol=1e-13)
            np.testing.assert_allclose(parts.variance, expected - bias, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(parts.initial, quiet.risks(quiet.moments(ALPHAS), of), rtol=1e-10, atol=1e-13)
            np.testing.assert_allclose(parts.initial + parts.noise, expected, rtol=1e-10, atol=1e-13)
            np.testing.assert_allclose(parts.risk, expected, rtol=1e-10, atol=1e-13)
        error = conv.expected_error(rule, steps=len(ALPHAS), step_size=ALPHAS, at=[0, 3, 6], **given)
        np.testing.assert_allclose(error.reshape(3, d, steps.m), mean[[0, 3, 6]], rtol=1e-10, atol=1e-13)
        if "repeats" not in given:
            found = conv.exact_covariance(rule, steps=len(ALPHAS), step_size=ALPHAS, at=[0, 2, 6], **given)
            blocks = moments[[0, 2, 6], :-1, :-1].reshape(3, d, steps.m, d, steps.m)
            np.testing.assert_allclose(found, np.einsum("kimjm->kij", blocks), rtol=1e-10, atol=1e-13)


ERGODIC = [
    case
    for case in CASES
    if not {"rank", "mask", "start", "active"} & case[1].keys() or case[1].get("mask") == case[1]["dimension"]
]


@pytest.mark.parametrize(("rule", "given"), ERGODIC, ids=name)
def test_limits_and_stationary_laws_against_the_pushed_matrix(rule: str, given: dict[str, Any]) -> None:
    d, rest = split(given)
    steps = Steps(rule, d, **rest)
    n = d * steps.m + 1
    push = steps.push()
    inner = np.array([i * n + j for i in range(n - 1) for j in range(n - 1)])

    def radius(alpha: float) -> float:
        return float(np.abs(np.linalg.eigvals(push(alpha)[np.ix_(inner, inner)])).max())

    limit = conv.stability_limit(rule, **given)
    assert radius(limit) == pytest.approx(1.0, abs=1e-8)
    assert radius(limit * 0.97) < 1 < radius(limit * 1.03)
    for share in (0.0, 0.2, 0.6, 1.2):
        assert conv.spectral_radius(rule, step_size=share * limit, **given) == pytest.approx(
            radius(share * limit), abs=1e-9
        )
    alpha = 0.4 * limit
    matrix = push(alpha)
    last = n * n - 1  # where the entry E 1 · 1 stands
    others = np.arange(last)
    fixed = np.linalg.solve(np.eye(last) - matrix[np.ix_(others, others)], matrix[others, last])
    moments = np.append(fixed, 1.0).reshape(1, n, n)
    for of in ("parameters", "prediction"):
        found = conv.stationary_risk(rule, step_size=alpha, of=of, **given)
        assert found == pytest.approx(float(steps.risks(moments, of)[0]), rel=1e-8, abs=1e-12)
    if steps.sigma > 0:
        assert conv.stationary_risk(rule, step_size=limit * 1.0001, **given) == np.inf
