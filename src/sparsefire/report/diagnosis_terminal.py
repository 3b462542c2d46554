"""A diagnosis in eighty columns: the layers that matter, and the verdict."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from sparsefire.data import figures
from sparsefire.propagation.diagnosis import Diagnosis
from sparsefire.propagation.findings import headline
from sparsefire.report.textual import fit, pad, paint, plain

WIDTH = 80
MOST = 12  # layers shown in full
_HEADS = ("weights", "density", "fan-in", "dead", "|h|²", "redrawn, 5–95%", "gradient")


def diagnosis_block(d: Diagnosis, title: str, *, colour: bool = False) -> str:
    """Return what is printed: a row per layer, findings, chance.

    Columns: weights that exist and their share; mean fan-in; share of units whose output is the same for all inputs;
    mean square of the signal before the activation, and the same over redraws of the weights; norm of the gradient for
    an error of size 1.

    >>> import torch
    >>> from torch import nn
    >>> from sparsefire.propagation import diagnose
    >>> net = nn.Linear(2, 2)
    >>> _ = nn.init.eye_(net.weight), nn.init.zeros_(net.bias)
    >>> print(diagnosis_block(diagnose(net, torch.eye(2), redraws=0), "mine"))
    Layers  mine
      layer  weights  density  fan-in  dead  |h|²  gradient
      –            2      0.5       1    0%   0.5      0.39
    <BLANKLINE>
    VERDICT  Likely to learn (98%): nothing stands in its way
      paths  2 from inputs to outputs
    """
    table = d.layers
    heads = list(_HEADS) if d.redraws else [h for h in _HEADS if not h.startswith("redrawn")]
    rows = [(fit(row["layer"] or "–", 16), *_cells(row, heads)) for row in table.to_dict("records")]
    named = {finding.layer for finding in d.findings}
    shown = _shown(list(table["layer"]), named)
    wide = [max(len(head), *(len(row[at]) for row in rows)) for at, head in enumerate(("layer", *heads))]
    lines = [f"{paint('Layers', 'bold', colour)}  {fit(title, WIDTH - 8)}", _line(("layer", *heads), wide)]
    last = -1
    for at in shown:
        if at > last + 1:
            lines.append(f"  … {at - last - 1} more")
        text = _line(rows[at], wide)
        lines.append(paint(text, "warm", colour) if table["layer"][at] in named else text)
        last = at
    lines += ["", *_verdict(d, colour)]
    if d.paths is not None:
        lines.append(f"  paths  {_paths(d.paths)} from inputs to outputs")
    return "\n".join(lines)


def _cells(row: Mapping[Any, Any], heads: list[str]) -> list[str]:
    cells = {
        "weights": figures.count(row["weights"]),
        "density": figures.significant(row["density"]),
        "fan-in": figures.significant(row["fan_in_mean"]),
        "dead": f"{row['dead_units']:.0%}",
        "|h|²": _power(row["variance"]),
        "gradient": _power(row["gradient"]),
    }
    if "variance_5%" in row:
        cells["redrawn, 5–95%"] = f"{_power(row['variance_5%'])}–{_power(row['variance_95%'])}"
    return [cells[head] for head in heads]


def _line(cells: Sequence[str], wide: Sequence[int]) -> str:
    numbers = [pad(cell, width, right=True) for cell, width in zip(cells[1:], wide[1:], strict=True)]
    return "  " + "  ".join([pad(cells[0], wide[0]), *numbers])


def _shown(names: list[str], named: set[str | None]) -> list[int]:
    count = len(names)
    if count <= MOST:
        return list(range(count))
    return sorted({0, 1, 2, count - 2, count - 1} | {at for at, name in enumerate(names) if name in named})


def _verdict(d: Diagnosis, colour: bool) -> list[str]:
    style = "good" if d.probability_of_learning >= 0.8 else "warm"
    head = headline(d.probability_of_learning) + ("" if d.findings else ": nothing stands in its way")
    lines = [f"{paint('VERDICT', 'bold', colour)}  {paint(head, style, colour)}"]
    for finding in d.findings:
        text = finding.text[:1].upper() + finding.text[1:]
        first, *others = textwrap.wrap(plain(text), WIDTH - 4, break_on_hyphens=False, break_long_words=False)
        lines += [f"  {'✕' if finding.grave else '·'} {first}", *(f"    {line}" for line in others)]
    return lines


def _power(value: float) -> str:
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def _paths(total: int) -> str:
    digits = len(str(total)) if total < 10**4000 else int(total.bit_length() * math.log10(2)) + 1
    return figures.count(total) if digits <= 9 else f"about 10^{digits - 1}"
