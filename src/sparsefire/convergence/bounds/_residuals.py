"""The law of e = ε − X′v, the residual that a query at distance v from θ* leaves, and how it moves with v.

Two independent ways: exact mixtures, for directions whose entries are all of one size; characteristic functions, for
any direction and all laws but two-point noise on a design with atoms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, special, stats

from sparsefire.convergence.problem import LinearRegression

SMALLEST = 1e-40  # weight of a component below which it is left out
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(16)
SPACED = 1 << 15  # points of a characteristic function, for a single direction
SPACED_MANY = 1 << 13  # where many directions are averaged
ABOVE_ROUNDING = 1e-13  # densities by Fourier transform have errors of 1e-16 or so
SMOOTHED = 7.5  # so that e^(−x²/2) is 1e-12
ROOT3 = np.sqrt(3.0)


@dataclass(frozen=True)
class Mixture:
    """X′v is m_i + s_i · normal with chance w_i; symmetric around 0, all [n]. Scaling v scales m and s."""

    weights: np.ndarray
    means: np.ndarray
    spreads: np.ndarray


def mixture(problem: LinearRegression, norm: float, entries: int) -> Mixture | None:
    """Return the law of X′v where ``entries`` of the d entries of v are ±|v|/√entries and the others 0.

    ``None`` where it is no finite mixture (student and sphere). A component m = s = 0 is an atom.
    """
    size = norm / np.sqrt(entries)
    chances = np.arange(entries + 1)
    if problem.design == "normal":
        return Mixture(np.ones(1), np.zeros(1), np.array([norm]))
    if problem.design == "rademacher":
        weights = stats.binom.pmf(chances, entries, 0.5)
        means, spreads = size * (2.0 * chances - entries), np.zeros(entries + 1)
    elif problem.design == "sparse":
        weights = stats.binom.pmf(chances, entries, problem.filled)
        means, spreads = np.zeros(entries + 1), size * np.sqrt(chances / problem.filled)
    else:
        return None
    kept = weights > SMALLEST
    return Mixture(weights[kept], means[kept], spreads[kept])


def component(problem: LinearRegression, e: np.ndarray, mean: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the density of ε − (m + s · normal) at e and its derivative by the logarithm of the scale of (m, s).

    One of m and s is 0. Atoms (two-point noise, s = 0) have no density and do not move: zeros.
    """
    if problem.noise_law == "laplace":
        return _laplace(problem.noise / np.sqrt(2.0), e - mean, mean, spread)
    if problem.noise_law == "normal":
        return _normal(e - mean, mean, spread, problem.noise**2 + spread**2)
    if spread == 0:
        return np.zeros_like(e), np.zeros_like(e)
    sides = [_normal(e - mean - sign * problem.noise, mean, spread, spread**2) for sign in (-1.0, 1.0)]
    return (sides[0][0] + sides[1][0]) / 2, (sides[0][1] + sides[1][1]) / 2


def _normal(y: np.ndarray, mean: float, spread: float, variance: float) -> tuple[np.ndarray, np.ndarray]:
    density = np.exp(-(y**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    return density, density * (mean * y + spread**2 * (y**2 / variance - 1)) / variance


def _laplace(scale: float, y: np.ndarray, mean: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    if spread == 0:
        density = np.exp(-np.abs(y) / scale) / (2 * scale)
        return density, mean * np.sign(y) / scale * density
    # Laplace ∗ normal, written with erfcx so that nothing overflows; ∂f/∂s = s f″ and b² f″ = f − normal density
    bell = np.exp(-(y**2) / (2 * spread**2))
    sides = np.zeros_like(y)
    for sign in (-1.0, 1.0):
        z = (spread / scale + sign * y / spread) / np.sqrt(2)
        far = z < -5  # erfcx(z) overflows at −26, where bell underflows
        safe = bell * special.erfcx(np.where(far, 0.0, z))
        direct = np.exp(np.minimum(spread**2 / (2 * scale**2) + sign * y / scale, 700.0)) * special.erfc(z)
        sides += np.where(far, direct, safe)
    density = sides / (4 * scale)
    curved = (density - bell / (spread * np.sqrt(2 * np.pi))) / scale**2
    return density, spread**2 * curved


def at(problem: LinearRegression, law: Mixture, e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the density of e and its derivative by log |v| at points e [n]."""
    density, slope = np.zeros_like(e), np.zeros_like(e)
    for weight, mean, spread in zip(law.weights, law.means, law.spreads, strict=True):
        here, moving = component(problem, e, float(mean), float(spread))
        density += weight * here
        slope += weight * moving
    return density, slope


def panels(problem: LinearRegression, law: Mixture) -> tuple[np.ndarray, np.ndarray]:
    """Return points and weights of a quadrature over e ≥ 0: Gauss–Legendre between all kinks, finer close to them."""
    noise = problem.noise
    own = noise if problem.noise_law == "normal" else 0.0
    tail = {"normal": 14.0, "laplace": 30.0, "two-point": 1.0}[problem.noise_law]
    end = float(np.abs(law.means).max() + 14.0 * law.spreads.max() + tail * noise)
    if law.means.any():
        edges = np.concatenate([np.abs(law.means), np.arange(0.0, end, noise / 2)])
    else:
        widths = np.hypot(law.spreads, own)
        narrowest = float(widths[widths > 0].min())
        distances, step = [0.0], narrowest / 4
        while distances[-1] < end:
            distances.append(distances[-1] + step)
            step = min(step * 1.3, max(noise, narrowest) / 2)
        centres = (-noise, noise) if problem.noise_law == "two-point" else (0.0,)
        edges = np.concatenate([centre + sign * np.array(distances) for centre in centres for sign in (-1.0, 1.0)])
    edges = np.unique(np.clip(np.append(edges, (0.0, end)), 0.0, end))
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    return (middle[:, None] + half[:, None] * NODES).ravel(), (half[:, None] * NODE_WEIGHTS).ravel()


def by_fourier(problem: LinearRegression, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points e ≥ 0 [n], evenly spaced, the density of e there [n] and its gradient by v [d, n]."""
    norm = float(np.sqrt(v @ v))
    end = 40.0 * np.hypot(problem.noise, norm)
    kinked = problem.design == "rademacher" and problem.noise_law == "laplace"
    t = np.pi / end * np.arange((SPACED if kinked else SPACED_MANY) + 1)
    noise = _noise(problem, t)
    u = np.abs(v)[:, None] * t
    factors, slopes = _input(problem, u)
    before = np.cumprod(np.vstack([np.ones_like(t), factors[:-1]]), axis=0)
    after = np.cumprod(np.vstack([np.ones_like(t), factors[:0:-1]]), axis=0)[::-1]
    gradient = np.sign(v)[:, None] * slopes * t * before * after * noise
    return _inverted(end, np.vstack([factors.prod(axis=0) * noise, gradient]))


def by_fourier_along(problem: LinearRegression, norm: float, entries: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points e ≥ 0, the density and its derivative by log |v| [1, n], for ``entries`` entries of one size."""
    end = 40.0 * np.hypot(problem.noise, norm)
    t = np.pi / end * np.arange(SPACED + 1)
    noise = _noise(problem, t)
    if problem.design == "sphere":  # X′v has the law of |v| times one coordinate, in any direction
        square = problem.dimension * (norm * t) ** 2 / 4
        half = problem.dimension / 2
        law = special.hyp0f1(half, -square)
        slope = -2 * square / half * special.hyp0f1(half + 1, -square)
    else:
        u = norm / np.sqrt(entries) * t
        factor, change = _input(problem, u)
        law, slope = factor**entries, entries * u * change * factor ** (entries - 1)
    return _inverted(end, np.vstack([law * noise, slope * noise]))


def _inverted(end: float, transforms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # f(e) = (1/2π) ∫ φ(t) cos(te) dt over all t, by the trapezoid rule, which for these φ errs by aliasing alone
    spaced = transforms.shape[1] - 1
    values = fft.irfft(transforms, axis=-1)[:, : spaced + 1] * spaced / end
    points = end / spaced * np.arange(spaced + 1)
    return points, values[0], values[1:]


def _noise(problem: LinearRegression, t: np.ndarray) -> np.ndarray:
    scaled = problem.noise * t
    if problem.noise_law == "normal":
        return np.exp(-(scaled**2) / 2)
    if problem.noise_law == "two-point":
        return np.cos(scaled)
    found = 1 / (1 + scaled**2 / 2)
    if problem.design in ("normal", "student"):
        return found
    # Kinks of the density, where the inputs do not smooth them: a little normal noise, else the cut at the last t rings
    # through the tails. Information can only be lost by that, a share of about its width.
    return found * np.exp(-((SMOOTHED * t / t[-1]) ** 2) / 2)


def _input(problem: LinearRegression, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the characteristic function of a coordinate of X and its derivative."""
    if problem.design == "rademacher":
        return np.cos(u), -np.sin(u)
    if problem.design == "student":  # five degrees of freedom, variance 1
        decay = np.exp(-ROOT3 * u)
        return decay * (1 + ROOT3 * u + u**2), -decay * u * (1 + ROOT3 * u)
    filled = problem.filled if problem.design == "sparse" else 1.0
    bell = np.exp(-(u**2) / (2 * filled))
    return 1 - filled + filled * bell, -u * bell
