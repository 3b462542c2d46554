"""Noise on weights as a penalty: L(θ + ξ) − L(θ) on average is ½ Σ_j G_jj Var(ξ_j | θ), whatever the noise is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import Lasso
from torch import nn

from sparsefire import masks
from sparsefire.sparsity.noise import NoisyProduct, NoisyWeight, Shaking, two_queries
from sparsefire.sparsity.setting import Setting

Record = dict[str, Any]
REPLICATES = 10
EXPONENTS, SIZES = (0.0, 0.5, 1.0, 1.5, 2.0), (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
E, DRAWS, D, ROWS = 0.3, 4000, 20, 60
LAM, RATE, STEPS = 0.3, 0.01, 4000


def rows(number: int, d: int = D, n: int = ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return X [n, d] with columns of different scale, Y and θ*, with half of its places at zero."""
    source = np.random.default_rng([number, d, n])
    x = source.standard_normal((n, d)) * np.linspace(0.6, 1.4, d)
    truth = np.where(np.arange(d) % 2, 0.0, source.choice([-1.0, 1.0], d) * source.uniform(0.5, 2.0, d))
    return x, x @ truth + 0.5 * source.standard_normal(n), truth


def losses(x: np.ndarray, y: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Return |Y − Xθ|² / 2n for many θ, [draws, d]."""
    return ((theta @ x.T - y) ** 2).mean(1) / 2


@dataclass(frozen=True)
class Noise:
    """One kind of noise, at |θ| = size in all places.

    Attributes:
        name: on the page.
        law: the penalty, in words.
        kind: what it does to weights.
        drawn: from size, draws and a generator to excess losses, [draws].
        expected: its mean by the law, given size.
    """

    name: str
    law: str
    kind: str
    drawn: Callable[[float, int, np.random.Generator], np.ndarray]
    expected: Callable[[float], float]


def noises(number: int, eta: float = E) -> list[Noise]:
    """Return the noises; factors are balanced, m = |w| = √|θ|."""
    x, y, _ = rows(number)
    n, d = x.shape
    side = np.random.default_rng([number, 1]).choice([-1.0, 1.0], d)
    g = (x**2).mean(0)
    total, square = g.sum(), eta**2

    def of_weights(moved: Callable[[np.ndarray, np.ndarray, np.random.Generator, int], np.ndarray]) -> Any:
        def drawn(size: float, count: int, source: np.random.Generator) -> np.ndarray:
            m, w = np.full(d, math.sqrt(size)), side * math.sqrt(size)
            return losses(x, y, moved(m, w, source, count)) - losses(x, y, (m * w)[None])

        return drawn

    def signs(source: np.random.Generator, count: int) -> np.ndarray:
        return source.choice([-1.0, 1.0], (count, d))

    def both(m: np.ndarray, w: np.ndarray, s: np.random.Generator, k: int) -> np.ndarray:
        return (m + eta * signs(s, k)) * (w + eta * signs(s, k))

    def same(m: np.ndarray, w: np.ndarray, s: np.random.Generator, k: int) -> np.ndarray:
        z = eta * signs(s, k)
        return (m + z) * (w + z)

    def poisson(m: np.ndarray, w: np.ndarray, s: np.random.Generator, k: int) -> np.ndarray:
        return m * w + eta * m * signs(s, k)

    def quanta(m: np.ndarray, w: np.ndarray, s: np.random.Generator, k: int) -> np.ndarray:
        return side * square * s.poisson(np.broadcast_to(np.abs(m * w) / square, (k, d)))

    def multiplied(m: np.ndarray, w: np.ndarray, s: np.random.Generator, k: int) -> np.ndarray:
        return m * w * (1 + eta * signs(s, k)) * (1 + eta * signs(s, k))

    def dropped(m: np.ndarray, w: np.ndarray, s: np.random.Generator, k: int) -> np.ndarray:
        return m * w * (s.random((k, d)) >= 0.2) / 0.8

    def jitter(m: np.ndarray, w: np.ndarray, s: np.random.Generator, k: int) -> np.ndarray:
        return m * w * np.exp(eta * s.standard_normal((k, d)) - square / 2)

    def one(m: np.ndarray, w: np.ndarray, s: np.random.Generator, k: int) -> np.ndarray:
        return (m + eta * signs(s, k)) * w

    def deep(m: np.ndarray, w: np.ndarray, s: np.random.Generator, k: int) -> np.ndarray:
        a = np.abs(m * w) ** (1 / 3)
        return side * (a + eta * signs(s, k)) * (a + eta * signs(s, k)) * (a + eta * signs(s, k))

    def of_rows(noise: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Any:
        """Return excess losses under noise of the activities: ``noise`` gives what is added to predictions, [n]."""

        def drawn(size: float, count: int, source: np.random.Generator) -> np.ndarray:
            theta = side * size
            r = x @ theta - y
            return np.array([(((r + noise(theta, source)) ** 2).mean() - (r**2).mean()) / 2 for _ in range(count // 4)])

        return drawn

    inputs = of_rows(lambda theta, s: eta * s.standard_normal((n, d)) @ theta)
    output = of_rows(lambda theta, s: eta * s.standard_normal(n))
    between = of_rows(lambda theta, s: eta * s.standard_normal((n, d)) @ (side * np.sqrt(np.abs(theta))))
    sources = of_rows(lambda theta, s: eta * (np.sqrt(np.abs(x)) * s.standard_normal((n, d))) @ theta)
    shift = lambda t: float(  # noqa: E731
        losses(x, y, (side * t + square)[None])[0] - losses(x, y, (side * t)[None])[0]
        + square / 2 * (g * (math.sqrt(t) + side * math.sqrt(t)) ** 2).sum()
    )  # fmt: skip
    absolute = float(np.abs(x).mean(0).sum())
    return [
        Noise("additive, both factors of mw", "η²/2 Σ G (m² + w²) + constant", "lasso", of_weights(both),
              lambda t: square * t * total + square**2 / 2 * total),
        Noise("variance e²|θ| (Poisson-like), plain weights", "e²/2 Σ G |θ|", "lasso", of_weights(poisson),
              lambda t: square / 2 * t * total),
        Noise("Poisson numbers of quanta of size e²", "e²/2 Σ G |θ|", "lasso", of_weights(quanta),
              lambda t: square / 2 * t * total),
        Noise("multiplicative, both factors", "(2η² + η⁴)/2 Σ G θ²", "ridge", of_weights(multiplied),
              lambda t: (2 * square + square**2) / 2 * t**2 * total),
        Noise("dropout of weights, rate p = 0.2", "p/(1−p)/2 Σ G θ²", "ridge", of_weights(dropped),
              lambda t: 0.25 / 2 * t**2 * total),
        Noise("jitter of spike times, θ exp(ηU − η²/2)", "(exp η² − 1)/2 Σ G θ²", "ridge", of_weights(jitter),
              lambda t: math.expm1(square) / 2 * t**2 * total),
        Noise("activity of inputs", "η²/2 Σ θ²", "ridge", inputs, lambda t: square / 2 * t**2 * d),
        Noise("Poisson rates of inputs", "e²/2 Σ E|x| θ²", "ridge", sources, lambda t: square / 2 * t**2 * absolute),
        Noise("activity of the output", "η²/2", "none", output, lambda t: square / 2),
        Noise("node between m and w", "η²/2 Σ w²", "one-sided", between, lambda t: square / 2 * t * d),
        Noise("one factor alone (m)", "η²/2 Σ G w²", "one-sided", of_weights(one), lambda t: square / 2 * t * total),
        Noise("additive, three factors", "½ Σ G [(|θ|^⅔ + η²)³ − θ²]", "between", of_weights(deep),
              lambda t: ((t ** (2 / 3) + square) ** 3 - t**2) / 2 * total),
        Noise("the same signs on both factors", "shifts θ by η²", "wrong target", of_weights(same), shift),
    ]  # fmt: skip


def run(number: int) -> list[Record]:
    """Return penalties by exponent and by noise on one set of rows, and what is learned under noise on another."""
    return [*_exponents(number), *_table(number), *_learned(number)]


def _exponents(number: int) -> list[Record]:
    """Measure ½ e² Σ G_jj |θ|^q as the mean excess loss over signs, both sides of each."""
    x, y, _ = rows(number)
    source, g = np.random.default_rng([number, 2]), (x**2).mean(0).sum()
    side, found = source.choice([-1.0, 1.0], D), []
    for q in EXPONENTS:
        for size in SIZES:
            theta, noise = side * size, E * size ** (q / 2) * source.choice([-1.0, 1.0], (DRAWS, D))
            excess = (losses(x, y, theta + noise) + losses(x, y, theta - noise)) / 2 - losses(x, y, theta[None])
            found.append({"piece": "laws", "replicate": number, "q": q, "size": size,
                          "penalty": float(excess.mean() / (E**2 / 2 * g))})  # fmt: skip
    return found


def _table(number: int, draws: int = 10_000) -> list[Record]:
    """Return the mean excess loss of every noise at |θ| = 1 and 4, its error and its law."""
    found = []
    for index, noise in enumerate(noises(number)):
        for size in (1.0, 4.0):
            excess = noise.drawn(size, draws, np.random.default_rng([number, 3, index]))
            error = float(excess.std(ddof=1) / math.sqrt(len(excess)))
            found.append({"piece": "laws", "replicate": number, "noise": noise.name, "size": size,
                          "measured": float(excess.mean()), "error": error, "law": noise.expected(size)})  # fmt: skip
    return found


def lasso(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the minimum of |Y − Xθ|² / 2n + Σ weights |θ|."""
    return Lasso(alpha=1.0, fit_intercept=False, tol=1e-12, max_iter=10**6).fit(x / weights, y).coef_ / weights


def _learned(number: int) -> list[Record]:
    """Learn under noise with the classes of the package, and compare with the weighted lasso of the same λ.

    Rates are constant; what is compared is the mean over the second half of the steps.
    """
    x, y, _ = rows(number, n=100)
    g = (x**2).mean(0)
    wanted, least = lasso(x, y, LAM * g), np.linalg.lstsq(x, y, rcond=None)[0]
    found = []
    for name, kind, how in (
        ("both factors, back-propagation", NoisyProduct, None),
        ("both factors, two queries", NoisyProduct, two_queries),
        ("Poisson-like, back-propagation", NoisyWeight, None),
        ("Poisson-like, two queries", None, None),
    ):
        theta = poisson_queries(x, y, number) if kind is None else learn(kind, how, x, y, number)
        support = ((np.abs(theta) > LAM / 4) == (np.abs(wanted) > LAM / 4)).mean()
        found.append({"piece": "laws", "replicate": number, "learned": name, "to lasso": _far(theta, wanted),
                      "to least squares": _far(theta, least), "support": float(support),
                      "apart": _far(wanted, least)})  # fmt: skip
    return found


def _far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


def learn(kind: type, how: Any, x: np.ndarray, y: np.ndarray, number: int, steps: int = STEPS) -> np.ndarray:
    """Return what plain gradient descent under noise ends with, the mean over the second half of the steps."""
    inputs, outputs = torch.from_numpy(x), torch.from_numpy(y)[:, None]
    layer = nn.Linear(x.shape[1], 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    eta = math.sqrt(LAM if kind is NoisyProduct else 2 * LAM)
    options: Any = {} if kind is NoisyProduct else {"width": 0.01}
    mask = torch.ones(1, x.shape[1], dtype=torch.bool)
    masks.attach_(layer, kind(mask, layer.weight, eta=eta, rng=number, **options).double())
    control = Shaking(Setting(layer))
    optimizer = torch.optim.SGD(layer.parameters(), lr=RATE)
    loss = lambda: (layer(inputs) - outputs).square().mean() / 2  # noqa: E731
    total = np.zeros(x.shape[1])
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss().backward() if how is None else how(layer, loss)
        optimizer.step()
        control.update(step)
        total += layer.weight.detach().numpy()[0] if step > steps // 2 else 0.0
    return total / (steps - steps // 2)


def poisson_queries(x: np.ndarray, y: np.ndarray, number: int, steps: int = STEPS) -> np.ndarray:
    """Learn plain weights from two losses under noise of variance |θ|, a quarter at least; nothing but losses is read.

        D = [L(θ + e s z) − L(θ − e s z)] / 2e,    θ ← θ − rate D z / s,    s² = max(|θ|, 1/4)

    Its mean step is the gradient of L, for squared loss exactly: what would shrink weights, the dependence of s on θ,
    is not in a difference of two losses.
    """
    source, e = np.random.default_rng([number, 4]), math.sqrt(2 * LAM)
    theta, total = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for step in range(1, steps + 1):
        size, z = np.sqrt(np.maximum(np.abs(theta), 0.25)), source.choice([-1.0, 1.0], len(theta))
        above, below = losses(x, y, np.stack([theta + e * size * z, theta - e * size * z]))
        theta = theta - RATE * (above - below) / (2 * e) * z / size
        total += theta if step > steps // 2 else 0.0
    return total / (steps - steps // 2)


def check(found: Sequence[Record]) -> float:
    """Return the largest |z| of the table of noises."""
    return max(abs(r["measured"] - r["law"]) / r["error"] for r in found if "noise" in r and r["error"] > 0)
