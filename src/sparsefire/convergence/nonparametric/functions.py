"""Regression functions of exactly known smoothness on the unit cube, and the exponent that they allow.

Every function is standardised: mean 0 and variance 1 under the uniform law.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from sparsefire import randomness
from sparsefire.convergence._inputs import entropy, floats, from_zero, number, row, whole
from sparsefire.errors import UserError

Layers = tuple[tuple[float, int], ...]

_RATIO = math.sqrt(2.0)  # between scales: close enough that log-log curves do not oscillate
_FINEST = 2**16
_WIDEST = 6  # dimensions of a bump
_ROWS = 2**14  # evaluated at once, to stay in the cache
_EVEN = 2**14  # points: the deviation is right to .1% for d = 2 and .6% for d = 5
_SPREAD = math.sqrt(12.0)  # a standardised number divided by it has the variance of a uniform one


@dataclass(frozen=True, eq=False)
class Function:
    """A function on [0, 1]^d with mean 0 and variance 1 under the uniform law; made by the functions of this module.

    Attributes:
        shape: before it is standardised, from [n, d] to [n].
        dimension: d.
        paths: ways from the input to the output, each a sequence of (smoothness β_i, number of arguments t_i) from the
            inside out; a β of infinity stands for maps that cost nothing.
        mean, deviation: of ``shape`` under the uniform law.

    >>> f = hoelder(1.0, 2, rng=0)
    >>> f(np.zeros((3, 2))).shape, f.dimension, f.exponent
    ((3,), 2, 0.5)
    """

    shape: Callable[[np.ndarray], np.ndarray]
    dimension: int
    paths: tuple[Layers, ...]
    mean: float = 0.0
    deviation: float = 1.0

    def __call__(self, x: Any) -> np.ndarray:
        """Return the values at rows, float64 [n].

        Args:
            x: [n, d].
        """
        return (_evaluated(self.shape, _points(x, self.dimension)) - self.mean) / self.deviation

    @property
    def exponent(self) -> float:
        """Return a with minimax squared L2 risk n^(-a) over the class: the least :func:`minimax_exponent` of a path."""
        return min(minimax_exponent(path) for path in self.paths)

    def coordinates(self, x: Any) -> np.ndarray | None:
        """Return what the outermost rough layer sees, [n, t] in [0, 1], known to an oracle only; None for sums."""
        found = getattr(self.shape, "coordinates", None)
        return None if found is None else found(_points(x, self.dimension))

    def sample(self, n: int, noise: float, rng: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Return n uniform rows x [n, d] and y = f(x) + noise · N(0, 1), [n].

        Args:
            n: 1 or more.
            noise: standard deviation, 0 or more.
            rng: see :func:`sparsefire.randomness.entropy`.

        >>> x, y = hoelder(0.5, 3, rng=0).sample(10, 0.1, rng=1)
        >>> x.shape, y.shape
        ((10, 3), (10,))
        """
        rows = whole(n, "sample size", 1)
        generator = randomness.stream(entropy(rng), "design and noise")
        x = generator.random((rows, self.dimension))
        return x, self(x) + from_zero(noise, "noise") * generator.standard_normal(rows)


def minimax_exponent(layers: Sequence[tuple[float, int]]) -> float:
    """Return a with minimax squared L2 risk n^(-a) over compositions of Hölder functions, up to logarithms.

    a = min_i 2β*_i / (2β*_i + t_i), β*_i = β_i Π_{l > i} min(β_l, 1) (J. Schmidt-Hieber 2020, arXiv:1708.06633). One
    layer gives 2β/(2β + d) (C. J. Stone 1982, doi:10.1214/aos/1176345969); layers that cost nothing give 1.

    Args:
        layers: (smoothness β_i, number of arguments t_i on which each component depends), from the inside out; β above
            0, infinite for a map that costs nothing.

    >>> minimax_exponent([(2, 1)]), minimax_exponent([(0.5, 1), (0.5, 3)])
    (0.8, 0.25)
    """
    found, after = 1.0, 1.0
    for beta, arguments in reversed(_layers(layers)):
        if math.isfinite(beta):
            found = min(found, 2 * beta * after / (2 * beta * after + arguments))
        after *= min(beta, 1.0)
    return found


def hoelder(beta: float, dimension: int = 1, rng: Any = None) -> Function:
    """Return a random function that has smoothness β at every point and at every scale, and no more.

        f(x) = Σ_N N^(-β) Σ_cells ε_cell Π_i |sin π(N x_i + s_i)|^q,   N = 1, √2, 2, 2√2, 4, …

    with a random sign ε for each cell of the randomly shifted grid of width 1/N, q = ⌊β⌋ + 1, then standardised. One
    bump per cell and scale, alike at all scales: what a grid of m^d cells leaves over is c m^(-2β) in the mean square
    for small m already, so that the exponent shows. (For β < 1, N begins at ¼: cells wider than the cube have a share.)

    Why the exponent is attained. A bump has smoothness q > β and those of one scale do not overlap, so f is in the
    Hölder-Zygmund class β whatever the signs are (for whole β this is Zygmund's class: the modulus of continuity has a
    logarithm more than a Hölder function's, the risk has not). Signs are independent, so the mean squares of all
    scales add up in E|Δ_h^r f(x)|², r > β, and those of N ≈ 1/h alone give c h^(2β), at every x. And at the scale
    N^(2β + d) ≈ n each cell holds too few observations to tell its sign: this is Assouad's cube, so no estimator has a
    better exponent than 2β/(2β + d) in the mean over ``rng`` (A. B. Tsybakov 2009, doi:10.1007/b13794, section 2).

    Args:
        beta: β, in (0, 4].
        dimension: d, 1 to 6: a bump is a product of d factors, and a needle for more. Indices have no such limit.
        rng: decides signs and shifts.

    Scales go on until N^(-2β) < 1e-12, but at least to 2^10 and at most to 2^16; below the finest the function is
    smooth. It continues in the same way outside the cube.

    >>> f = hoelder(0.5, rng=0)
    >>> f.exponent, f(np.array([[0.25], [0.75]])).round(6).tolist()
    (0.5, [2.167724, 0.277446])
    """
    smoothness, d = _checked_beta(beta), whole(dimension, "dimension", 1)
    if d > _WIDEST:
        raise UserError(
            "bumps in so many dimensions are needles.",
            came=f"dimension {d}",
            expected=f"1 to {_WIDEST}",
            attempt="additive, multi_index or composition",
        )
    shape = _Bumps.drawn(smoothness, d, randomness.stream(entropy(rng), "bumps"))
    return _standardised(shape, d, (((smoothness, d),),))


def additive(beta: float, dimension: int, rng: Any = None) -> Function:
    """Return a sum of functions of one coordinate each, of smoothness β: exponent 2β/(2β + 1).

    Args:
        beta: as of :func:`hoelder`.
        dimension: number of coordinates, all of them used.
        rng: as of :func:`hoelder`.

    >>> additive(1.0, 5, rng=0).exponent == 2 / 3
    True
    """
    d = whole(dimension, "dimension", 1)
    parts = tuple(hoelder(beta, 1, randomness.stream(entropy(rng), "part", i)) for i in range(d))
    return _standardised(_Sum(parts), d, (((float(beta), 1), (math.inf, d)),))


def single_index(beta: float, dimension: int, rng: Any = None) -> Function:
    """Return g(½ + a · (x − ½)) with a random unit vector a and g of one variable: exponent 2β/(2β + 1).

    >>> single_index(2.0, 5, rng=0).exponent
    0.8
    """
    return multi_index(beta, dimension, 1, rng)


def multi_index(beta: float, dimension: int, indices: int, rng: Any = None) -> Function:
    """Return g(½ + A (x − ½)) with random orthonormal rows A [t, d] and g of t variables: exponent 2β/(2β + t).

    Args:
        beta: smoothness of g, as of :func:`hoelder`.
        dimension: d.
        indices: t, 1 to d.
        rng: as of :func:`hoelder`.

    >>> multi_index(0.5, 5, 2, rng=0).exponent == 1 / 3
    True
    """
    d, t = whole(dimension, "dimension", 1), whole(indices, "number of indices", 1)
    if t > d:
        raise UserError("there are no more indices than coordinates.", came=f"{t} of {d}", expected=f"1 to {d}")
    normal = randomness.stream(entropy(rng), "indices").standard_normal((d, t))
    rows = np.linalg.qr(normal)[0].T
    outer = hoelder(beta, t, randomness.stream(rng, "link"))
    return _standardised(_Projected(rows, outer), d, (((math.inf, d), (float(beta), t)),))


def composition(inner: Function | Sequence[Function], outer: Function) -> Function:
    """Return outer(½ + inner(x)/√12): functions of functions, whose intrinsic dimension may be far below d.

    Args:
        inner: one function of x for each argument of ``outer``, all of the same dimension.
        outer: of as many arguments as there are inner functions.

    Each argument has the spread of a uniform number, and ``outer`` continues where one leaves the cube.
    The inner functions draw their own randomness; give them different ``rng``.

    >>> inner = [multi_index(1.0, 10, 2, rng=i) for i in range(3)]
    >>> f = composition(inner, hoelder(2.0, 3, rng=3))
    >>> f.dimension, f.exponent == min(2 / (2 + 2), 4 / (4 + 3))
    (10, True)
    """
    parts = (inner,) if isinstance(inner, Function) else tuple(row(inner, "inner", "functions"))
    if not parts or not all(isinstance(part, Function) for part in (*parts, outer)):
        raise UserError("a composition is made of functions.", expected="hoelder(…), additive(…), multi_index(…), …")
    if len({part.dimension for part in parts}) > 1:
        raise UserError(
            "inner functions take the same input.",
            came="dimensions " + ", ".join(str(part.dimension) for part in parts),
            expected="one dimension",
        )
    if outer.dimension != len(parts):
        raise UserError(
            "the outer function takes another number of arguments.",
            came=f"{len(parts)} inner functions",
            expected=f"{outer.dimension}",
        )
    paths = tuple(before + after for part in parts for before in part.paths for after in outer.paths)
    return _standardised(_Composed(parts, outer), parts[0].dimension, paths)


def linear(dimension: int, nonzero: int | None = None, rng: Any = None) -> Function:
    """Return θ · (x − ½), with θ of random signs on ``nonzero`` random coordinates (all by default): exponent 1.

    >>> linear(20, 3, rng=0).exponent
    1.0
    """
    d = whole(dimension, "dimension", 1)
    s = d if nonzero is None else whole(nonzero, "number of non-zero coefficients", 1)
    if s > d:
        raise UserError("there are no more coefficients than coordinates.", came=f"{s} of {d}", expected=f"1 to {d}")
    generator = randomness.stream(entropy(rng), "coefficients")
    theta = np.zeros(d)
    theta[generator.permutation(d)[:s]] = generator.choice([-1.0, 1.0], s)
    return Function(_Linear(theta), d, (((math.inf, d),),), 0.0, math.sqrt(s) / _SPREAD)


@dataclass(frozen=True, eq=False)
class _Bumps:
    beta: float
    numbers: np.ndarray  # of cells by unit of length, one per scale
    shifts: np.ndarray  # [scales, d]
    keys: np.ndarray  # uint64, of the signs of each scale

    @classmethod
    def drawn(cls, beta: float, dimension: int, generator: np.random.Generator) -> _Bumps:
        finest = min(max(10.0 ** (6.0 / beta), 2.0**10), float(_FINEST))
        first = -4 if beta < 1 else 0
        numbers = _RATIO ** np.arange(first, int(math.log(finest) / math.log(_RATIO)) + 1.0)
        shifts = generator.random((len(numbers), dimension))
        keys = generator.integers(0, 2**64, len(numbers), dtype=np.uint64)
        return cls(beta, numbers, shifts, keys)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        power = math.floor(self.beta) + 1
        total = np.zeros(len(x))
        for count, shift, key in zip(self.numbers, self.shifts, self.keys, strict=True):
            places = x * count + shift
            heights = np.abs(np.sin(np.pi * places)).prod(1) ** power
            cells = np.floor(places).astype(np.int64).astype(np.uint64)
            total += count**-self.beta * _signs(cells, key) * heights
        return total

    def coordinates(self, x: np.ndarray) -> np.ndarray:
        return x


@dataclass(frozen=True, eq=False)
class _Sum:
    parts: tuple[Function, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return sum((part(x[:, i : i + 1]) for i, part in enumerate(self.parts)), np.zeros(len(x)))


@dataclass(frozen=True, eq=False)
class _Projected:
    rows: np.ndarray
    outer: Function

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.outer(0.5 + (x - 0.5) @ self.rows.T)

    def coordinates(self, x: np.ndarray) -> np.ndarray:
        return np.clip(0.5 + (x - 0.5) @ self.rows.T / np.abs(self.rows).sum(1), 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class _Composed:
    parts: tuple[Function, ...]
    outer: Function

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.outer(0.5 + self._inner(x) / _SPREAD)

    def coordinates(self, x: np.ndarray) -> np.ndarray:
        ends = self._inner(_even_points(self.parts[0].dimension))
        low, high = ends.min(0), ends.max(0)
        return np.clip((self._inner(x) - low) / (high - low), 0.0, 1.0)

    def _inner(self, x: np.ndarray) -> np.ndarray:
        return np.stack([part(x) for part in self.parts], axis=1)


@dataclass(frozen=True, eq=False)
class _Linear:
    theta: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x - 0.5) @ self.theta


def _signs(cells: np.ndarray, key: np.uint64) -> np.ndarray:
    """Return a sign for each cell [n, d], a pure function of it: SplitMix64's mixing, coordinate after coordinate."""
    state = np.full(len(cells), key, np.uint64)
    for coordinate in cells.T:
        state = state + coordinate * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x632BE59BD9B4E019)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return 1.0 - 2.0 * (state >> np.uint64(63)).astype(np.float64)


def _standardised(shape: Callable[[np.ndarray], np.ndarray], dimension: int, paths: tuple[Layers, ...]) -> Function:
    values = _evaluated(shape, _even_points(dimension))
    return Function(shape, dimension, paths, float(values.mean()), float(values.std()))


@lru_cache(maxsize=4)
def _even_points(dimension: int) -> np.ndarray:
    """Return points that fill the cube evenly: multiples of (g^-1, …, g^-d) modulo 1, g^(d + 1) = g + 1."""
    root = 2.0
    for _ in range(64):
        root = (1.0 + root) ** (1.0 / (dimension + 1))
    step = root ** -np.arange(1.0, dimension + 1)
    return np.mod(0.5 + np.arange(1, _EVEN + 1)[:, None] * step, 1.0)


def _evaluated(shape: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    if len(x) <= _ROWS:
        return shape(x)
    return np.concatenate([shape(x[start : start + _ROWS]) for start in range(0, len(x), _ROWS)])


def _points(x: Any, dimension: int) -> np.ndarray:
    points = floats(x, "x")
    if points.ndim != 2 or points.shape[1] != dimension:
        raise UserError("points come in rows.", came=f"shape {points.shape}", expected=f"shape (n, {dimension})")
    return points


def _layers(layers: Any) -> Layers:
    """Return (β, t) of each layer, checked."""
    try:
        found = tuple((beta, whole(arguments, "number of arguments", 1)) for beta, arguments in layers)
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        found = ()
    if not found or not all(number(beta) and beta > 0 for beta, _ in found):
        raise UserError(
            "these are no layers of a composition.",
            came=repr(layers),
            expected="pairs (smoothness above 0, number of arguments), 1 or more",
        )
    return found


def _checked_beta(beta: Any) -> float:
    if not number(beta) or not 0 < beta <= 4:
        raise UserError("there is no function of this smoothness here.", came=repr(beta), expected="β in (0, 4]")
    return float(beta)
