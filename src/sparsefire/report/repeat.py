"""What it takes to repeat a run: data, split, every setting, and with what it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparsefire.data import figures
from sparsefire.search import score_text
from sparsefire.search.wording import rows_compared

Rows = list[tuple[str, str]]


def repeat(verdict: Mapping[str, Any]) -> Rows:
    """Return labels and facts for the box "Repeat this run"; what the verdict does not hold is left out.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> dict(repeat(EXAMPLE))["folds"], dict(repeat(EXAMPLE))["margin"]
    ('5 × 1 initialisation', '1.0 points')
    """
    data, plan = verdict["data"], verdict["plan"]
    timing, versions = verdict.get("timing") or {}, verdict.get("versions") or {}
    size = [f"{figures.count(data[name])} {name}" for name in ("rows", "inputs") if data.get(name)]
    size += [f"{len(data['classes'])} classes"] if data.get("classes") else []
    size += [f"sha256 {figures.short_hash(data['sha256'])}"] if data.get("sha256") else []
    rows = [("data", ", ".join(size)), *(("", note) for note in data.get("notes") or ()), ("split", _split(verdict))]
    rows += _settings(plan, verdict["margin"], data["score"])
    if timing.get("runs") is not None:
        text = f"{figures.count(timing['runs'])} in {figures.duration(timing['seconds'])}"
        text += f", {_many(plan['workers'], 'worker')}" if plan.get("workers") else ""
        text += f", {figures.count(timing['resumed'])} taken from an earlier start" if timing.get("resumed") else ""
        rows.append(("runs", text))
    rows.append(("power", (plan.get("planned_power") or {}).get("text") or ""))
    proper = {"python": "Python", "numpy": "NumPy"}
    rows.append(("versions", ", ".join(f"{proper.get(name, name)} {version}" for name, version in versions.items())))
    return [(label, text) for label, text in rows if text]


def _split(verdict: Mapping[str, Any]) -> str:
    data = verdict["data"]
    development, compared = figures.count(data["rows_development"]), rows_compared(verdict)
    parts = [f"{development} development" + (f" ({compared} held out in turn)" if compared != development else "")]
    parts.append(f"{figures.count(data.get('rows_test') or 0)} test")
    parts += [str(data["split"])] if data.get("split") else []
    parts += [f"{figures.count(data['clusters'])} clusters"] if data.get("clusters") else []
    return ", ".join(parts)


def _settings(plan: Mapping[str, Any], margin: float, score: str) -> Rows:
    """Everything that was fixed before training, short."""
    given = plan.get("margin_given")
    told = figures.fixed(score_text.scale(score) * margin, score_text.decimals_to_tell([], margin, score))
    told = f"{told} {score_text.difference_unit(score)}".strip()
    if plan.get("retain"):
        told += f", keeps {figures.short_percent(plan['retain'])} of dense's gain"
    elif given is not None:
        told += ", as given" if given else ", the default"
    training = [_many(plan[key], word) for key, word in (("epochs", "epoch"), ("rates", "rate")) if plan.get(key)]
    training = [text + " tried" if text.endswith(("rate", "rates")) else text for text in training]
    training += [f"batches of {figures.count(plan['batch'])}"] if plan.get("batch") else []
    training += [str(plan["rule"])] if plan.get("rule") else []
    return [
        ("effort", str(plan.get("effort") or "")),
        ("methods", ", ".join(plan.get("methods") or ())),
        ("densities", " ".join(f"{amount:g}" for amount in plan.get("densities") or ())),
        ("folds", f"{plan['folds']} × {_many(plan['rounds'], 'initialisation')}"),
        ("training", ", ".join(training)),
        ("margin", told),
        ("level", figures.short_percent(plan["level"]) if plan.get("level") else ""),
        ("model", _model(plan)),
        ("rng", str(plan["rng"]) if plan.get("rng") is not None else ""),
    ]


def _model(plan: Mapping[str, Any]) -> str:
    """The model as it is typed, and the sizes of its layers."""
    base = plan.get("architecture") or {}
    sizes = [
        f"{key} {' '.join(map(str, base[key] if isinstance(base[key], list) else [base[key]]))}"
        for key in ("channels", "hidden")
        if base.get(key)
    ]
    return ", ".join([str(plan.get("model") or ""), *sizes])


def _many(number: int, word: str) -> str:
    return f"{figures.count(number)} {word}{'' if number == 1 else 's'}"
