"""The page: risk against spikes by learner and number of weights, beside what large samples promise."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from taught.cases import AFTER, DELAY, HELD_OUT, LEARNERS, POWERS, RUNS, STEP_SIZES, TUNED, Record
from taught.reading import HEAD, HOW, LAW, PRICE, READING

from sparsefire.convergence import fit_rate
from sparsefire.randomness import stream
from sparsefire.statistics import mean_interval

RESAMPLES = 2000
NAMES = {LEARNERS[0]: "maximum likelihood", LEARNERS[1]: "local, likelihood", LEARNERS[2]: "local, reward"}


def scaled(record: Record) -> np.ndarray:
    """Return 2 n risk / d of every run, [runs, points]: 1 is what large samples promise to maximum likelihood."""
    return 2 * np.array(record["risks"]) * np.array(record["spikes"]) / record["dimension"]


def per_weight(record: Record) -> np.ndarray:
    """Return spikes per weight, [points]."""
    return np.array(record["spikes"]) / record["dimension"]


def shown(values: tuple[float, float, float], digits: int = 2) -> str:
    """Return a number and its interval."""
    middle, low, high = values
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def exponent(record: Record) -> str:
    """Return the exponent over the last decade."""
    steps = np.array(record["points"]) * record["dimension"]
    fit = fit_rate(steps, np.array(record["risks"]), window=(steps[-1] / 10, steps[-1]))
    return shown((fit.exponent, *fit.interval()))


def of(found: Sequence[Record], learner: str, dimension: int) -> Record | None:
    """Return the record of a case, or None while it is not there."""
    return next((r for r in found if r["learner"] == learner and r["dimension"] == dimension), None)


def ratio(rewarded: Record, likely: Record) -> tuple[float, float, float]:
    """Return mean risk of reward over that of likelihood after the last spike; runs share their teachers."""
    pairs = np.array([[a[-1], b[-1]] for a, b in zip(rewarded["risks"], likely["risks"], strict=True)])
    rows = stream(0, "teacher", "bootstrap").integers(0, len(pairs), (RESAMPLES, len(pairs)))
    again = pairs[rows].mean(axis=1)
    low, high = np.quantile(again[:, 0] / again[:, 1], [0.025, 0.975])
    a, b = pairs.mean(axis=0)
    return float(a / b), float(low), float(high)


def records(found: Sequence[Record]) -> list[Record]:
    """Return a list of numbers for machines."""
    made = []
    for record in found:
        value, low, high = mean_interval(scaled(record)[:, -1])
        job = f"{NAMES[record['learner']]}, {record['dimension']} weights"
        theory = record["price"] if record["learner"] == LEARNERS[2] else 1.0
        made.append(
            {
                "area": "teacher", "job": job, "ours": value, "peer": theory, "peer_name": "large samples",
                "ratio": value / theory, "interval": [low, high], "unit": "2 n risk / d",
            }
        )  # fmt: skip
    return made


def markdown(found: Sequence[Record]) -> str:
    """Return the page of what is finished."""
    sizes = sorted({record["dimension"] for record in found})
    picture = "![Excess log-likelihood per spike against spikes per weight](images/teacher.svg)\n"
    if any(record["short"] for record in found):
        return "\n".join(_main(found, sizes))
    chance = np.mean([record["chance"] for record in found]) if found else float("nan")
    parts = [
        HEAD,
        picture,
        READING,
        "## Exponents and constants\n",
        *_main(found, sizes),
        "",
        LAW,
        *_batch(found, sizes),
    ]
    parts += ["", "## What reward costs\n", PRICE, *_prices(found, sizes), "", "## How\n"]
    parts.append(HOW.format(chance=chance, held_out=f"{HELD_OUT:,}", delay=DELAY, powers=" or ".join(map(str, POWERS))))
    return "\n".join([*parts, *_schedules(found, sizes), ""])


def _main(found: Sequence[Record], sizes: list[int]) -> list[str]:
    rows = ["| learner | d | runs | spikes at the end | exponent [95%] | 2 n risk / d at the end [95%] | promised |"]
    rows.append("|---" * 7 + "|")
    for learner in LEARNERS:
        for d in sizes:
            record = of(found, learner, d)
            if record is None:
                continue
            promised = f"{record['price']:.2f}" if learner == LEARNERS[2] else "1"
            cells = [NAMES[learner], str(d), str(len(record["risks"])), f"{record['spikes'][-1]:,.0f}"]
            cells += [exponent(record), shown(mean_interval(scaled(record)[:, -1])), promised]
            rows.append("| " + " | ".join(cells) + " |")
    return rows


def _batch(found: Sequence[Record], sizes: list[int]) -> list[str]:
    kept = [record for d in sizes if (record := of(found, LEARNERS[0], d)) is not None]
    if not kept:
        return []
    heads = [f"{n:.0f}" for n in per_weight(kept[-1])]
    rows = ["| d; spikes per weight, about: | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for record in kept:
        cells = [shown(mean_interval(column)) for column in scaled(record).T]
        rows.append("| " + " | ".join([str(record["dimension"]), *cells]) + " |")
    return rows


def _prices(found: Sequence[Record], sizes: list[int]) -> list[str]:
    rows = ["| d | risk over that of likelihood, same spikes [95%] | in the limit |", "|---|---|---|"]
    for d in sizes:
        rewarded, likely = of(found, LEARNERS[2], d), of(found, LEARNERS[1], d)
        if rewarded is not None and likely is not None:
            rows.append(f"| {d} | {shown(ratio(rewarded, likely))} | {rewarded['price']:.2f} |")
    return rows


def _schedules(found: Sequence[Record], sizes: list[int]) -> list[str]:
    rows = ["| rule | d | γ d at first | power | averaged after, spikes per weight | runs to tune |", "|---" * 6 + "|"]
    for learner in LEARNERS[1:]:
        for d in sizes:
            record = of(found, learner, d)
            if record is not None:
                plan, mark = record["schedule"], " †" if record["edge"] else ""
                after = plan["after"] * record["chance"]
                cells = [NAMES[learner], str(d), f"{plan['step_size']:g}{mark}", f"{plan['power']:g}", f"{after:.0f}"]
                rows.append("| " + " | ".join([*cells, str(TUNED[d])]) + " |")
    grid = "; ".join(f"{NAMES[name]}: {', '.join(map(str, STEP_SIZES[name]))}" for name in STEP_SIZES)
    after = "; ".join(f"{NAMES[name]}: {', '.join(map(str, AFTER[name]))}" for name in AFTER)
    return [*rows, "", f"Grid of γ d: {grid}. † at the edge of it.", f"Steps per weight before averages: {after}."]


def draw(found: Sequence[Record], docs: Path) -> None:
    """Write the picture."""
    sys.path.append(str(docs))
    from make_figures import Line, chart, save  # type: ignore[import-not-found]

    looks = {LEARNERS[0]: "ink", LEARNERS[1]: "blue", LEARNERS[2]: "warm"}
    shapes = dict(zip(sorted(RUNS), ("circle", "diamond", "square"), strict=True))
    lines, axis = [], np.geomspace(10, 3500, 30)
    for learner in LEARNERS:
        for d in sorted(RUNS):
            record = of(found, learner, d)
            if record is None:
                continue
            points = []
            for n, column in zip(per_weight(record), np.array(record["risks"]).T, strict=True):
                value, low, high = mean_interval(column)
                points.append((float(n), value, max(low, 1e-4), high))
            lines.append(Line(f"{NAMES[learner]}, d = {d}", points, looks[learner], shapes[d], joined=False))
    price = float(np.mean([record["price"] for record in found]))
    for name, factor, first in (("d/(2n)", 1.0, 10), (f"{price:.1f} d/(2n)", price, 200)):
        law = [(float(x), *3 * (float(factor / 2 / x),)) for x in axis if x >= first]
        lines.append(Line(name, law, "grey", "square", dots=False))
    save(
        "teacher",
        chart(
            lines, x_ticks=[10, 30, 100, 300, 1000, 3500], y_ticks=[1e-4, 1e-3, 1e-2, 1e-1, 0.5],
            x_title="spikes of the teacher per weight, n/d (log scale)",
            y_title="excess log-likelihood per spike, nats (log scale)",
            label="Risk of three learners against spikes per weight, for 10, 40 and 100 weights",
            show_x=lambda x: f"{x:g}", show_y=lambda y: f"{y:g}", log_y=True, height=420.0,
        ),
    )  # fmt: skip
