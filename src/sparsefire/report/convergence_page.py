"""One HTML page from learning curves: it works offline, without JavaScript, on paper and on a phone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from sparsefire.data import figures
from sparsefire.report import convergence_chart, convergence_text
from sparsefire.report.convergence_figures import short
from sparsefire.report.convergence_text import Exponent, Outcome
from sparsefire.report.rendering import powers, render, settings_rows, versions_row


def build_page(outcome: Outcome, asked: Mapping[str, Any], command: str = "") -> str:
    """Return the page as text.

    Args:
        outcome: what was found.
        asked: everything that decides the result; plain values by name.
        command: as it was typed.

    >>> build_page(convergence_text.example(), {}).count("<h1")
    1
    """
    curves = outcome.curves
    exact = any(curve.exact is not None for curve in curves)
    limited = [curve for curve in curves if curve.limit]
    context = {
        "title": outcome.rule,
        "chips": _chips(outcome),
        "headline": powers(convergence_text.headline(outcome)),
        "evidence": [powers(line) for line in _evidence(outcome) if line],
        "tiles": _tiles(outcome),
        "cautions": [powers(text) for text in convergence_text.cautions(outcome)],
        "runs": figures.count(outcome.runs),
        "samples": figures.count(outcome.samples),
        "exact": exact,
        "noise": bool(outcome.noise),
        "limited": bool(limited),
        "floors": any(curve.floor is not None for curve in curves),
        "ends": "smallest and the largest d" if len(curves) > 1 else "same d",
        "window": convergence_text.window(outcome),
        "risk": _pictures(convergence_chart.draw_risk, outcome, 960.0, 420.0, 360.0),
        "collapse": _pictures(convergence_chart.draw_collapse, outcome, 460.0, 300.0, 280.0)
        if convergence_chart.collapsing(outcome)
        else None,
        "rows": convergence_text.rows(outcome),
        "steps": _steps(outcome),
        "steps_text": _steps_text(outcome),
        "limits": limits(outcome),
        "command": command,
        "repeat": [
            *settings_rows(asked),
            ("queries", f"{figures.count(outcome.queries)} per sample"),
            versions_row(),
            ("numbers", "all of them in convergence.json and risk.parquet"),
        ],
    }
    return render("convergence.html.jinja", context)


def limits(outcome: Outcome) -> list[str]:
    """Return what the curves leave open, one sentence each."""
    out = [
        "What happens on other problems: here the truth is linear, the loss squared, and every sample is fresh.",
        "What networks of several layers do.",
        "Other step sizes: constants, and for slowly falling ones the exponents too, change with them.",
    ]
    window = convergence_text.window(outcome)
    if window:
        out.append(f"Exponents beyond {window}: what is fitted there is a slope, not a limit.")
    if any(curve.exact is None for curve in outcome.curves):
        out.append("What the mean risk is exactly: this rule has no recursion for it; intervals cover chance alone.")
    if outcome.queries > 1:
        out.append(f"Risk per query: each sample is read {figures.count(outcome.queries)} times.")
    return out


def _pictures(draw: Any, outcome: Outcome, width: float, height: float, small: float) -> dict[str, Markup]:
    """A picture for a wide page, and the same drawn again for a phone."""
    return {"wide": draw(outcome, width=width, height=height), "phone": draw(outcome, width=358.0, height=small)}


def _chips(outcome: Outcome) -> list[tuple[str, str]]:
    chips = [("selected", f"Simulated, {figures.count(outcome.runs)} runs")]
    apart = convergence_text.apart_from_exact(outcome)
    if apart is not None:
        chips.append(
            ("caution", "Differs from the exact risk") if apart else ("confirmed", "Agrees with the exact risk")
        )
    count = len(convergence_text.cautions(outcome))
    word = figures.in_words(count).capitalize()
    return [*chips, ("caution", f"{word} caution{'s' * (count > 1)}")] if count else chips


def _evidence(outcome: Outcome) -> list[str]:
    made = f"{convergence_text.runs_text(outcome)}; {outcome.settings}."
    return [" ".join(convergence_text.known_text(outcome)), made]


def _tiles(outcome: Outcome) -> list[dict[str, Any]]:
    last, rises = outcome.curves[-1], outcome.in_dimension
    row = convergence_text.rows(outcome)[-1]
    at = f"at d = {row.dimension}"
    tiles = []
    if last.exponent is not None:
        tiles.append(_exponent_tile("Falls as", "k", last.exponent, f"{at}; "))
    if rises is not None:
        tiles.append(_exponent_tile("Rises as", "d", rises, ""))
    tiles.append(
        {
            "title": f"Risk at the end, d = {row.dimension}",
            "number": powers(row.mean),
            "beside": f"± {row.half_width}" if row.half_width else "",
            "under": powers(f"median {row.median}" + (f", exact {row.exact}" if row.exact else "")),
        }
    )
    if row.over_first_order:
        under = f"the risk of seeing every slope, {at}"
        tiles.append(
            {"title": "Against σ²d/k", "number": powers(row.over_first_order), "beside": "times", "under": under}
        )
    return tiles


def _exponent_tile(title: str, base: str, found: Exponent, at: str) -> dict[str, Any]:
    falls = base == "k"
    sign = -1 if falls else 1
    low, high = sorted((sign * found.low, sign * found.high))
    known = [f"exact {base}^{figures.fixed(sign * found.exact, 2)}"] if found.exact is not None else []
    known += [f"theory {base}^{'−' if falls else ''}{found.theory:g}"] if found.theory else []
    return {
        "title": title,
        "number": powers(f"{base}^{figures.fixed(sign * found.value, 2)}"),
        "beside": f"[{figures.fixed(low, 2)}, {figures.fixed(high, 2)}]",
        "under": powers(at + ", ".join(known)),
    }


def _steps(outcome: Outcome) -> list[dict[str, Any]]:
    return [
        {
            "dimension": figures.count(curve.dimension),
            "schedule": curve.step_size,
            "largest": short(curve.largest),
            "stable": "" if curve.stable is None else short(curve.stable),
            "beyond": convergence_text.beyond(curve),
        }
        for curve in outcome.curves
    ]


def _steps_text(outcome: Outcome) -> str:
    if all(curve.stable is None for curve in outcome.curves):
        return "This rule has no exact stability limit."
    return "A constant step beyond the limit lets the mean risk grow without end."
