"""Activations by name, or any function, with what the laws need of them: derivative, kinks, slopes far out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from sparsefire.errors import UserError

Function = Callable[[np.ndarray], np.ndarray]

STEP = 5e-3  # of numerical derivatives, against a scale of about 1 on which activations bend
_CENTRAL = np.array([-1, 9, -45, 0, 45, -9, 1]) / 60
_ONE_SIDED = np.array([-147, 360, -450, 400, -225, 72, -10]) / 60


@dataclass(frozen=True, eq=False)
class Activation:
    """A function φ of one variable that takes and gives float64 arrays.

    Attributes:
        name: as of :data:`NAMES`, or of the function.
        function: φ.
        derivative: φ′; at a kink either side.
        kinks: where φ or a derivative jumps. Integrals are cut there.
        slopes: lim φ(x)/x for x → -∞ and x → ∞; 0.0 where φ grows more slowly than x.
        homogeneous: φ(r x) = r φ(x) for all r > 0: two straight lines that meet in 0.
    """

    name: str
    function: Function
    derivative: Function
    kinks: tuple[float, ...] = ()
    slopes: tuple[float, float] = (0.0, 0.0)
    homogeneous: bool = False

    def __call__(self, x: Any) -> np.ndarray:
        return self.function(np.asarray(x, dtype=np.float64))

    def __repr__(self) -> str:
        return f"Activation({self.name})"

    @property
    def squares(self) -> float:
        """(a² + b²)/2 with the two slopes: E φ(h)² / E h² of a homogeneous activation and a symmetric law."""
        return (self.slopes[0] ** 2 + self.slopes[1] ** 2) / 2


def activation(kind: Any, derivative: Function | None = None, *, kinks: Any = ()) -> Activation:
    """Return an activation by its name, or made from a function.

    Args:
        kind: a name of :data:`NAMES` (``"gelu"`` is the exact form, ``"leaky_relu"`` has the slope 0.01 below 0, others
            by :func:`homogeneous`), an :class:`Activation` (returned as it is), a function that takes and gives arrays,
            or a pair of function and derivative.
        derivative: of a function. None: differences of sixth order with steps of 0.005 that stay on one side of a kink,
            exact to about 1e-11 for functions that bend on a scale of 1; steeper ones should bring their own.
        kinks: where a function or a derivative jumps. A kink that is not declared costs accuracy (about 1e-4).

    Raises:
        UserError: an unknown name, a function that does not give an array of the same shape or gives NaN.

    >>> activation("relu")(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    >>> cubic = activation(lambda x: x**3)
    >>> cubic.derivative(np.array([2.0])).round(9).tolist()
    [12.0]
    """
    if isinstance(kind, Activation):
        return kind
    if isinstance(kind, str):
        if kind not in NAMES:
            raise UserError(f"there is no activation {kind!r}.", came=repr(kind), expected=", ".join(sorted(NAMES)))
        return NAMES[kind]
    if isinstance(kind, tuple | list) and len(kind) == 2 and all(map(callable, kind)):
        kind, derivative = kind
    if not callable(kind):
        raise UserError(
            "this is no activation.",
            came=type(kind).__name__,
            expected="a name, a function of arrays, or a pair of function and derivative",
        )
    at = tuple(sorted(float(kink) for kink in np.atleast_1d(np.asarray(kinks, dtype=np.float64))))
    found = checked(kind)
    slope = differences(found, at) if derivative is None else checked(derivative)
    return Activation(getattr(kind, "__name__", "function"), found, slope, at, (_far(found, -1), _far(found, 1)))


def homogeneous(below: float, above: float) -> Activation:
    """Return the activation that is ``below`` · x for x < 0 and ``above`` · x for x > 0.

    >>> homogeneous(0.2, 1.0)(np.array([-1.0, 1.0])).tolist()
    [-0.2, 1.0]
    """
    return _lines(f"slopes {below:g} and {above:g}", float(below), float(above))


def checked(function: Any) -> Function:
    """Return a function that says what is wrong with the values of another, if anything is."""

    def values(x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            found = np.asarray(function(x), dtype=np.float64)
        if found.shape != x.shape:
            raise UserError("an activation takes and gives arrays.", came=f"shape {found.shape}", expected=f"{x.shape}")
        wrong = np.flatnonzero(np.isnan(found).ravel())
        if len(wrong):
            raise UserError("an activation is a number everywhere.", came=f"nan at x = {x.ravel()[wrong[0]]:.6g}")
        return found

    values(np.array([0.0, 1.0, -1.0]))
    return values


def differences(function: Function, kinks: tuple[float, ...] = ()) -> Function:
    """Return the derivative of a function by differences of sixth order that do not step over kinks.

    >>> float(abs(differences(np.tanh)(np.array([0.5])) - 1 / np.cosh(0.5) ** 2)[0]) < 1e-12
    True
    """
    edges = np.array(kinks, dtype=np.float64)

    def slope(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, dtype=np.float64)
        side = np.zeros(x.shape)
        if len(edges):
            gap = x[..., None] - edges
            nearest = np.take_along_axis(gap, np.abs(gap).argmin(-1)[..., None], -1)[..., 0]
            side = np.where(np.abs(nearest) < 3 * STEP, np.where(nearest < 0, -1.0, 1.0), 0.0)
        found = np.zeros(x.shape)
        for place in range(7):  # central away from kinks, else from the kink outwards
            step = np.where(side == 0, place - 3.0, side * place) * STEP
            found += np.where(side == 0, _CENTRAL[place], side * _ONE_SIDED[place]) * function(x + step)
        return found / STEP

    return slope


def _far(function: Function, sign: int) -> float:
    near, far = function(sign * np.array([1e6, 1e8])) / (sign * np.array([1e6, 1e8]))
    straight = np.isfinite(far) and abs(far - near) <= 1e-5 * (1 + abs(far)) and abs(far) > 1e-5
    return float(far) if straight else 0.0


def _lines(name: str, below: float, above: float) -> Activation:
    def function(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, above * x, below * x) + 0.0  # no -0.0

    def derivative(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, above, below)

    return Activation(name, function, derivative, () if below == above else (0.0,), (below, above), True)


def _gelu_slope(x: np.ndarray) -> np.ndarray:
    return special.ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _hyperbolic_square(x: np.ndarray) -> np.ndarray:
    tail = np.exp(-2 * np.abs(x))  # 1 / cosh², without overflow
    return 4 * tail / (1 + tail) ** 2


def _silu_slope(x: np.ndarray) -> np.ndarray:
    return special.expit(x) * (1 + x * special.expit(-x))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, x)


def _mish_slope(x: np.ndarray) -> np.ndarray:
    return np.tanh(_softplus(x)) + x * _hyperbolic_square(_softplus(x)) * special.expit(x)


def _bent(name: str, scale: float, alpha: float) -> Activation:
    def function(x: np.ndarray) -> np.ndarray:
        return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))

    def derivative(x: np.ndarray) -> np.ndarray:
        return scale * np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0.0)))

    return Activation(name, function, derivative, (0.0,), (0.0, scale))


def _clipped(name: str, low: float, high: float) -> Activation:
    def function(x: np.ndarray) -> np.ndarray:
        return np.clip(x, low, high)

    def derivative(x: np.ndarray) -> np.ndarray:
        return ((x > low) & (x < high)).astype(np.float64)

    return Activation(name, function, derivative, (low, high))


NAMES: dict[str, Activation] = {
    one.name: one
    for one in (
        _lines("linear", 1.0, 1.0),
        _lines("relu", 0.0, 1.0),
        _lines("leaky_relu", 0.01, 1.0),
        _lines("abs", -1.0, 1.0),
        _clipped("hard_tanh", -1.0, 1.0),
        _clipped("relu6", 0.0, 6.0),
        _bent("elu", 1.0, 1.0),
        _bent("selu", 1.0507009873554805, 1.6732632423543772),
        Activation("tanh", np.tanh, _hyperbolic_square),
        Activation("sigmoid", special.expit, lambda x: special.expit(x) * special.expit(-x)),
        Activation("erf", special.erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-x * x)),
        Activation("softsign", lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2, (0.0,)),
        Activation("softplus", _softplus, special.expit, (), (0.0, 1.0)),
        Activation("gelu", lambda x: x * special.ndtr(x), _gelu_slope, (), (0.0, 1.0)),
        Activation("silu", lambda x: x * special.expit(x), _silu_slope, (), (0.0, 1.0)),
        Activation("mish", lambda x: x * np.tanh(_softplus(x)), _mish_slope, (), (0.0, 1.0)),
    )
}
"""Activations that have a name; as torch defines them."""
