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
from sparsefire.errors import UserError

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
        assert conv.spectral_radius(rule, share * limit, **given) == pytest.approx(radius(share * limit), abs=1e-9)
    alpha = 0.4 * limit
    matrix = push(alpha)
    last = n * n - 1  # where the entry E 1 · 1 stands
    others = np.arange(last)
    fixed = np.linalg.solve(np.eye(last) - matrix[np.ix_(others, others)], matrix[others, last])
    moments = np.append(fixed, 1.0).reshape(1, n, n)
    for of in ("parameters", "prediction"):
        found = conv.stationary_risk(rule, alpha, of=of, **given)
        assert found == pytest.approx(float(steps.risks(moments, of)[0]), rel=1e-8, abs=1e-12)
    if steps.sigma > 0:
        assert conv.stationary_risk(rule, limit * 1.0001, **given) == np.inf


# ---------------------------------------------------------------- numbers of the notes


def test_scalar_recursion_of_the_table() -> None:
    d = 7
    for rule, extra, c, n in [
        ("sgd", {}, d + 2, d),
        ("forward-gradient", {}, (d + 2) ** 2, d * (d + 2)),
        ("forward-gradient", {"law": "rademacher"}, d * (d + 2), d * d),
        ("forward-gradient", {"law": "sphere"}, d * (d + 2), d * d),
        ("forward-gradient", {"law": "coordinates"}, (d + 2) * d, d * d),
        ("forward-gradient", {"law": "uniform"}, (d + 2) * (d + 0.8), d * (d + 0.8)),
        ("forward-gradient", {"directions": 5}, (d + 2) * (d + 6) / 5, d * (d + 6) / 5),
    ]:
        r = [3.0]
        for k in range(1, 50):
            a = 1 / (k + c)
            r.append(r[-1] * (1 - 2 * a + c * a * a) + n * 0.49 * a * a)
        found = conv.exact_risk(
            rule, dimension=d, steps=49, step_size=lambda k, c=c: 1 / (k + c), noise=0.7, start=3.0, **extra
        )
        np.testing.assert_allclose(found, r, rtol=1e-12)
        assert conv.stability_limit(rule, dimension=d, **extra) == pytest.approx(2 / c, rel=1e-10)
        assert conv.asymptotic_constant(rule, dimension=d, noise=0.7, **extra) == pytest.approx(0.49 * n, rel=1e-10)
        assert float(conv.harmonic(1.0, c)(5)) == pytest.approx(1 / (5 + c))


def test_published_values_of_forward_gradients() -> None:
    def risk(rule: str, c: float, k: int = 300, **extra: Any) -> np.ndarray:
        return conv.exact_risk(rule, dimension=10, steps=k, step_size=lambda i: 1 / (i + c), **extra)

    assert risk("sgd", 12)[-1] == pytest.approx(0.0375, abs=5e-5)
    assert risk("forward-gradient", 144)[-1] == pytest.approx(0.4362, abs=5e-5)
    assert risk("forward-gradient", 120, law="rademacher")[-1] == pytest.approx(0.3804, abs=5e-5)
    assert risk("forward-gradient", 12 * 16 / 5, directions=5)[-1] == pytest.approx(0.1311, abs=5e-5)
    for rule, c, extra, limit in [
        ("sgd", 12, {}, 10),
        ("forward-gradient", 144, {}, 120),
        ("forward-gradient", 120, {"law": "rademacher"}, 100),
    ]:
        assert 1e5 * risk(rule, c, 100_000, **extra)[-1] == pytest.approx(limit, rel=0.02)
    for share, value in ((0.2, 0.0926), (1.0, 0.8333), (1.5, 2.5)):
        assert conv.stationary_risk("forward-gradient", share / 144, dimension=10) == pytest.approx(value, abs=5e-5)
    free = conv.exact_risk("forward-gradient", dimension=10, steps=1000, step_size=1.9 / 144, noise=0.0)
    assert free[-1] == pytest.approx(0.267, abs=5e-4)
    assert free[1:] / free[:-1] == pytest.approx(1 - 2 * 1.9 / 144 + 1.9**2 / 144, rel=1e-12)


@pytest.mark.parametrize(
    ("d", "slope", "early", "late", "ratio"),
    [
        (10, -1.004, 1.255, 1.0015, 12.015),
        (20, -1.010, 1.179, 1.0044, 22.08),
        (50, -1.034, 1.131, 1.0197, 52.86),
        (100, -1.054, 1.112, 1.0605, 106.96),
    ],
)
def test_rate_figure(d: int, slope: float, early: float, late: float, ratio: float) -> None:
    million, c = 1_000_000, (d + 2) ** 2
    forward = conv.exact_risk("forward-gradient", dimension=d, steps=million, step_size=lambda k: 1 / (k + c))
    sgd = conv.exact_risk("sgd", dimension=d, steps=million, step_size=lambda k: 1 / (k + d + 2))
    assert np.log10(forward[million] / forward[million // 10]) == pytest.approx(slope, abs=1e-3)
    k = round(10 * d * d * np.log(d))
    scaled = (np.arange(million + 1) + c) * forward / (d * (d + 2))
    assert scaled[k] == pytest.approx(early, abs=1e-3)
    assert scaled[million] == pytest.approx(late, abs=1e-3)
    assert forward[million] / sgd[million] == pytest.approx(ratio, rel=1e-3)


def test_phase_transition_of_the_harmonic_schedule() -> None:
    for c, first, second in [
        (0.25, -0.495, -0.499),
        (0.4, -0.763, -0.780),
        (0.5, -0.901, -0.922),
        (0.75, -1.033, -1.014),
        (1.0, -1.025, -1.004),
        (2.0, -1.000, -1.000),
    ]:
        r = conv.exact_risk("forward-gradient", dimension=10, steps=1_000_000, step_size=conv.harmonic(c, 144 * c))
        slopes = np.log10(r[[10**5, 10**6]] / r[[10**4, 10**5]])
        np.testing.assert_allclose(slopes, [first, second], atol=1e-3)
        found = conv.local_slopes(r, window=(1e4, 1e6))
        np.testing.assert_allclose(found.slopes, [first, second], atol=1e-3)
        if c > 0.5:
            value = {0.75: 137.1, 1.0: 120.2, 2.0: 160.0}[c]
            assert 1e6 * r[-1] == pytest.approx(value, abs=0.06)


def test_repeats_on_a_sphere_and_low_rank_and_outputs() -> None:
    values = {1: 121.16, 2: 65.36, 5: 32.09, 10: 21.04, 20: 15.52, 50: 12.21, 100: 11.11}
    for times, value in values.items():
        k0, q, r = 12 * (11 + times) / times, 10.0, 1.0
        path = conv.exact_risk(
            "forward-gradient", dimension=10, steps=100_000, step_size=conv.harmonic(1 / times, k0), repeats=times,
            design="sphere",
        )  # fmt: skip
        for k in range(1, 2001):
            a = 1 / (times * (k + k0))
            m1, m2 = (1 - a * q) ** times, (1 - 2 * a * q + 3 * a * a * q * q) ** times
            b = (1 - 2 * m1 + m2) / q + a * 9 * (1 - m2) / (2 - 3 * a * q)
            r = r * (1 - 0.2 * (1 - m1) + 0.1 * q * b) + b
        assert path[2000] == pytest.approx(r, rel=1e-9)
        assert (100_000 + k0) * path[-1] == pytest.approx(value, rel=1e-3)
    c = 25.0
    low = conv.exact_risk("forward-gradient", dimension=20, rank=3, steps=400, step_size=lambda k: 1 / (k + c))
    seen = conv.exact_risk(
        "forward-gradient", dimension=20, rank=3, steps=400, step_size=lambda k: 1 / (k + c), of="prediction"
    )
    p, perp = 3 / 20, 17 / 20
    for k in range(1, 401):
        a = 1 / (k + c)
        perp += a * a * 17 * (5 * p + 3)
        p = p * (1 - 2 * a + 25 * a * a) + 15 * a * a
    assert seen[-1] == pytest.approx(p, rel=1e-11)
    assert low[-1] - seen[-1] == pytest.approx(perp, rel=1e-11)
    for rule, f, value in [("sgd", 1, 0.0298), ("node-perturbation", 5, 0.1810), ("weight-perturbation", 17, 0.5045)]:
        r = conv.exact_risk(
            rule, dimension=5, outputs=3, noise=0.5, steps=150, step_size=lambda k, f=f: 1 / (k + 7 * f)
        )
        assert r[-1] == pytest.approx(value, abs=6e-5)
        assert conv.asymptotic_constant(rule, dimension=5, outputs=3, noise=0.5) == pytest.approx(f * 15 * 0.25)


def test_known_support_costs_as_little_as_its_dimension() -> None:
    small = conv.exact_risk("forward-gradient", dimension=10, steps=5000, step_size=lambda k: 1 / (k + 144))
    large = conv.exact_risk(
        "forward-gradient", dimension=1000, active=10, mask=10, steps=5000, step_size=lambda k: 1 / (k + 144)
    )
    np.testing.assert_allclose(large, small, rtol=1e-11)
    assert conv.asymptotic_constant("forward-gradient", dimension=10) == pytest.approx(120.0, rel=1e-12)
    assert conv.asymptotic_constant("forward-gradient", dimension=1000) == pytest.approx(1.002e6, rel=1e-12)


def test_mean_error_of_rules_that_read_one_loss() -> None:
    alphas = np.array([0.1, 0.3, 0.05])
    for radius, table in [(0.1, 0.0066733357), (0.5, 0.1708707084), (1.0, 0.7357588823), (2.0, 3.8975309743)]:
        mean = np.array([1.0, -2.0])
        for a in alphas:
            mean = mean - a * table * FULL2 @ mean
        found = conv.expected_error(
            "hebbian", dimension=2, covariance=FULL2, start=[1.0, -2.0], steps=3, step_size=alphas, radius=radius
        )
        np.testing.assert_allclose(found, mean, atol=1e-9)
    mean = np.array([1.0, -2.0])
    for a in alphas:
        mean = mean - a * FULL2 @ mean
    for baseline in ("none",):
        found = conv.expected_error(
            "one-query", dimension=2, covariance=FULL2, start=[1.0, -2.0], steps=3, step_size=alphas, baseline=baseline
        )
        np.testing.assert_allclose(found, mean, rtol=1e-12)


def test_greedy_steps() -> None:
    d, sigma = 6, 0.8
    for rule, c, n in [("sgd", d + 2, d), ("forward-gradient", (d + 2) ** 2, d * (d + 2))]:
        steps, risk = conv.best_step_sizes(rule, dimension=d, noise=sigma, start=2.0, steps=40)
        r = 2.0
        for k in range(40):
            assert steps[k] == pytest.approx(r / (c * r + n * sigma**2), rel=1e-10)
            r -= r * r / (c * r + n * sigma**2)
            assert risk[k + 1] == pytest.approx(r, rel=1e-10)
        np.testing.assert_allclose(
            conv.exact_risk(rule, dimension=d, noise=sigma, start=2.0, steps=40, step_size=steps), risk, rtol=1e-10
        )
    given: dict[str, Any] = {"dimension": 3, "covariance": FULL3, "start": [1.0, -2.0, 0.5]}
    problem, update = conv.LinearRegression(**given), conv.Update("forward-gradient", law="rademacher")
    for of in ("parameters", "prediction"):
        steps, risk = conv.best_step_sizes(update, problem, steps=3, of=of)
        np.testing.assert_allclose(conv.exact_risk(update, problem, steps=3, step_size=steps, of=of), risk, rtol=1e-10)
        grid = np.linspace(0, 3 * steps[-1], 61)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            others = [conv.exact_risk(update, problem, steps=3, step_size=[*steps[:2], g], of=of)[-1] for g in grid]
        assert min(others) >= risk[-1] - 1e-12


def test_corners_of_the_exact_risk() -> None:
    still = conv.exact_risk("forward-gradient", dimension=4, steps=5, step_size=0.0, start=2.0)
    np.testing.assert_allclose(still, np.full(6, 2.0), rtol=1e-15)
    nothing = conv.exact_risk("sgd", dimension=4, steps=5, step_size=0.1, start=0.0, noise=0.0)
    np.testing.assert_array_equal(nothing, np.zeros(6))
    one = conv.exact_risk("sgd", dimension=1, steps=1, step_size=0.25, start=4.0, noise=2.0)
    np.testing.assert_allclose(one, [4.0, 4 * (1 - 0.5 + 3 / 16) + 4 / 16], rtol=1e-14)
    assert conv.spectral_radius("sgd", 0.0, dimension=5) == pytest.approx(1.0)
    assert conv.stationary_risk("sgd", 0.01, dimension=5, noise=0.0) == 0.0
    assert conv.stationary_risk("forward-gradient", 0.01, dimension=5, rank=2) == np.inf


def test_a_step_beyond_the_limit_warns_with_the_limit() -> None:
    with pytest.warns(UserWarning, match=r"0\.0138"):
        conv.exact_risk("forward-gradient", dimension=10, steps=3, step_size=0.02)
    with pytest.warns(UserWarning, match=r"0\.0138"):
        conv.simulate_risk("forward-gradient", dimension=10, steps=3, step_size=0.02, runs=2, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conv.exact_risk("forward-gradient", dimension=10, steps=3, step_size=2 / 144 * 0.999)


BAD: list[tuple[str, dict[str, Any]]] = [
    ("backprop", {}),
    ("sgd", {"dimension": 0}),
    ("sgd", {"dimension": 2.5}),
    ("sgd", {"dimension": "3"}),
    ("sgd", {"dimension": True}),
    ("sgd", {"dimension": None}),
    ("sgd", {"steps": 0}),
    ("sgd", {"steps": -3}),
    ("sgd", {"steps": 3.5}),
    ("sgd", {"steps": "many"}),
    ("sgd", {"step_size": -0.1}),
    ("sgd", {"step_size": float("nan")}),
    ("sgd", {"step_size": float("inf")}),
    ("sgd", {"step_size": lambda k: float("nan")}),
    ("sgd", {"step_size": lambda k: 1 / (k - 2)}),
    ("sgd", {"step_size": lambda k: None}),
    ("sgd", {"step_size": lambda k: 1j}),
    ("sgd", {"step_size": "fast"}),
    ("sgd", {"step_size": None}),
    ("sgd", {"step_size": [0.1, 0.1]}),
    ("sgd", {"step_size": [[0.1], [0.1], [0.1]]}),
    ("sgd", {"noise": -1.0}),
    ("sgd", {"noise": float("nan")}),
    ("sgd", {"noise": "loud"}),
    ("sgd", {"noise_law": "cauchy"}),
    ("sgd", {"design": "fractal"}),
    ("sgd", {"design": None}),
    ("sgd", {"design": "sparse", "filled": 0.0}),
    ("sgd", {"design": "sparse", "filled": 1.5}),
    ("sgd", {"covariance": [[1.0, 2.0], [2.0, 1.0]], "dimension": 2}),
    ("sgd", {"covariance": [[1.0, 0.5], [0.2, 1.0]], "dimension": 2}),
    ("sgd", {"covariance": [1.0, 0.0, 2.0]}),
    ("sgd", {"covariance": [1.0, -1.0, 2.0]}),
    ("sgd", {"covariance": [1.0, 1.0]}),
    ("sgd", {"covariance": [1.0, float("nan"), 1.0]}),
    ("sgd", {"covariance": "wide"}),
    ("sgd", {"covariance": [1.0, 1.0, 1.0], "rank": 2}),
    ("sgd", {"rank": 0}),
    ("sgd", {"rank": 4}),
    ("sgd", {"active": 0}),
    ("sgd", {"active": 4}),
    ("sgd", {"outputs": 0}),
    ("sgd", {"start": -1.0}),
    ("sgd", {"start": float("inf")}),
    ("sgd", {"start": [1.0, 2.0]}),
    ("sgd", {"start": "here"}),
    ("sgd", {"of": "everything"}),
    ("sgd", {"law": "rademachr"}),
    ("sgd", {"colour": "red"}),
    ("sgd", {"repeats": 2}),
    ("sgd", {"directions": 2}),
    ("forward-gradient", {"law": "rademachr"}),
    ("forward-gradient", {"law": 3}),
    ("forward-gradient", {"directions": 0}),
    ("forward-gradient", {"directions": 1.5}),
    ("forward-gradient", {"repeats": 0}),
    ("forward-gradient", {"mask": 0}),
    ("forward-gradient", {"mask": 4}),
    ("forward-gradient", {"baseline": "previous"}),
    ("forward-gradient", {"repeats": 2, "covariance": [1.0, 2.0, 3.0]}),
    ("forward-gradient", {"repeats": 2, "law": "uniform"}),
    ("two-query", {"radius": 0.0}),
    ("two-query", {"radius": -1.0}),
    ("one-query", {}),
    ("hebbian", {}),
    ("sgd", {"dimension": np.array([3, 4])}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "given"), BAD, ids=lambda v: ",".join(v) if isinstance(v, dict) else str(v))
def test_bad_input_is_told(rule: str, given: dict[str, Any]) -> None:
    call: dict[str, Any] = {"dimension": 3, "steps": 3, "step_size": 0.01} | given
    with pytest.raises(UserError):
        conv.exact_risk(rule, **call)


@pytest.mark.parametrize("rule", [None, 3, ["sgd"], b"sgd"])
def test_a_rule_of_the_wrong_type(rule: Any) -> None:
    with pytest.raises(UserError):
        conv.exact_risk(rule, dimension=3, steps=3, step_size=0.01)
    with pytest.raises(UserError):
        conv.stability_limit(rule, dimension=3)


def test_bad_input_elsewhere() -> None:
    for call in (
        lambda: conv.exact_risk("sgd", steps=3, step_size=0.01),
        lambda: conv.exact_covariance("sgd", dimension=2, steps=3, step_size=0.01, at=[4]),
        lambda: conv.exact_covariance("sgd", dimension=2, steps=3, step_size=0.01, at=[2, 1]),
        lambda: conv.exact_covariance("sgd", dimension=2, steps=3, step_size=0.01, at=[-1]),
        lambda: conv.exact_covariance("sgd", dimension=2, steps=3, step_size=0.01, at="end"),
        lambda: conv.exact_covariance("forward-gradient", dimension=2, repeats=2, steps=3, step_size=0.01),
        lambda: conv.expected_error("sgd", dimension=2, steps=3, step_size=0.01, at=[1.5]),
        lambda: conv.stability_limit("one-query", dimension=2),
        lambda: conv.spectral_radius("sgd", -0.1, dimension=2),
        lambda: conv.spectral_radius("sgd", float("nan"), dimension=2),
        lambda: conv.stationary_risk("sgd", "small", dimension=2),
        lambda: conv.best_step_sizes("one-query", dimension=2, steps=3),
        lambda: conv.best_step_sizes("forward-gradient", dimension=2, repeats=2, steps=3),
        lambda: conv.best_step_sizes("sgd", dimension=2, steps=0),
        lambda: conv.asymptotic_constant("hebbian", dimension=2),
        lambda: conv.asymptotic_constant("sgd", dimension=2, covariance=[1.0, 2.0]),
        lambda: conv.exact_risk("sgd", dimension=2, steps=3, step_size=conv.harmonic(-1.0)),
        lambda: conv.exact_risk("sgd", dimension=2, steps=3, step_size=conv.harmonic(1.0, -2.0)),
    ):
        with pytest.raises(UserError):
            call()


def test_a_stationary_law_needs_a_step() -> None:
    with pytest.raises(UserError):
        conv.stationary_risk("sgd", 0.0, dimension=2)


@pytest.mark.parametrize(
    "problem", [3, "linear", {"dimension": 3}, np.eye(3)], ids=["number", "word", "table", "matrix"]
)
def test_a_problem_of_the_wrong_type(problem: Any) -> None:
    with pytest.raises(UserError):
        conv.exact_risk("sgd", problem, steps=3, step_size=0.01)
    with pytest.raises(UserError):
        conv.stability_limit("sgd", problem)
    with pytest.raises(UserError):
        conv.simulate_risk("sgd", problem, steps=3, step_size=0.01, runs=2, rng=0)
    with pytest.raises(UserError):
        conv.asymptotic_constant("sgd", problem)
