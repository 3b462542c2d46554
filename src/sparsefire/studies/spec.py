"""The name of a run is a hash of its settings: the same settings are the same run, on every machine."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np


def canonical(settings: dict[str, Any]) -> str:
    """Write settings as one JSON line that is the same whatever the order of the keys.

    Args:
        settings: names (strings) to values: None, bool, int, finite float, string, and lists, tuples or dicts of these.
            NumPy scalars count as the Python numbers they are.

    Returns:
        ASCII JSON with sorted keys, no spaces, tuples as lists, floats by ``repr`` (shortest text that reads back the
        same), −0.0 as 0.0. Note that 1 and 1.0 differ.

    Raises:
        TypeError: a value or key of another type. ValueError: NaN or infinite.

    >>> canonical({"widths": (64, 10), "density": 0.1})
    '{"density":0.1,"widths":[64,10]}'
    """
    return json.dumps(_plain(settings, "settings"), sort_keys=True, allow_nan=False, separators=(",", ":"))


def key_of(settings: dict[str, Any]) -> str:
    """Return the name of the run: the first 20 hexadecimal digits of the SHA-256 of :func:`canonical`.

    Eighty bits: among a million runs two share a name with probability 4 × 10⁻¹³.

    >>> key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical(settings).encode()).hexdigest()[:20]


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value!r}; only finite numbers can name a run")
        return value + 0.0  # turns −0.0 into 0.0
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}; keys are strings")
        return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
    raise TypeError(f"{where} is a {type(value).__name__}; only plain numbers, strings, lists and dicts can name a run")
