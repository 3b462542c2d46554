"""The same run in eighty columns: Data, Plan, Result and the verdict, word for word as in the report."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sparsefire.data import figures
from sparsefire.errors import UserError
from sparsefire.report.candidates_table import WALKS, order, worth_showing
from sparsefire.report.groups import within
from sparsefire.report.textual import display_width, fit, pad, paint, plain
from sparsefire.report.textual import printable as printable
from sparsefire.report.textual import use_colour as use_colour
from sparsefire.search import score_text
from sparsefire.search.names import typed_name
from sparsefire.search.wording import closest, find, headline, rows_compared

WIDTH = 80
_GAPS = ("", "  ", "  ", "  ", "  ", " ", "  ")  # before each column of the Result block


class PlanRow(NamedTuple):
    """One line of the plan: names of candidates, their densities as text, runs at most, and wall time in seconds."""

    candidates: str
    densities: str
    runs: int
    seconds: float


def data_block(data: Mapping[str, Any], *, colour: bool = False) -> str:
    """Return the Data block.

    Args:
        data: ``data`` of ``verdict.json``.
        colour: bold heading.

    >>> print(data_block({"name": "digits", "rows": 1797, "inputs": 64, "classes": ["0", "1"],
    ...                   "table": [["target", "digit, 2 classes"]]}))
    Data   digits · 1,797 rows · 64 inputs · 2 classes
      target    digit, 2 classes
    """
    parts = [f"{figures.count(data['rows'])} rows", f"{figures.count(data['inputs'])} inputs"]
    if data.get("classes"):
        parts.append(f"{len(data['classes'])} classes")
    tail = " · ".join(parts)
    name = fit(data["name"], WIDTH - 7 - len(tail) - 3)
    lines = [f"{paint('Data', 'bold', colour)}   {name} · {tail}"]
    labels = max([9, *(display_width(fit(label, 16)) + 1 for label, _ in data.get("table") or ())])
    for label, text in data.get("table") or ():
        lines += _hanging(f"  {pad(fit(label, 16), labels)} ", text)
    for note in data.get("notes") or ():
        lines += _hanging("  ! ", note)
    return "\n".join(lines)


def plan_block(plan: Mapping[str, Any], rows: Sequence[PlanRow], *, score: str, colour: bool = False) -> str:
    """Return the Plan block: what will be trained, how often, and about how long it takes.

    Args:
        plan: ``plan`` of ``verdict.json``.
        rows: one :class:`PlanRow` per line; plain tuples in that order do as well.
        score: ``accuracy``, ``auc`` or ``r2``.
        colour: bold heading.

    >>> print(plan_block({"effort": "quick", "margin": 0.01, "folds": 5, "rounds": 2, "workers": 2},
    ...                  [("dense, linear", "–", 20, 23.0), ("gmp", "0.5 0.1", 20, 61.0)], score="accuracy"))
    Plan   effort quick · margin 1.0 points · 5 folds × 2 initialisations
      candidates          densities                                    runs    about
      dense, linear       –                                              20     25 s
      gmp                 0.5 0.1                                        20    1 min
      at most, 2 workers                                                 40    1 min
      Ctrl-C is safe: finished runs are kept, the same command resumes.
    """
    if plan["margin"] is None:
        allowed = f"keeps {figures.short_percent(plan['retain'])} of dense's gain"
    else:
        decimals = score_text.decimals_to_tell([], plan["margin"], score)
        margin = figures.fixed(score_text.scale(score) * plan["margin"], decimals)
        allowed = f"margin {margin} {score_text.difference_unit(score)}".rstrip()
    many = "" if plan["rounds"] == 1 else "s"
    head = " · ".join(
        [
            *([f"effort {plan['effort']}"] if plan.get("effort") else []),
            allowed,
            f"{plan['folds']} folds × {plan['rounds']} initialisation{many}",
        ]
    )
    table = [PlanRow(*row) for row in rows]
    workers = plan.get("workers") or 1
    total = PlanRow(
        f"at most, {workers} worker{'s' if workers != 1 else ''}", "", sum(row.runs for row in table),
        sum(row.seconds for row in table),
    )  # fmt: skip
    first = min(max(display_width(fit(row.candidates, 34)) for row in [*table, total]), 34)
    second = WIDTH - 2 - first - 2 - 2 - 7 - 2 - 7
    lines = [f"{paint('Plan', 'bold', colour)}   {head}"]
    lines.append(f"  {pad('candidates', first)}  {pad('densities', second)}  {'runs':>7}  {'about':>7}")
    for row in [*table, total]:
        cells = pad(fit(row.candidates, first), first), pad(fit(row.densities, second), second)
        about = figures.about_duration(row.seconds)
        lines.append(f"  {cells[0]}  {cells[1]}  {figures.count(row.runs):>7}  {about:>7}")
    power = (plan.get("planned_power") or {}).get("text")
    if power:
        lines += _hanging("  ", power[:1].upper() + power[1:] + ("" if power.endswith(".") else "."))
    for one in plan.get("doomed") or ():
        lines += _hanging("  ", f"warning: {one['candidate']}: {one['text']}")
    lines.append("  Ctrl-C is safe: finished runs are kept, the same command resumes.")
    return "\n".join(lines)


def result_block(verdict: Mapping[str, Any], *, colour: bool = False, most: int = 10) -> str:
    """Return the Result block: dense, the yardsticks, where each walk ended; the rest stands in the report.

    Args:
        verdict: the dictionary of ``verdict.json``.
        colour: the chosen row and the outcomes coloured; their signs and words stay.
        most: rows shown.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> print(result_block(EXAMPLE))
    Result        weights  accuracy, % − dense  walk
      dense       266,200  98.0              0  reference
      ▸ gmp 0.05   13,310  97.7           −0.3  ✓ chosen
      gmp 0.02      5,324  96.8           −1.2  ✕ stopped
    """
    rows = _shown(verdict)[:most]
    score = verdict["data"]["score"]
    unit = score_text.score_unit(score)
    head = [
        "Result",
        "weights",
        "kB",
        "µs",
        score_text.score_name(score) + (f", {unit}" if unit else ""),
        "− dense",
        "walk",
    ]
    passed = [row["difference"] for row in rows if row["walk"] in ("passed", "chosen")]
    # No passer may look like a loss of the margin.
    decimals = score_text.column_decimals(passed, verdict["margin"], score)
    table = [head, *(_cells(row, score, decimals) for row in rows)]
    keep = [0, 1, 2, 3, 4, 5, 6]
    for column in (3, 2):  # a column nobody measured is left out
        if all(line[column] == "–" for line in table[1:]):
            keep.remove(column)
    widths = [max(display_width(line[column]) for line in table) for column in range(7)]
    for column in (3, 2):
        if column in keep and _line_width(widths, keep) > WIDTH:  # names before times, times before sizes
            keep.remove(column)
    widths[0] = min(widths[0], max(WIDTH - _line_width(widths, keep[1:]), 10))
    lines = []
    for index, line in enumerate(table):
        cells = []
        for column in keep:
            text = fit(line[column], widths[column])
            right = column in (1, 2, 3, 5)
            cells.append(pad(text, widths[column], right=right) if column != 6 else text)
        shown = "".join(_GAPS[column] + cell for column, cell in zip(keep, cells, strict=True)).rstrip()
        if index == 0:
            shown = paint("Result", "bold", colour) + shown[6:]
        elif colour:
            shown = _tinted(shown, rows[index - 1], line[6])
        lines.append(shown)
    more = len(verdict["candidates"]) - len(rows)
    if more:
        lines.append(f"  … {figures.count(more)} more in the report")
    return "\n".join(lines)


def verdict_block(
    verdict: Mapping[str, Any], folder: str | os.PathLike[str] | None = None, *, colour: bool = False,
    new_rows: str = "new.csv",
) -> str:  # fmt: skip
    """Return the VERDICT block: the sentence of the report, the bounds behind it, and what to do next.

    Args:
        verdict: the dictionary of ``verdict.json``.
        folder: the run folder as the user would type it; without it the last lines are left out.
        colour: bold sentence and labels.
        new_rows: the file name in the suggested command.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> print(verdict_block(EXAMPLE, "runs/demo"))
    VERDICT  A network with 13,310 weights, 20 times fewer than the dense one, is
             not worse.
      Selected   −0.3 points, at least −0.6, on 8,000 rows; allowed −1.0
      Confirmed  −0.2 points, at least −0.7, on 2,000 rows
    <BLANKLINE>
      report   runs/demo/report.html
      predict  sparsefire predict runs/demo new.csv > predictions.csv
    """
    sentence = textwrap.wrap(plain(verdict.get("headline") or headline(verdict)), WIDTH - 9, break_on_hyphens=False)
    lines = [f"{paint('VERDICT', 'bold', colour)}  {paint(sentence[0], 'bold', colour)}"]
    lines += ["         " + paint(line, "bold", colour) for line in sentence[1:]]
    facts = _facts(verdict)
    labels = max((len(label) for label, _ in facts), default=0)
    for label, text in facts:
        first, *rest = _hanging(f"  {label:<{labels}}  ", text)
        lines.append("  " + paint(label, "bold", colour) + first[2 + len(label) :])
        lines += rest
    for warning in verdict.get("warnings") or ():
        lines += _hanging("  ! ", warning)
    if folder is not None:
        path = os.fspath(folder).rstrip("/\\") or os.fspath(folder)
        lines += ["", f"  report   {os.path.join(path, 'report.html')}"]
        if verdict.get("selected"):
            command = f"sparsefire predict {shlex.quote(path)} {shlex.quote(new_rows)} > predictions.csv"
            lines.append(f"  predict  {command}")
    return "\n".join(lines)


def error_text(error: UserError, *, colour: bool = False) -> str:
    """Return an error as the command line prints it.

    >>> print(error_text(UserError('patients.csv has no column "relapsed".', came="11 columns")))
    error: patients.csv has no column "relapsed".
      came      11 columns
    """
    return f"{paint('error:', 'error', colour)} {error.render()}"


def _shown(verdict: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Dense and yardsticks, the chosen walk to its end, and of every other method only where it ended."""
    ordered = order(verdict["candidates"])
    ended = worth_showing(ordered)
    ours = next(((row["kind"], row["method"]) for row in ordered if row["walk"] == "chosen"), None)
    out = [row for kind in ("dense", "linear", "boosting") for row in ended if row["kind"] == kind]
    for row in ended:
        if row["kind"] not in ("sparse", "narrow") or row["walk"] == "not-tested":
            continue
        method = (row["kind"], row["method"])
        passed = any((r["kind"], r["method"]) == method and r["walk"] in ("passed", "chosen") for r in ended)
        if method == ours or row["walk"] == "passed" or not passed:
            out.append(row)
    return out


def _cells(row: Mapping[str, Any], score: str, decimals: int) -> list[str]:
    sign, _, walk, _ = WALKS[row["walk"]]
    value = "–"
    if row["score"] is not None:
        value = score_text.score_value(row["score"], score)
        if row.get("score_low") is not None:
            value += " " + score_text.score_interval(row["score_low"], row["score_high"], score)
    shift = "–"
    if row["kind"] == "dense":
        shift = "0"
    elif row["difference"] is not None:
        shift = score_text.difference(row["difference"], score, decimals=decimals)
    return [
        ("  ▸ " if row["walk"] == "chosen" else "  ") + typed_name(row),
        figures.count(row["weights"]) if row["weights"] is not None else "–",
        figures.kilobytes(row["bytes"]) if row.get("bytes") is not None else "–",
        figures.microseconds(row["latency_us"]) if row.get("latency_us") is not None else "–",
        value,
        shift,
        f"{sign} {walk}".strip(),
    ]


def _line_width(widths: Sequence[int], columns: Sequence[int]) -> int:
    return sum(widths[column] + len(_GAPS[column]) for column in columns)


def _tinted(shown: str, row: Mapping[str, Any], walk: str) -> str:
    tint = {"passed": "good", "chosen": "good", "stopped": "warm", "fell-short": "warm"}.get(row["walk"])
    body = shown[: len(shown) - len(walk)]
    if row["walk"] == "chosen":
        body = paint(body, "blue", True)
    return body + (paint(walk, tint, True) if tint else walk)


def _facts(verdict: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The bounds behind the sentence, one short line each."""
    score, margin, state = verdict["data"]["score"], verdict["margin"], verdict["state"]
    compared = rows_compared(verdict)
    selected, gate, test = verdict.get("selected"), verdict["gate"], verdict.get("confirmation")
    out = []
    if selected:
        chosen = find(verdict, identifier=selected["candidate"])
        if chosen is not None:
            shift, lower, allowed = _told(chosen, margin, score)
            out.append(("Selected", f"{shift}, at least {lower}, on {compared} rows; allowed {allowed}"))
    elif state == "no-network-needed":
        decimals = score_text.decimals_to_tell([gate["lower"]], -gate["threshold"], score)
        shift = figures.fixed(abs(score_text.scale(score) * gate["estimate"]), decimals)
        lower, needed = (score_text.difference(gate[key], score, decimals=decimals) for key in ("lower", "threshold"))
        side = "below" if gate["estimate"] < 0 else "above"
        text = f"{shift} {score_text.difference_unit(score)}".strip() + f" {side} a constant guess"
        out.append(("Dense", f"{text}, at least {lower}; needed above {needed}"))
    else:
        near = closest(verdict)
        if near is not None:
            shift, lower, allowed = _told(near, margin, score)
            text = f"{typed_name(near)}, {shift}, at least {lower}, on {compared} rows; allowed {allowed}"
            out.append(("Closest", text))
        out.append(("To do", "more rows, or a margin you can defend before looking"))
    if test:
        shift, lower, _ = _told(test, margin, score)
        rows = figures.count(test["rows"])
        needed_rows = test.get("rows_needed")
        text = f"{shift}, at least {lower}, on {rows} rows"
        label = state[:1].upper() + state[1:].replace("-", " ")
        if state == "not-confirmable" and needed_rows and needed_rows > test["rows"]:
            text += f"; about {figures.about_count(needed_rows, above=test['rows'])} would do"
        elif state == "contradicted":
            decimals = score_text.decimals_to_tell([test["upper"]], margin, score)
            text += f", at best {score_text.difference(test['upper'], score, decimals=decimals)}"
        out.append((label, text))
    better = verdict.get("better_than_both")
    if better:
        out.append(("Better", f"gradient boosting, {score_text.score_value(better['score'], score, unit=True)}"))
    for group in verdict.get("groups") or ():
        fine, total, others = within(group)
        more = f"; {'; '.join(others)}" if others else ""
        out.append((f"By {fit(group['column'], 16)}", f"{fine} of {total} groups within the margin{more}"))
    return out


def _told(row: Mapping[str, Any], margin: float, score: str) -> tuple[str, str, str]:
    shift, lower, allowed = score_text.told(row["difference"], row["lower"], margin, score)
    return f"{shift} {score_text.difference_unit(score)}".strip(), lower, allowed


def _hanging(lead: str, text: object) -> list[str]:
    """Lines of at most 80 columns; all but the first are indented like it."""
    room = WIDTH - display_width(lead)
    pieces = textwrap.wrap(plain(text), room, break_on_hyphens=False) or [""]
    return [(lead if index == 0 else " " * display_width(lead)) + piece for index, piece in enumerate(pieces)]
