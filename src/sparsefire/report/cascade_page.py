"""One HTML page from the law of a cascade: it works offline, without JavaScript, on paper and on a phone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparsefire.data import figures
from sparsefire.report import cascade_chart, cascade_text, svg
from sparsefire.report.cascade_text import Outcome
from sparsefire.report.rendering import render, settings_rows, versions_row


def build_page(outcome: Outcome, asked: Mapping[str, Any], command: str = "") -> str:
    """Return the page as text.

    Args:
        outcome: what was found.
        asked: everything that decides the result; plain values by name.
        command: as it was typed.

    >>> from sparsefire.cascades import SizeDistribution
    >>> law = SizeDistribution.from_pmf([0, 0.7, 0.2, 0.06, 0.04], "tree")
    >>> build_page(Outcome("a.csv", "independent cascade", 4, 6, "abcd", [0], law), {}).count("<h1")
    1
    """
    law = outcome.law
    quantiles = [
        {"share": figures.short_percent(q), "size": figures.count(k), "limits": _limits(low, high)}
        for q, k, low, high in cascade_text.quantile_rows(law)
    ]
    wiring = f"{figures.count(outcome.units)} units, {figures.count(outcome.arcs)} arcs"
    context = {
        "title": svg.shorten(outcome.data, 80),
        "chips": _chips(outcome),
        "headline": cascade_text.headline(outcome),
        "grouping": cascade_text.grouping(law),
        "model": outcome.model[:1].upper() + outcome.model[1:],
        "wiring": wiring,
        "sure": cascade_text.sure_text(law),
        "tiles": _tiles(outcome),
        "band": law.band is not None,
        "sizes": {
            "wide": cascade_chart.draw_sizes(law, width=440.0),
            "phone": cascade_chart.draw_sizes(law, width=358.0),
        },
        "at_least": {
            "wide": cascade_chart.draw_at_least(law, width=460.0),
            "phone": cascade_chart.draw_at_least(law, width=358.0),
        },
        "quantiles": quantiles,
        "often": _often(outcome),
        "limits": limits(outcome),
        "command": command,
        "repeat": _repeat(outcome, asked),
    }
    return render("cascade.html.jinja", context)


def limits(outcome: Outcome) -> list[str]:
    """Return what the law leaves open, one sentence each."""
    out = ["Whether the model and its numbers describe what spreads; they are taken as given."]
    if outcome.law.samples is not None:
        out.append("Anything beyond the sampled cascades: the band covers chance alone, at 95%.")
        out.append(
            f"Sizes rarer than about 1 in {figures.count(outcome.law.samples)}: so few cascades do not show them."
        )
    elif not cascade_text.is_exact(outcome.law):
        out.append("How far the approximation is off: it has no error bound.")
    out.append("When units become active: only how many are in the end.")
    return out


def _chips(outcome: Outcome) -> list[tuple[str, str]]:
    law = outcome.law
    if law.samples is not None:
        chips = [("selected", f"Sampled, {figures.count(law.samples)} cascades")]
    else:
        chips = [("confirmed", "Exact")] if cascade_text.is_exact(law) else [("caution", "Approximation")]
    groups = cascade_text.modes(law)
    return chips + (
        [("caution", f"{figures.in_words(len(groups)).capitalize()} kinds of cascades")] if len(groups) > 1 else []
    )


def _tiles(outcome: Outcome) -> list[dict[str, str]]:
    law, units = outcome.law, outcome.units
    half, far, farther = (int(k) for k in law.quantile([0.5, 0.95, 0.99]))

    def part(size: float) -> str:
        return f"{cascade_text.share(size / units)} of the units"

    mean = cascade_text.mean_text(law).split(" ± ")
    beside = f"± {mean[1]}" if len(mean) > 1 else ""
    return [
        {"title": "Median", "number": figures.count(half), "beside": "", "under": part(half)},
        {"title": "Mean", "number": mean[0], "beside": beside, "under": part(law.mean())},
        {"title": "1 in 20 reaches", "number": figures.count(far), "beside": "or more", "under": part(far)},
        {"title": "1 in 100 reaches", "number": figures.count(farther), "beside": "or more", "under": part(farther)},
    ]


def _often(outcome: Outcome) -> dict[str, Any] | None:
    rows = cascade_text.most_active(outcome)
    if outcome.marginals is None or not rows:
        return None
    text = "Units besides the sources, by how often they are active in the end"
    if isinstance(outcome.sources, float):
        text = "Units by how often they are active in the end"
    if outcome.marginals.samples is None:
        exact = outcome.marginals.method != "mean-field"
        text += "; exact" if exact else "; approximate, too high where there are short loops"
    return {
        "text": text + ".",
        "limits": outcome.marginals.samples is not None,
        "rows": [
            {"name": svg.shorten(name, 60), "share": figures.percent(p), "limits": _interval(low, high)}
            for name, p, low, high in rows
        ],
    }


def _repeat(outcome: Outcome, asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [*settings_rows(asked), ("found by", cascade_text.method_text(outcome.law)), versions_row()]
    return [*rows, ("numbers", "all of them in law.json and sizes.parquet")]


def _limits(low: int | None, high: int | None) -> str:
    return "" if low is None or high is None else f"{figures.count(low)} to {figures.count(high)}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{figures.percent(low)} to {figures.percent(high)}"
