"""The jobs that sample cascades."""

from __future__ import annotations

import statistics
import time

from cascade_speed.comparison import Effort, Record, compare, record
from cascade_speed.entrants import OURS, cynetdiff, eon, ours, python_independent, python_threshold
from cascade_speed.graphs import graph, sources
from cascade_speed.ndlib_apart import ndlib
from cascade_speed.turns import enough
from sparsefire.cascades import IndependentCascade, LinearThreshold, Threshold
from sparsefire.randomness import stream

TRIVALENCY = (0.1, 0.01, 0.001)  # Chen, Wang, Wang 2010, doi:10.1145/1835804.1835934


def independent(effort: Effort, units: int, probability: float, floor: float, stretch: float) -> list[Record]:
    """One probability for all; the small graph also against Python."""
    wiring = graph(units)
    entrants = {
        OURS: ours(IndependentCascade(wiring, probability)),
        "CyNetDiff": cynetdiff(wiring, probability=probability),
    }
    job = f"independent cascade, n = {units:,}, p = {probability}"
    if units > 100_000:  # there a networkx graph is gigabytes and a minute
        return compare(job, entrants, effort, floor, stretch)
    entrants |= {"networkx loop": python_independent(units, probability), "EoN": eon(units, probability)}
    if effort.ndlib is None or probability > 0.1:  # one large cascade takes NDlib five seconds
        return compare(job, entrants, effort, floor, stretch)
    with ndlib(effort.ndlib, units, probability) as (entrant, its):
        return compare(job, {**entrants, "NDlib": entrant}, effort, floor, stretch, {"NDlib": its})


def per_edge(effort: Effort, units: int, about: float | None, floor: float, stretch: float) -> list[Record]:
    """Every edge a probability of its own, p · U(0.5, 1.5), or one of three."""
    wiring, draw = graph(units), stream(1, "probabilities")
    probability = (
        draw.choice(TRIVALENCY, wiring.edges) if about is None else about * draw.uniform(0.5, 1.5, wiring.edges)
    )
    entrants = {
        OURS: ours(IndependentCascade(wiring, probability)),
        "CyNetDiff": cynetdiff(wiring, probability=probability),
    }
    which = "p of an edge 0.1, 0.01 or 0.001" if about is None else f"p of an edge {about} · U(0.5, 1.5)"
    return compare(f"independent cascade, n = {units:,}, {which}", entrants, effort, floor, stretch)


def linear_threshold(effort: Effort, units: int, floor: float, stretch: float) -> list[Record]:
    """Weights 1 / in-degree, uniform thresholds."""
    wiring = graph(units)
    influence = 1.0 / wiring.in_degrees[wiring.receivers]
    entrants = {OURS: ours(LinearThreshold(wiring)), "CyNetDiff": cynetdiff(wiring, influence=influence)}
    return compare(f"linear threshold, n = {units:,}", entrants, effort, floor, stretch)


def watts(effort: Effort, units: int) -> list[Record]:
    """A threshold of 0.1 for all, which CyNetDiff cannot express; nothing is random, so sizes must be equal."""
    entrants = {OURS: ours(Threshold(graph(units), 0.1)), "networkx loop": python_threshold(units, 1)}
    return compare(f"Watts threshold 0.1, n = {units:,}", entrants, effort)


def two_workers(effort: Effort, units: int) -> list[Record]:
    """Wall time of one call with one worker and with two, which must find the same sizes."""
    model, start = IndependentCascade(graph(units), 0.12), sources(units)
    runs = enough(ours(model), 2 * effort.seconds)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(effort.rounds):
        sizes = []
        for workers in (1, 2)[:: -1 if number % 2 else 1]:
            begin = time.perf_counter()
            sizes.append(model.sample(start, runs, rng=number, workers=workers).sizes)
            seconds[workers].append(time.perf_counter() - begin)
        assert (sizes[0] == sizes[1]).all(), "two workers found other sizes than one"
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    figures = {
        "ours": statistics.median(seconds[2]),
        "peer": statistics.median(seconds[1]),
        "peer_name": "one worker",
        "peer_version": None,
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "rounds": effort.rounds,
    }
    job = f"{runs:,} independent cascades, n = {units:,}, p = 0.12, two workers"
    return [record(job, "s of wall time", figures, 1.7, None, "ratio")]
