"""Who runs cascades: sparsefire, the packages that do the same, and loops in Python."""

from __future__ import annotations

import array
import itertools
import random
from typing import Any

import numpy as np

from cascade_speed.graphs import graph_of_networkx, neighbours_of, sources
from cascade_speed.turns import Entrant, timed
from sparsefire.cascades import CascadeModel
from sparsefire.wiring import Wiring

OURS = "sparsefire"
DISTRIBUTIONS = {"CyNetDiff": "cynetdiff", "EoN": "EoN", "networkx loop": "networkx"}


def ours(model: CascadeModel) -> Entrant:
    start, rng = sources(model.wiring.units), itertools.count()
    return timed(lambda runs: model.sample(start, runs, rng=next(rng)).sizes)


def cynetdiff(wiring: Wiring, *, probability: Any = None, influence: Any = None) -> Entrant:
    """CyNetDiff takes ``array.array`` only, float32 numbers, no last start of rows, and Python ints.

    Its own loop, ``compute_marginal_gains``, is as fast and returns nothing but the mean.
    """
    from cynetdiff.models import IndependentCascadeModel, LinearThresholdModel

    starts = array.array("I", wiring.starts[:-1].astype(np.uint32).tobytes())
    edges = array.array("I", wiring.receivers.astype(np.uint32).tobytes())
    model: Any
    if influence is not None:
        each = array.array("f", influence.astype(np.float32).tobytes())
        model = LinearThresholdModel(starts, edges, influence=each, rng=1)
    elif np.ndim(probability):
        each = array.array("f", wiring.per_arc(probability).astype(np.float32).tobytes())
        model = IndependentCascadeModel(starts, edges, activation_probs=each, rng=1)
    else:
        model = IndependentCascadeModel(starts, edges, activation_prob=probability, rng=1)
    model.set_seeds(sources(wiring.units))

    def run(runs: int) -> list[int]:
        sizes = []
        for _ in range(runs):
            model.reset_model()
            model.advance_until_completion()
            sizes.append(model.get_num_activated_nodes())
        return sizes

    return timed(run)


def eon(units: int, probability: float) -> Entrant:
    from EoN import basic_discrete_SIR

    net, start, rng = graph_of_networkx(units), sources(units), np.random.default_rng(1)
    return timed(
        lambda runs: [int(basic_discrete_SIR(net, probability, list(start), rng=rng)[3][-1]) for _ in range(runs)]
    )


def python_independent(units: int, probability: float) -> Entrant:
    """The loop over networkx that anybody would write, then made fast: lists of neighbours, sets, the draw first."""
    start, draw = sources(units), random.Random(1).random
    neighbours = neighbours_of(units)

    def run(runs: int) -> list[int]:
        sizes = []
        for _ in range(runs):
            active, newest = set(start), start
            while newest:
                found = []
                for u in newest:
                    for v in neighbours[u]:
                        if draw() < probability and v not in active:
                            active.add(v)
                            found.append(v)
                newest = found
            sizes.append(len(active))
        return sizes

    return timed(run)


def python_threshold(units: int, tenths: int) -> Entrant:
    """The same for a threshold of so many tenths of the neighbours, in whole numbers."""
    start = sources(units)
    neighbours = neighbours_of(units)
    needs = {u: max(1, -(-tenths * len(near) // 10)) for u, near in neighbours.items()}

    def run(runs: int) -> list[int]:
        sizes = []
        for _ in range(runs):
            active, newest = set(start), start
            load: dict[int, int] = {}
            while newest:
                found = []
                for u in newest:
                    for v in neighbours[u]:
                        if v not in active:
                            load[v] = load.get(v, 0) + 1
                            if load[v] >= needs[v]:
                                active.add(v)
                                found.append(v)
                newest = found
            sizes.append(len(active))
        return sizes

    return timed(run)
