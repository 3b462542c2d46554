"""The law of a cascade in eighty columns: what is about to be done, a histogram, and the sentence of the page."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence

from sparsefire.data import figures
from sparsefire.data.words import plural
from sparsefire.report.cascade_text import (
    Outcome,
    grouping,
    headline,
    histogram,
    mean_text,
    method_text,
    most_active,
    quantile_rows,
    share,
    sure_text,
)
from sparsefire.report.textual import display_width, fit, paint, plain

WIDTH = 80
_BAR = 36  # columns


def start_block(data: str, units: int, arcs: int, rows: Sequence[tuple[str, str]], *, colour: bool = False) -> str:
    """Return what is about to be done, before it begins.

    >>> print(start_block("grid.csv", 4941, 13188, [("model", "independent cascade, probability 0.1")]))
    Data   grid.csv · 4,941 units · 13,188 arcs
      model    independent cascade, probability 0.1
    """
    tail = f"{plural(units, 'unit')} · {plural(arcs, 'arc')}"
    lines = [f"{paint('Data', 'bold', colour)}   {fit(data, WIDTH - 10 - len(tail))} · {tail}"]
    for label, text in rows:
        lines += _hanging(f"  {label:<7}  ", text)
    return "\n".join(lines)


def result_block(outcome: Outcome, folder: str | os.PathLike[str] | None = None, *, colour: bool = False) -> str:
    """Return the law in the terminal: a histogram, the sentence, quantiles, and where the files are.

    >>> from sparsefire.cascades import SizeDistribution
    >>> law = SizeDistribution.from_pmf([0, 0.7, 0.2, 0.06, 0.04], "tree")
    >>> print(result_block(Outcome("a.csv", "", 4, 6, "abcd", [0], law)))
    Sizes  active units in the end, share of cascades
      1    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  70%
      2–4  ━━━━━━━━━━━━━━━                       30%
    <BLANKLINE>
    LAW    A cascade from a ends with 1 active unit in the median; 1 in 20 reaches 3
           or more of 4.
      Quantiles  5% 1 · 25% 1 · 50% 1 · 75% 2 · 95% 3 · 99% 4
      Mean       1.44
      Method     exact recursion on a forest
      Sure       no sampling, no approximation: right up to the rounding of 64-bit
                 numbers
    """
    law = outcome.law
    lines = [f"{paint('Sizes', 'bold', colour)}  active units in the end, share of cascades"]
    rows = histogram(law)
    wide, top = max(len(label) for label, _ in rows), max(value for _, value in rows)
    for label, value in rows:
        cells = round(_BAR * value / top)
        bar = "━" * cells if cells else "╌" if value > 0 else ""
        lines.append(f"  {label:<{wide}}  {paint(f'{bar:<{_BAR}}', 'blue', colour)}  {share(value)}")
    sentence = textwrap.wrap(plain(headline(outcome)), WIDTH - 7, break_on_hyphens=False)
    lines += ["", f"{paint('LAW', 'bold', colour)}    {paint(sentence[0], 'bold', colour)}"]
    lines += [f"       {paint(line, 'bold', colour)}" for line in sentence[1:]]
    apart = grouping(law)
    if apart:
        lines += [f"       {line}" for line in textwrap.wrap(apart, WIDTH - 7, break_on_hyphens=False)]
    facts = [
        ("Quantiles", " · ".join(f"{figures.short_percent(q)} {figures.count(k)}" for q, k, *_ in quantile_rows(law))),
        ("Mean", mean_text(law)),
        ("Method", method_text(law)),
        ("Sure", sure_text(law)),
    ]
    often = " · ".join(f"{fit(name, 20)} {share(p)}" for name, p, *_ in most_active(outcome, 5))
    if often:
        facts.insert(2, ("Often", often))
    for label, text in facts:
        first, *rest = _hanging(f"  {label:<9}  ", text)
        lines += ["  " + paint(label, "bold", colour) + first[2 + len(label) :], *rest]
    if folder is not None:
        path = os.fspath(folder).rstrip("/\\") or os.fspath(folder)
        files = "law.json, sizes.parquet" + (", marginals.parquet" if outcome.marginals is not None else "")
        lines += ["", f"  page   {os.path.join(path, 'cascade.html')}", f"  data   {files} beside it"]
    return "\n".join(lines)


def _hanging(lead: str, text: str) -> list[str]:
    """Lines of at most 80 columns; all but the first are indented like it."""
    pieces = textwrap.wrap(plain(text), WIDTH - display_width(lead), break_on_hyphens=False) or [""]
    return [(lead if index == 0 else " " * display_width(lead)) + piece for index, piece in enumerate(pieces)]
