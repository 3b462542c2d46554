"""The Markdown page and the list of records that the benchmark leaves behind."""

from __future__ import annotations

from typing import Any

from decision.tables import Row, within

NAMES = {
    "clt1": "CV central limit, one round",
    "clt": "central limit, rounds averaged",
    "nb1": "Nadeau–Bengio, one round",
    "nb": "Nadeau–Bengio, all rounds",
}

HEAD = """# The decision is honest: false passes of the shipped code

How often the code that says "not worse" says it of something that *is* worse by exactly the margin. The nominal rate
is 5 %. Every line comes from fresh data sets with a known truth; the learners cost milliseconds (random-feature ridge
networks, trees, neighbours), so they stand in for trained sparse networks and do not replace them. Scores of the true
difference come from an independent stream of trainings; its error is given in standard deviations of the estimate.

Written by `python benchmarks/decision_level.py` (2 hours at most on 2 cores, resumable; `--quick` for a minute).
Rates are in percent. "±" is one Monte Carlo standard error, √(p(1 − p)/N). *Met* means: at most 5 % plus three Monte
Carlo errors at that rate; *warned*: above that, where no level is promised, and at least nine data sets in ten were
warned of. The standard deviation (sd) of an estimate is half the distance of its 16th and 84th percentiles.
"""


def markdown(rows: list[Row]) -> str:
    """Return the page."""
    singles = [row for row in rows if row.cell.kind == "single"]
    families = [row for row in rows if row.cell.kind == "family"]
    gates = [row for row in rows if row.cell.kind == "gate"]
    parts = [HEAD]
    if singles:
        parts += [_level(singles), _power(singles), _warnings(singles)]
    if families:
        parts.append(_families(families))
    if gates:
        parts.append(_gates(gates))
    return "\n".join(parts)


def records(rows: list[Row]) -> list[dict[str, Any]]:
    """Return one record per line and rival: area, job, ours, peer, peer_name, ratio, unit."""
    found = []
    for row in rows:
        job = f"{row.cell.name}, {row.label}: " + (
            "passes of the gate" if row.cell.kind == "gate" else "false passes at the margin"
        )
        for key, peer in row.rivals.items():
            found.append(
                {
                    "area": "decision",
                    "job": job,
                    "ours": row.rate,
                    "peer": peer,
                    "peer_name": NAMES.get(key, key),
                    "ratio": peer / row.rate if row.rate else None,
                    "unit": "fraction of data sets",
                    "sets": row.sets,
                    "error": row.error,
                    "nominal": row.nominal,
                    "met": row.met,
                }
            )
    return found


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"


def _rate(row: Row) -> str:
    return f"{_percent(row.rate)} ± {_percent(row.error)}"


def _table(head: list[str], lines: list[list[str]]) -> str:
    body = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(body + ["| " + " | ".join(line) + " |" for line in lines]) + "\n"


def _label(row: Row) -> str:
    return row.cell.name if row.label in ("accuracy", "gate") else f"{row.cell.name} ({row.label.replace('r2', 'R²')})"


def _met(row: Row) -> str:
    if row.met is None:
        return "no claim"
    if not row.met:
        return "**no**"
    return "yes" if within(row.rate, row.nominal, row.sets) else "warned"


def _level(rows: list[Row]) -> str:
    head = [
        "case",
        "N",
        "crossed bound",
        "met",
        "at 1.67 %",
        *NAMES.values(),
        "error of the truth, sd",
        "K bias, sd",
        "ms per set",
    ]
    lines = [
        [
            _label(row),
            f"{row.sets:,}",
            _rate(row),
            _met(row),
            _percent(row.extra["each"]),
            *(_percent(row.rivals.get(key)) for key in NAMES),
            f"{row.extra['truth error']:.3f}",
            f"{row.extra['bias']:+.2f}",
            f"{1000 * row.extra['seconds']:.0f}",
        ]
        for row in rows
    ]
    text = (
        "## One candidate exactly at the margin\n\n"
        "The number in the name is n; K = 10 folds, M = 5 rounds unless said. For the AUC the first "
        "rival is DeLong's bound on one round.\n"
    )
    return text + "\n" + _table(head, lines)


def _power(rows: list[Row]) -> str:
    head = ["case", "3 sd", "crossed bound", *NAMES.values()]
    lines = [
        [_label(row), f"{3 * row.extra['sd']:.3g}", _percent(row.power["low"], 0)]
        + [
            _percent(row.power.get(key), 0)
            if row.rivals.get(key, 1.0) <= 0.06 or key not in row.power
            else f"[{_percent(row.power[key], 0)}]"
            for key in NAMES
        ]
        for row in rows
    ]
    text = (
        "## Power\n\n"
        "Chance to pass when the true difference lies 3 standard deviations of the estimate inside the margin (second "
        "column, in units of the score; for *eq*, two equal learners, it is the margin itself). In brackets: bounds "
        "that pass more than 6 % falsely.\n"
    )
    return text + "\n" + _table(head, lines)


def _warnings(rows: list[Row]) -> str:
    head = [
        "case",
        "claim",
        "limited by initialisations",
        "initialisations fail",
        "a few rows",
        "too small",
        "any of the first three",
    ]
    head += ["among false passes", "V_rnd/V", "skewness of one start"]
    lines = [
        [
            _label(row),
            {"holds": "level holds", "warns": "none promised"}.get(row.cell.promise, "–"),
            *(_percent(row.extra[flag], 0) for flag in "LFTS"),
            _percent(row.extra["warned"], 0),
            _percent(row.extra["warned of false"], 0),
            f"{row.extra['share']:.2f}",
            f"{row.extra['skewness']:+.1f}" if row.cell.truth else "0",
        ]
        for row in rows
    ]
    text = (
        "## Warnings\n\nShare of data sets in which each warning was given. "
        "They must be there where no level is promised (heavy tails, bad initialisations).\n"
    )
    return text + "\n" + _table(head, lines)


def _families(rows: list[Row]) -> str:
    head = [
        "case",
        "candidates",
        "N",
        "walk, crossed bound",
        "met",
        "walk, one-round central limit",
        "walk, Nadeau–Bengio",
    ]
    head += ["no walk, crossed", "one bound at 5 % / 1.67 %", "ms per set"]
    lines = [
        [
            row.cell.name,
            row.label,
            f"{row.sets:,}",
            _rate(row),
            _met(row),
            _percent(row.rivals["clt1"]),
            _percent(row.rivals["nb"]),
            _percent(row.extra["no walk"]),
            f"{_percent(row.extra['full'])} / {_percent(row.extra['each'])}",
            f"{1000 * row.extra['seconds']:.0f}",
        ]
        for row in rows
    ]
    text = (
        "## Three methods × four densities\n\n"
        "Chance that the walk lets through at least one candidate that is worse by exactly the margin; "
        "each method at 5 %/3.\n"
    )
    return text + "\n" + _table(head, lines)


def _gates(rows: list[Row]) -> str:
    head = [
        "case",
        "margin",
        "N",
        "gate lets pass",
        "met",
        "small would pass without it",
        "a constant would",
        "both pass",
        "ms per set",
    ]
    lines = [
        [
            row.cell.name,
            f"{row.cell.margin:g}",
            f"{row.sets:,}",
            _rate(row),
            _met(row),
            _percent(row.rivals["no gate"]),
            _percent(row.extra["constant"]),
            _percent(row.extra["both"]),
            f"{1000 * row.extra['seconds']:.0f}",
        ]
        for row in rows
    ]
    text = (
        "## The gate\n\n"
        "Dense must beat a constant by more than the margin before anything may be called not worse than dense. "
        "*No signal*: the target has nothing to do with the inputs. "
        "*Signal*: what the gate costs where there is something to find.\n"
    )
    return text + "\n" + _table(head, lines)
