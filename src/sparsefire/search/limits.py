"""What a verdict does not tell: sentences generated from how the run was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparsefire.data import figures


def limits(verdict: Mapping[str, Any]) -> list[str]:
    """Return the limits of this result, each one a sentence that follows from what was, or was not, done.

    Args:
        verdict: the dictionary of ``verdict.json``.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> print("\\n".join(limits(EXAMPLE)))
    How it does on data collected elsewhere or later. Test rows were drawn from the same table.
    That dense was the best possible network. It had the same tuning budget as every candidate, no more.
    That both make the same mistakes: they disagree on 12 of 2,000 test rows.
    That a second “confirmed” would count as much: another margin, effort or method tests these test rows again.
    Anything about groups of rows: none were named.
    """
    lines = []
    groups = verdict.get("groups") or []
    if groups:
        lines.append(
            "Whether any of these models is fair. The tables describe errors by group; "
            "which of them matter is your decision."
        )
        lines += _base_rates(verdict, groups[0])
    lines.append(_elsewhere(verdict["data"]))
    lines.append("That dense was the best possible network. It had the same tuning budget as every candidate, no more.")
    timed = any(row.get("latency_us") is not None for row in verdict.get("candidates") or ())
    if timed and verdict.get("kind") != "linear":
        lines.append("That sparse is faster everywhere. Latency was measured here, one row at a time, one thread.")
    elif timed:
        lines.append("How fast it is elsewhere. Latency was measured here, one row at a time, one thread.")
    lines += _same_mistakes(verdict)
    plan = verdict["plan"]
    if plan.get("retain"):
        kept = figures.short_percent(plan["retain"])
        lines.append(
            f"That the error level is exact. The margin keeps {kept} of dense's gain over a constant guess, "
            "as estimated on the rows that decide, so the level is approximate."
        )
    usual = 10 if verdict["data"]["rows_development"] < 5000 else 5
    if plan["folds"] < usual:
        lines.append(
            f"How small networks do when all rows are learned from: {plan['folds']} folds, where {usual} are usual, "
            "leave fewer rows to learn from, which flatters small ones."
        )
    if verdict["data"].get("rows_test"):
        lines.append(
            "That a second “confirmed” would count as much: "
            "another margin, effort or method tests these test rows again."
        )
    if groups:
        lines.append("Anything about groups you did not name, or about their combinations.")
    else:
        lines.append("Anything about groups of rows: none were named.")
    return lines


def _elsewhere(data: Mapping[str, Any]) -> str:
    split = str(data.get("split") or "").strip()
    if not data.get("rows_test"):
        return "How it does on rows it has not seen. No test rows were set aside."
    if split.startswith("the latest"):
        return f"How it does elsewhere, or later still. Test rows were {split}."
    if split.startswith("site "):
        return f"How it does at another site still, or later. Test rows: {split}."
    if split.startswith("by "):
        named = split.removeprefix("by ")
        return f"How it does elsewhere or later. Test rows were other values of {named} in the same table."
    return "How it does on data collected elsewhere or later. Test rows were drawn from the same table."


def _same_mistakes(verdict: Mapping[str, Any]) -> list[str]:
    test = verdict.get("confirmation")
    if not test or test.get("only_dense") is None or test.get("only_chosen") is None:
        return []
    apart, rows = test["only_dense"] + test["only_chosen"], figures.count(test["rows"])
    if apart == 0:
        return [f"That both always make the same mistakes: they did on {rows} test rows, elsewhere they may not."]
    return [f"That both make the same mistakes: they disagree on {figures.count(apart)} of {rows} test rows."]


def _base_rates(verdict: Mapping[str, Any], group: Mapping[str, Any]) -> list[str]:
    """Where the base rates of two groups lie far apart, say that a gap in errors follows from that alone."""
    rated = [row for row in group["rows"] if row.get("base_rate") is not None]
    classes = verdict["data"].get("classes") or []
    if len(rated) < 2 or len(classes) != 2:
        return []
    low, high = min(rated, key=lambda row: row["base_rate"]), max(rated, key=lambda row: row["base_rate"])
    if high["base_rate"] - low["base_rate"] < 0.05:
        return []
    rare, common = (f"{figures.fixed(100 * row['base_rate'], 0)}% of {row['name']}" for row in (low, high))
    return [
        f"That a gap between groups is unequal treatment: {rare} and {common} rows have "
        f"{verdict['data']['target']} = {classes[1]}, and where one class is rare, guessing the other is often right."
    ]
