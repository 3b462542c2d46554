"""The page, its picture and the list of records."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from claims.cases import Arm
from claims.experiments import EXPERIMENTS
from claims.judge import AGAINST, HOLDS, OPEN, Outcomes, Verdict
from claims.parts import Comparison, Experiment, Rise
from claims.picture import forest
from claims.places import PLACES
from claims.reading import HEAD, HOW, READING
from figures import mean

Record = dict[str, Any]


def markdown(records: list[Record], verdicts: list[Verdict]) -> str:
    """Return the page."""
    parts = [HEAD, READING, _summary(verdicts), "![Differences with their intervals](images/published.svg)", "", HOW]
    for experiment in sorted(EXPERIMENTS, key=lambda one: one.number):
        own = [verdict for verdict in verdicts if verdict.experiment == experiment]
        if own:
            parts.append(_section(experiment, own))
            parts += [_fan_ins(records, experiment)] if experiment.number == 18 else []
    parts.append(_arms(records))
    return "\n".join(parts)


def records(verdicts: Iterable[Verdict]) -> list[Record]:
    """Return what every benchmark gives, one record per part: ours is what was found, peer what was published."""
    listed = []
    for verdict in verdicts:
        published = getattr(verdict.part, "published", None)
        unit = {Comparison: "points", Rise: "rho"}.get(type(verdict.part), "share")
        listed.append(
            {
                "area": "sparsity", "job": f"claim {verdict.experiment.number}: {verdict.part.words}",
                "ours": verdict.value, "peer": published[0] if published else None,
                "peer_name": f"published, {published[1]}" if published else None, "ratio": None, "unit": unit,
                "low": verdict.low, "high": verdict.high, "replicates": verdict.count, "verdict": verdict.word,
            }
        )  # fmt: skip
    return listed


def write(docs: Path, found: list[Record], verdicts: list[Verdict]) -> None:
    """Write the page and its picture."""
    (docs / "published.md").write_text(markdown(found, verdicts), encoding="utf-8")
    sys.path.append(str(docs))
    from make_figures import save  # type: ignore[import-not-found]

    save("published", forest(verdicts))


def name(arm: Arm) -> str:
    """Return an arm in words.

    >>> name(Arm("rigl", 0.1, options=(("every", 30),)))
    'rigl 0.1, every 30'
    """
    words = [arm.method if arm.method.startswith("dense") else f"{arm.method} {arm.density:g}"]
    words += [arm.layout] if arm.layout else []
    words += [f"{key} {value:g}" for key, value in arm.options]
    words += [f"masks {arm.masks}"] if arm.masks != "own" else []
    words += [f"weights {arm.weights}"] if arm.weights != "own" else []
    words += [f"of {arm.source.method}"] if arm.source else []
    words += [f"{arm.epochs} epochs"] if arm.epochs else []
    return ", ".join([*words, *(["SGD"] if arm.optimizer == "sgd" else [])])


def _summary(verdicts: list[Verdict]) -> str:
    lines = ["| | claim | holds | not shown | contradicted | not run |", "|---|---|---|---|---|---|"]
    for experiment in sorted(EXPERIMENTS, key=lambda one: one.number):
        own = [verdict.word for verdict in verdicts if verdict.experiment == experiment]
        counts = [own.count(word) for word in (HOLDS, OPEN, AGAINST)]
        shown = " | ".join(str(count or "") for count in [*counts, len(experiment.parts) - len(own)])
        lines.append(f"| {experiment.number} | {_title(experiment)} | {shown} |")
    return "\n".join(["## Verdicts", "", *lines, ""])


def _title(experiment: Experiment) -> str:
    return experiment.title + (", convnet" if next(experiment.arms()).place == "conv" else "")


def _fan_ins(records: list[Record], experiment: Experiment) -> str:
    """Return in how many networks all live units of a layer have the same fan-in."""
    outcomes = Outcomes(records)
    arms = dict.fromkeys(arm for arm in experiment.arms() if arm.method == "srigl")
    even = [record["even"] for arm in arms for record in outcomes.of.get(arm.key, {}).values()]
    return f"In {sum(even)} of {len(even)} networks of SRigL all live units of a layer have the same fan-in.\n"


def _section(experiment: Experiment, verdicts: Sequence[Verdict]) -> str:
    lines = [
        f"## {experiment.number}. {_title(experiment)}", "", f"{experiment.claim} {experiment.source}", "",
        "| comparison | claimed | here, points | p | published, points | verdict |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for verdict in verdicts:
        part = verdict.part
        published = getattr(part, "published", None)
        sign = "+" if isinstance(part, Comparison) else ""
        here = f"{verdict.value:{sign}.2f} [{verdict.low:{sign}.2f}, {verdict.high:{sign}.2f}]"
        if np.isinf(verdict.low):
            here = "no gap to share"
        if verdict.count < 10:
            here += f" ({verdict.count} replicates)"
        theirs = f"{published[0]:{sign}.2f} ({published[1]})" if published else "–"
        p = "–" if np.isnan(verdict.p) else f"{verdict.p:.1g}" if verdict.p >= 1e-4 else "< 0.0001"
        lines.append(f"| {part.words} | {_claimed(verdict)} | {here} | {p} | {theirs} | {_said(verdict)} |")
    return "\n".join([*lines, ""])


def _said(verdict: Verdict) -> str:
    apart = verdict.low > 0 or verdict.high < 0
    same = isinstance(verdict.part, Comparison) and verdict.part.claim == "same"
    return verdict.word + ("; not zero" if same and apart and verdict.word == HOLDS else "")


def _claimed(verdict: Verdict) -> str:
    part = verdict.part
    if isinstance(part, Comparison):
        return {"better": "> 0", "not worse": f"> −{part.margin:g}", "same": f"within ±{part.margin:g}"}[part.claim]
    if isinstance(part, Rise):
        return f"ρ > {part.bound:g}"
    return f"share {'≥' if part.claim == 'at least' else '≤'} {part.bound:g}"


def _arms(records: list[Record]) -> str:
    outcomes = Outcomes(records)
    lines = [
        "## All arms", "",
        "*Flipped*: weights whose last sign is not their first. *Live*: hidden units with a weight left. *Explored*: "
        "weights that were in the mask at any time. Seconds are CPU seconds of one training, on a busy machine.", "",
        "| arm | accuracy, % | rate (α) | weights | flipped, % | live, % | explored, % | s |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for arm in dict.fromkeys(arm for one in sorted(EXPERIMENTS, key=lambda o: o.number) for arm in one.arms()):
        own = list(outcomes.of.get(arm.key, {}).values())
        if len(own) < 2:
            continue
        accuracy = 100 * np.array([record["accuracy"] for record in own])
        right, low, _ = mean(accuracy)
        means = {entry: float(np.mean([record.get(entry, np.nan) for record in own])) for entry in
                 ("flipped", "live", "explored", "seconds", "weights")}  # fmt: skip
        rate = f"{own[0]['rate']:g}" + (f" ({own[0]['alpha']:g})" if own[0]["alpha"] else "")
        explored = "" if np.isnan(means["explored"]) else f"{100 * means['explored']:.1f}"
        place = "" if arm.place == "mlp" else f"{PLACES[arm.place].title.split(' of')[0]}: "
        lines.append(
            f"| {place}{name(arm)} | {right:.2f} ± {right - low:.2f} | {rate} | {means['weights']:,.0f} "
            f"| {100 * means['flipped']:.1f} | {100 * means['live']:.1f} | {explored} | {means['seconds']:.1f} |"
        )
    return "\n".join([*lines, ""])
