"""How time grows with width and depth, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from depth.cost import ROWS
from depth.networks import OUTPUTS, incremental, widths_of
from scipy.optimize import nnls

Record = dict[str, Any]
PARTS = ("call", "product", "activity", "loss")


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the slope of log y by least squares on log x.

    >>> round(exponent([1, 2, 4], [5, 40, 320]), 6)
    3.0
    """
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def share(record: Record) -> float:
    """Return the share of pairs of a hidden unit and a row whose activity changes, from the losses asked for."""
    return float((record["queries"] - 1 - OUTPUTS) / (record["depth"] * record["width"]))


def counts(record: Record) -> dict[str, float]:
    """Return what one call computes again, for all rows: products, hidden activities, losses; and the call itself.

    A unit of the k-th of L layers of w units passes L − k such layers on its way up.
    """
    depth, width = record["depth"], record["width"]
    passed = share(record) * width * width * depth * (depth - 1) / 2
    products = incremental(widths_of(record["place"], depth, width), share(record))
    return {"call": 1.0, "product": ROWS * products, "activity": ROWS * passed, "loss": ROWS * record["queries"]}


def times(records: Sequence[Record]) -> tuple[dict[str, float], float]:
    """Return seconds for one of each of ``PARTS``, none below 0, and the median relative error of what they predict.

    Least squares on relative errors, for dense networks.
    """
    seconds = np.array([record["milliseconds"]["unit-differences"] / 1e3 for record in records])
    made = np.array([[counts(record)[part] for part in PARTS] for record in records])
    scale = np.maximum(made.max(0), 1e-300)  # one hidden layer alone has no activity above
    found = nnls(made / scale / seconds[:, None], np.ones(len(seconds)))[0] / scale
    error = float(np.median(np.abs(made @ found / seconds - 1)))
    return dict(zip(PARTS, map(float, found), strict=True)), error


def saved(record: Record) -> float:
    """Return the share of the products of a whole pass for each hidden unit and output that the moves take."""
    units = record["depth"] * record["width"] + OUTPUTS
    return float(record["products"] / (units * record["weights"]))


def first(records: Sequence[Record], width: int, bar: float, name: str = "ratio") -> int | None:
    """Return the smallest depth from which on a number stays at or above a bar at one width, or None."""
    rows = sorted((record for record in records if record["width"] == width), key=lambda record: record["depth"])
    above = [record["depth"] for record in rows if record[name] < bar]
    later = [record["depth"] for record in rows if record["depth"] > max(above, default=0)]
    return later[0] if later else None
