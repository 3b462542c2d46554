"""What candidates are called: short in the terminal and on charts, in full in tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparsefire.data import figures

# Full names of methods; a method that is not listed goes by the name it is typed with.
_FULL = {
    "dense": "dense",
    "linear": "linear model",
    "boosting": "gradient boosting",
    "narrow": "narrow dense",
    "gmp": "gradual pruning",
    "lrr": "rate rewinding",
    "static": "random mask",
    "rigl": "RigL",
    "sign-in": "Sign-In",
}
_SHORT = {"narrow": "narrow dense", "rigl": "RigL", "static": "random mask", "sign-in": "Sign-In"}


def method_name(candidate: Mapping[str, Any]) -> str:
    """Return the full name of a candidate's method.

    >>> method_name({"kind": "sparse", "method": "gmp"}), method_name({"kind": "narrow", "method": "narrow"})
    ('gradual pruning', 'narrow dense')
    """
    key = candidate["method"] if candidate["kind"] == "sparse" else candidate["kind"]
    return _FULL.get(key, str(key))


def short_method(candidate: Mapping[str, Any]) -> str:
    """Return the short name of a candidate's method, for labels on charts.

    >>> short_method({"kind": "sparse", "method": "rigl"}), short_method({"kind": "sparse", "method": "gmp"})
    ('RigL', 'gmp')
    """
    key = candidate["method"] if candidate["kind"] == "sparse" else candidate["kind"]
    return _SHORT.get(key, str(key))


def typed_name(candidate: Mapping[str, Any]) -> str:
    """Return a candidate as the terminal names it: the typed method and the density.

    >>> typed_name({"kind": "sparse", "method": "gmp", "density": 0.05})
    'gmp 0.05'
    """
    key = candidate["method"] if candidate["kind"] == "sparse" else candidate["kind"]
    name = "narrow dense" if key == "narrow" else str(key)
    amount = candidate.get("density")
    return name if amount is None or candidate["kind"] == "dense" else f"{name} {figures.density(amount)}"


def at_density(candidate: Mapping[str, Any]) -> str:
    """Return a candidate as a sentence names it.

    >>> at_density({"kind": "sparse", "method": "gmp", "density": 0.05})
    'gmp at 5%'
    """
    amount = candidate.get("density")
    name = short_method(candidate)
    return name if amount is None or candidate["kind"] == "dense" else f"{name} at {figures.short_percent(amount)}"


def with_percent(candidate: Mapping[str, Any]) -> str:
    """Return a candidate as the heading of a small chart names it.

    >>> with_percent({"kind": "sparse", "method": "gmp", "density": 0.05})
    'gmp 5%'
    """
    return at_density(candidate).replace(" at ", " ")
