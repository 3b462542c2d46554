"""What stands in the way of learning, in words, and how to mend it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sparsefire.propagation.laws.sparse import dead_limit
from sparsefire.propagation.learning import Signs

ENOUGH = next(k for k in range(3, 9) if dead_limit(k) <= 0.05)  # fan-in at which few units die, however deep
MANY_DEAD = 0.25  # share of units whose output is the same for all inputs
FAINT, LOUD = -5.0, 2.0  # log10 of gradients
ALIKE = -3.5  # log10 of the share of a signal that differs between inputs
PEAKED = 30.0  # kurtosis; 3 is normal


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        grave: whether it alone can keep the network from learning.
        text: what is wrong and how to mend it, one sentence.
        layer: name of the layer, None if it is the whole network.
    """

    grave: bool
    text: str
    layer: str | None = None


def findings(
    rows: Sequence[dict[str, Any]],
    signs: Signs,
    paths: int | None,
    *,
    normed: bool = False,
    masked: bool = False,
    idle: Sequence[str] = (),
) -> list[Finding]:
    """Return what stands in the way, worst first.

    Args:
        rows: of the table of layers.
        signs: of the pass.
        paths: from inputs to outputs, None if they were not counted.
        normed: whether there are norm layers.
        masked: whether there are masks.
        idle: layers that start at zero.
    """
    if not signs.finite:
        return [_broken(rows)]
    found = [*_silence(rows, signs, paths), *_starved(rows, signs)]
    if signs.chaos > LOUD:
        mend = "use fewer layers or residual connections" if normed else "use propagation.init.typical_(net)"
        text = f"gradients grow by {_power10(signs.chaos)} from the last layer to the first; {mend}"
        found.append(Finding(True, text))
    if signs.outputs and signs.sameness < ALIKE:
        exact = "sparse_orthogonal_" if masked else "looks_linear_"
        mend = "use fewer layers" if normed else f"use propagation.init.{exact}(net) or fewer layers"
        text = f"inputs can hardly be told apart: {_power10(signs.sameness)} of the last hidden signal differs"
        found.append(Finding(True, f"{text} between them; {mend}"))
    peaked = [row for row in rows if row["kurtosis"] > PEAKED]
    if peaked:
        row = max(peaked, key=lambda r: r["kurtosis"])
        text = f"few units carry the signal: kurtosis {row['kurtosis']:.0f} at {row['name']} (3 is even)"
        mend = "use propagation.init.signs_(net), or raise the fan-in above 6"
        found.append(Finding(False, f"{text}; {mend}", row["layer"]))
    if idle:
        more = f" and {len(idle) - 1} more start" if len(idle) > 1 else " starts"
        text = f"layer {idle[0]!r}{more} at zero; the rest was told as if drawn with variance 1 / fan-in"
        found.append(Finding(False, text, idle[0]))
    return sorted(found, key=lambda finding: not finding.grave)


def _broken(rows: Sequence[dict[str, Any]]) -> Finding:
    orders = [row for key in ("variance", "gradient") for row in rows if not math.isfinite(row[key])]
    row = orders[0] if orders else rows[-1]
    text = f"signals are not finite: NaN or infinity at {row['name']}; look at its weights and their size"
    return Finding(True, text, row["layer"])


def _silence(rows: Sequence[dict[str, Any]], signs: Signs, paths: int | None) -> list[Finding]:
    if paths == 0:
        return [Finding(True, "no path leads from the inputs to the outputs: " + _cut(rows))]
    if signs.silence == -math.inf:
        return [Finding(True, "no output depends on the inputs: every path ends in units that never fire")]
    if signs.silence < FAINT:
        row = min((row for row in rows if row["gradient"] > 0), key=lambda r: r["gradient"])
        text = f"the signal fades: {_power10(signs.silence)} of an error at the outputs reaches {row['name']}"
        mend = "keep its size with propagation.init.in_degree_(net) or typical_(net)"
        return [Finding(True, f"{text}; {mend}", row["layer"])]
    return []


def _starved(rows: Sequence[dict[str, Any]], signs: Signs) -> list[Finding]:
    starved = [row for row in rows if row["dead_units"] > MANY_DEAD and row["fan_in_mean"] < ENOUGH]
    if not starved:
        return []
    row = starved[0]
    more = f"; {len(starved) - 1} more are like it" if len(starved) > 1 else ""
    what = "can never fire" if row["mute"] else "hear nothing of the inputs"
    text = f"{row['name']} has mean fan-in {row['fan_in_mean']:.1f}: {row['dead_units']:.0%} of its units {what}{more}"
    return [Finding(signs.outputs == 0 or row["dead_units"] > 0.9, f"{text}; {_denser(row)}", row["layer"])]


def verdict(found: Sequence[Finding], chance: float) -> str:
    """Return the findings as a text, with the chance in front.

    >>> verdict([], 0.98)
    'Likely to learn (98%): nothing stands in its way.'
    """
    if not found:
        return f"{headline(chance)}: nothing stands in its way."
    return f"{headline(chance)}: " + ". ".join(finding.text[:1].upper() + finding.text[1:] for finding in found) + "."


def headline(chance: float) -> str:
    """Return the chance in words.

    >>> headline(0.04)
    'Unlikely to learn (4%)'
    """
    words = "Likely to learn" if chance >= 0.8 else "Unlikely to learn" if chance <= 0.2 else "May or may not learn"
    return f"{words} ({chance:.0%})"


def _denser(row: dict[str, Any]) -> str:
    if row["inputs"] < ENOUGH:
        return "it has too few inputs"
    return f"raise its density to {_two_digits(ENOUGH / row['inputs'])} or use layout='critical'"


def _cut(rows: Sequence[dict[str, Any]]) -> str:
    for row in rows:
        if row["dead_outputs"] == row["outputs"]:
            return f"layer collapse, all {row['outputs']} units of {row['name']} are without a weight; {_denser(row)}"
    return "the layers miss each other; raise the density or use layout='critical'"


def _two_digits(value: float) -> str:
    digits = 1 - math.floor(math.log10(value))
    return f"{math.ceil(value * 10**digits - 1e-9) / 10**digits:.{max(0, digits)}f}".rstrip("0")


def _power10(logarithm: float) -> str:
    return f"{10**logarithm:.2g}" if -2 <= logarithm < 3 else f"10^{logarithm:.0f}"
