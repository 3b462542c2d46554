"""Who takes part: dense, its sparse versions, the narrow rival, the linear model, and boosting as a yardstick."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from torch import nn

from sparsefire.errors import UserError
from sparsefire.sparsity import recipe
from sparsefire.train.learners import learner
from sparsefire.train.networks import PERCEPTRONS, Description, Factory, can_be_narrow, narrow, weight_count
from sparsefire.wiring.layouts import keep_count

HIDDEN_SMALL = (128, 128)  # below 10,000 rows
HIDDEN_TABLE = (128, 64)
HIDDEN_WIDE = (300, 100)  # 200 features and more
HIDDEN_FORWARD = (32,)  # a forward gradient pays for every weight it perturbs


@dataclass(frozen=True)
class Candidate:
    """One way to make a model, before it is trained.

    Attributes:
        id: unique name, such as ``"gmp@0.05"``.
        kind: ``"dense"``, ``"sparse"``, ``"narrow"``, ``"linear"``, ``"boosting"`` or ``"backprop"`` (dense trained by
            back-propagation, the yardstick of another rule).
        method: name of the method, with its layout where that is not the method's own (``"static/balanced"``).
        density: share of the dense network's weights, None where there is none.
    """

    id: str
    kind: str
    method: str
    density: float | None = None

    @property
    def training_method(self) -> str:
        """Return the name ``sparsify`` knows, or ``"dense"``."""
        return self.method.split("/")[0] if self.kind == "sparse" else "dense"

    @property
    def layout(self) -> str | None:
        """Return the layout that was asked for, None for the method's own."""
        return self.method.split("/")[1] if "/" in self.method else None

    def settings(self) -> dict[str, Any]:
        """Return what identifies it in a run's settings."""
        return {"kind": self.kind, "method": self.method, "density": self.density}


DENSE = Candidate("dense", "dense", "dense", None)
LINEAR = Candidate("linear", "linear", "linear")
BOOSTING = Candidate("boosting", "boosting", "boosting")
BACKPROP = Candidate("backprop", "backprop", "backprop")


def chains(
    methods: Sequence[str], densities: Sequence[float], *, narrow: Sequence[float]
) -> dict[str, list[Candidate]]:
    """Return the chains that are walked from dense to sparse: one per method, the narrow rival, and linear.

    >>> {name: [c.id for c in chain] for name, chain in chains(["gmp"], [0.1, 0.2], narrow=[0.2]).items()}
    {'linear': ['linear'], 'narrow': ['narrow@0.2'], 'gmp': ['gmp@0.2', 'gmp@0.1']}
    """
    order = sorted(set(densities), reverse=True)
    found = {"linear": [LINEAR]}
    if narrow:
        found["narrow"] = [Candidate(f"narrow@{d:g}", "narrow", "narrow", d) for d in sorted(set(narrow), reverse=True)]
    for method in methods:
        found[method] = [Candidate(f"{method}@{d:g}", "sparse", method, d) for d in order]
    return found


def check_methods(methods: Sequence[str]) -> tuple[str, ...]:
    """Return the methods, or raise at a name (``method`` or ``method/layout``) that does not exist.

    >>> check_methods(["gmp", "static/balanced"])
    ('gmp', 'static/balanced')
    """
    for name in methods:
        method, _, layout = name.partition("/")
        chosen = recipe(method)
        if "/" in name and layout not in chosen.layouts:
            raise UserError(
                f"there is no method {name!r}.",
                came=name,
                expected=f"a layout after the slash: {', '.join(chosen.layouts)}",
            )
    if len(set(methods)) < len(methods):
        raise UserError("a method is named twice.", came=", ".join(methods), expected="each method once")
    return tuple(methods)


def check_densities(densities: Sequence[Any]) -> tuple[float, ...]:
    """Return densities from dense to sparse, or raise when one lies outside (0, 1).

    >>> check_densities([0.1, 0.5])
    (0.5, 0.1)
    """
    if not densities or not all(isinstance(d, Real) and 0 < float(d) < 1 for d in densities):
        raise UserError(
            "densities are shares of the dense network's weights.",
            came=", ".join(map(str, densities)) or "none",
            expected="numbers between 0 and 1",
            attempt="--densities 0.2,0.1,0.05",
        )
    return tuple(sorted({float(d) for d in densities}, reverse=True))


def architecture(model: str, rows: int, shape: Sequence[int], hidden: Sequence[int] | None, rule: str) -> Description:
    """Return what stays the same in every fold: the kind of network and its hidden sizes.

    Args:
        model: ``"mlp"``, ``"spiking"``, ``"cnn"`` or the name of a factory.
        rows: development rows.
        shape: of one prepared row.
        hidden: sizes of the hidden layers, None for the default.
        rule: one that perturbs weights starts from a smaller network.

    >>> architecture("mlp", 1400, [64], None, "backprop")
    {'kind': 'mlp', 'hidden': [128, 128]}
    """
    if model in PERCEPTRONS:
        if hidden is None:
            wide = HIDDEN_WIDE if _size(shape) >= 200 else HIDDEN_TABLE
            hidden = HIDDEN_SMALL if rows < 10_000 else wide
            hidden = HIDDEN_FORWARD if learner(rule).perturbs_weights else hidden
        if model == "spiking" and not hidden:
            raise UserError(
                "a spiking network needs a hidden layer.", came=f"hidden {list(hidden)}",
                expected="widths of one or more layers", attempt="--hidden 128",
            )  # fmt: skip
        return {"kind": model, "hidden": [int(width) for width in hidden]}
    if model == "cnn":
        if len(shape) != 3:
            raise UserError(
                "a convolutional network needs images.",
                came=f"rows of shape {tuple(shape)}",
                expected="an array [rows, channels, height, width] or [rows, height, width]",
                attempt="--model mlp",
            )
        return {"kind": "cnn", "channels": [16, 32], "hidden": int(hidden[0]) if hidden else 128}
    return {"kind": "factory", "name": model}


def describe(base: Description, shape: Sequence[int], outputs: int) -> Description:
    """Return the dense network for prepared rows of a shape.

    >>> describe({"kind": "mlp", "hidden": [8]}, [4], 3)
    {'kind': 'mlp', 'widths': [4, 8, 3]}
    """
    if base["kind"] in PERCEPTRONS:
        rest = {name: value for name, value in base.items() if name != "hidden"}
        return {**rest, "widths": [_size(shape), *base["hidden"], outputs]}
    return {**base, "shape": [int(s) for s in shape], "outputs": outputs}


def narrow_networks(
    description: Description, densities: Sequence[float], factory: Factory | nn.Module | None = None
) -> dict[float, int]:
    """Return density → weights of the narrow networks that are smaller than dense and than the one before.

    A narrow network has whole units: its weights are the most that fit, and at some density it cannot shrink further.

    >>> narrow_networks({"kind": "mlp", "widths": [64, 256, 256, 10]}, [0.3, 0.1, 0.0001])
    {0.3: 25200, 0.1: 8432, 0.0001: 75}
    >>> narrow_networks({"kind": "mlp", "widths": [64, 10]}, [0.3, 0.1])
    {}
    """
    if not can_be_narrow(description, factory):
        return {}
    found: dict[float, int] = {}
    last = dense = weight_count(description, factory)
    for density in sorted(set(densities), reverse=True):
        weights = weight_count(narrow(description, keep_count(dense, density), factory), factory)
        if weights < last:
            found[density] = last = weights
    return found


def rate_of(candidate: Candidate, dense_weights: int, rule: str = "backprop") -> float:
    """Return the learning rate of AdamW a candidate starts from; runs that may tune try multiples of it.

    One rule for dense, narrow and sparse networks, so that none is favoured: 0.0015 · √(10⁶ / weights), within 0.003
    and 0.03. The fewer weights, the higher the rate (each unit sums over fewer inputs). Methods that begin dense take
    at most 0.01. The guide page on training sparse networks says what was measured.

    >>> rate_of(DENSE, 90_000), rate_of(Candidate("gmp@0.1", "sparse", "gmp", 0.1), 100_000)
    (0.005, 0.01)
    """
    own = None if candidate.kind == "backprop" else learner(rule).rate
    if own is not None:
        return own
    weights = dense_weights * (candidate.density or 1.0)
    method = candidate.training_method
    highest = 0.01 if method != "dense" and recipe(method).moves.dense else 0.03
    return round(min(highest, max(0.003, 1.5e-3 * math.sqrt(1e6 / weights))), 4)


def target_weights(dense_weights: int, candidate: Candidate) -> int:
    """Return how many weights a sparse or narrow candidate may have."""
    return keep_count(dense_weights, candidate.density or 1.0)


def _size(shape: Sequence[int]) -> int:
    size = 1
    for extent in shape:
        size *= int(extent)
    return size
