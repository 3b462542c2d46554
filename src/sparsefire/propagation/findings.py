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


def findings(rows: Sequence[dict[str, Any]], signs: Signs, paths: int | None, *, normed: bool) -> list[Finding]:
    """Return what stands in the way, worst first.

    Args:
        rows: of the table of layers.
        signs: of the pass.
        paths: from inputs to outputs, None if they were not counted.
        normed: whether there are norm layers.
    """
    found = []
    if paths == 0:
        found.append(Finding(True, "no path leads from the inputs to the outputs: " + _cut(rows)))
    elif signs.outputs == 0:
        found.append(Finding(True, "no output depends on the inputs: every path ends in units that never fire"))
    starved = [row for row in rows if row["dead_units"] > MANY_DEAD and row["fan_in_mean"] < ENOUGH]
    for row in starved[:1]:
        more = f"; {len(starved) - 1} more are like it" if len(starved) > 1 else ""
        text = (
            f"{row['name']} has mean fan-in {row['fan_in_mean']:.1f}: {row['dead_units']:.0%} of its units can never "
            f"fire{more}; {_denser(row)}"
        )
        found.append(Finding(signs.outputs == 0 or row["dead_units"] > 0.9, text, row["layer"]))
    if signs.outputs and signs.silence < FAINT:
        row = min(rows, key=lambda r: r["gradient"])
        found.append(
            Finding(
                True,
                f"the signal fades: {_power(row['gradient'])} of an error at the outputs reaches {row['name']}; keep "
                "its size with propagation.init.in_degree_(net) or typical_(net)",
                row["layer"],
            )
        )
    if signs.chaos > LOUD:
        mend = "use fewer layers or residual connections" if normed else "use propagation.init.typical_(net)"
        found.append(
            Finding(True, f"gradients grow by {_power(10.0**signs.chaos)} from the last layer to the first; {mend}")
        )
    if signs.outputs and signs.sameness < ALIKE:
        found.append(
            Finding(
                True,
                f"inputs can hardly be told apart: {_power(10.0**signs.sameness)} of the last hidden signal differs "
                "between them; use propagation.init.looks_linear_(net) or fewer layers",
            )
        )
    peaked = [row for row in rows if row["kurtosis"] > PEAKED]
    if peaked:
        row = max(peaked, key=lambda r: r["kurtosis"])
        found.append(
            Finding(
                False,
                f"few units carry the signal: kurtosis {row['kurtosis']:.0f} at {row['name']} (3 is even); use "
                "propagation.init.signs_(net), or raise the fan-in above 6",
                row["layer"],
            )
        )
    return sorted(found, key=lambda finding: not finding.grave)


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


def _power(value: float) -> str:
    if value == 0:
        return "nothing"
    return f"{value:.2g}" if 0.01 <= value < 1000 else f"10^{math.log10(value):.0f}"
