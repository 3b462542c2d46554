"""Learning curves in eighty columns: what is about to be done, a table, and the sentence of the page."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence

from sparsefire.data import figures
from sparsefire.report import convergence_text
from sparsefire.report.convergence_figures import terminal_powers
from sparsefire.report.convergence_text import Outcome
from sparsefire.report.textual import display_width, pad, paint, plain

WIDTH = 80


def start_block(rule: str, rows: Sequence[tuple[str, str]], *, colour: bool = False) -> str:
    """Return what is about to be done, before it begins.

    >>> print(start_block("sgd", [("steps", "α = 1/(k + 12) at d = 10")]))
    Rule   sgd
      steps    α = 1/(k + 12) at d = 10
    """
    lines = [f"{paint('Rule', 'bold', colour)}   {plain(rule)}"]
    for label, text in rows:
        lines += _hanging(f"  {label:<7}  " if label else "  ", text)
    return "\n".join(lines)


def result_block(outcome: Outcome, folder: str | os.PathLike[str] | None = None, *, colour: bool = False) -> str:
    """Return the risks in the terminal: a table, the sentence, what theory says, cautions, and where the files are.

    >>> print(result_block(convergence_text.example()))
    Risk  at k = 10,000, 95% intervals; a in k^−a, fitted to k = 1,000 to 10,000
       d           mean    median     exact  k·r/lim                  a  exact
      10  0.001010 ± 2%  0.001010  0.001000     1.01  1.01 [1.00, 1.02]   1.00
      20  0.002020 ± 2%  0.002020  0.002000     1.01  1.01 [1.00, 1.02]   1.00
    <BLANKLINE>
    FINDING    With sgd, risk rises as d^0.98 [0.96, 1.01] and falls as k^−1.01
               [−1.02, −1.00] at d = 20, where it is 1.0 times σ²d/k.
      Known    Exact risk, fitted likewise: k^−1.00 and d^0.99.
               Theory, in the limit: k^−1 and d^1.
    """
    lines = [*_head(outcome, colour), *_table(outcome)]
    sentence = _wrapped(terminal_powers(convergence_text.headline(outcome)), WIDTH - 11)
    lines += ["", f"{paint('FINDING', 'bold', colour)}    {paint(sentence[0], 'bold', colour)}"]
    lines += [f"           {paint(line, 'bold', colour)}" for line in sentence[1:]]
    facts = [
        *zip(("Known", "", ""), convergence_text.known_text(outcome), strict=False),
        *(("Careful", text) for text in convergence_text.cautions(outcome)),
    ]
    for label, text in facts:
        first, *rest = _hanging(f"  {label:<7}  ", terminal_powers(text))
        style = "warm" if label == "Careful" else "bold"
        lines += ["  " + paint(label, style, colour) + first[2 + len(label) :], *rest]
    if folder is not None:
        path = os.fspath(folder).rstrip("/\\") or os.fspath(folder)
        lines += ["", f"  page   {os.path.join(path, 'convergence.html')}"]
        lines += ["  data   convergence.json, risk.parquet beside it; parts/ holds the runs"]
    return "\n".join(lines)


def _head(outcome: Outcome, colour: bool) -> list[str]:
    window = convergence_text.window(outcome)
    tail = f"; a in k^−a, fitted to {window}" if window else ""
    text = f"at k = {figures.count(outcome.samples)}, 95% intervals{tail}"
    first, *rest = _hanging("Risk  ", text)
    return [paint("Risk", "bold", colour) + first[4:], *rest]


def _table(outcome: Outcome) -> list[str]:
    """Rows with columns as wide as they need to be; empty ones are left out, and the least needed where it gets tight.

    The page has them all.
    """
    found = convergence_text.rows(outcome)
    columns = [
        ("d", [row.dimension for row in found]),
        ("mean", [f"{row.mean} ± {row.half_width}" if row.half_width else row.mean for row in found]),
        ("median", [row.median for row in found]),
        ("exact", [row.exact for row in found]),
        ("k·r/lim", [row.of_limit for row in found]),
        ("a", [f"{row.exponent} {row.exponent_limits}".strip() for row in found]),
        ("exact", [row.exponent_exact for row in found]),
    ]
    shown = [(head, list(map(terminal_powers, cells))) for head, cells in columns if any(cells)]
    wide = [max(display_width(text) for text in (head, *cells)) for head, cells in shown]
    for spare in ("k·r/lim", "median"):
        heads = [head for head, _ in shown]
        if sum(wide) + 2 * len(wide) > WIDTH and spare in heads:
            del shown[heads.index(spare)], wide[heads.index(spare)]
    lines = []
    for at in range(-1, len(found)):
        cells = [head if at < 0 else cells[at] for head, cells in shown]
        lines.append("  " + "  ".join(pad(text, width, right=True) for text, width in zip(cells, wide, strict=True)))
    return lines


def _hanging(lead: str, text: str) -> list[str]:
    """Lines of at most 80 columns; all but the first are indented like it."""
    pieces = _wrapped(text, WIDTH - display_width(lead)) or [""]
    return [(lead if index == 0 else " " * display_width(lead)) + piece for index, piece in enumerate(pieces)]


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of so many columns that do not part "d = 10"."""
    joined = plain(text).replace(" = ", "\xa0=\xa0")
    return [line.replace("\xa0", " ") for line in textwrap.wrap(joined, width, break_on_hyphens=False)]
