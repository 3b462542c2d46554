"""How fast cascades are sampled and their exact laws found, beside the packages that do the same.

    python benchmarks/cascades.py [--quick] [--json FILE] [--docs FILE] [--rounds N] [--only NAME] [--peers-venv DIR]

Every graph is made once and handed to all. Rounds are interleaved, everybody is warm before the first, and what counts
is CPU seconds of one thread. Before a ratio is printed, mean sizes must agree within four standard errors of their
difference, exact laws to 1e-12. CyNetDiff, EoN and networkx come with ``pip install 'sparsefire[bench]'``; NDlib lives
in an environment of its own, which ``--peers-venv`` makes from benchmarks/peers/ndlib.txt if it is not there.
"""

from __future__ import annotations

import argparse
import array
import functools
import gc
import importlib.util
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sparsefire.cascades import CascadeModel, IndependentCascade, LinearThreshold, SizeDistribution, Threshold
from sparsefire.parallel import workers_available
from sparsefire.randomness import stream
from sparsefire.wiring import Wiring, fixed_arcs, random_tree, read_edges

HERE = Path(__file__).resolve().parent
OURS = "sparsefire"
DISTRIBUTIONS = {"CyNetDiff": "cynetdiff", "EoN": "EoN", "networkx loop": "networkx"}
MEAN_DEGREE = 10
SOURCES = 20
TRIVALENCY = (0.1, 0.01, 0.001)  # Chen, Wang, Wang 2010, doi:10.1145/1835804.1835934
MOST_ERRORS = 4.0  # standard errors that two mean sizes may lie apart
MOST_APART = 1e-12  # by which two exact laws may differ
Record = dict[str, Any]


class Turn(NamedTuple):
    """What one measurement gave: final sizes [runs] and the CPU seconds of all of them."""

    sizes: np.ndarray
    seconds: float


Entrant = Callable[[int], Turn]  # how many runs


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, CPU seconds of one turn, and the environment of NDlib, if any."""

    rounds: int = 5
    seconds: float = 1.0
    ndlib: Path | None = None


@functools.cache
def graph(units: int) -> Wiring:
    """Return the random graph of all rows of this size: 5 n undirected edges, both directions tried independently."""
    return fixed_arcs(units, units * MEAN_DEGREE // 2, directed=False, rng=1)


@functools.cache
def sources(units: int) -> list[int]:
    """Return who starts every cascade."""
    return sorted(stream(1, "sources").choice(units, SOURCES, replace=False).tolist())


@functools.cache
def graph_of_networkx(units: int) -> Any:
    import networkx as nx

    found = nx.Graph()
    found.add_nodes_from(range(units))
    found.add_edges_from(zip(graph(units).senders.tolist(), graph(units).receivers.tolist(), strict=True))
    return found


@functools.cache
def neighbours_of(units: int) -> dict[int, list[int]]:
    return {u: list(near) for u, near in graph_of_networkx(units).adjacency()}


def timed(run: Callable[[int], Any]) -> Entrant:
    """Return an entrant that measures itself, without the collection of cycles, as ``timeit`` does."""

    def measure(runs: int) -> Turn:
        gc.disable()
        start = time.process_time()
        sizes = run(runs)
        seconds = time.process_time() - start
        gc.enable()
        return Turn(np.asarray(sizes), seconds)

    return measure


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


@contextmanager
def ndlib(environment: Path, units: int, probability: float) -> Iterator[tuple[Entrant, str]]:
    """Start NDlib in its own environment; yield the entrant, which counts its own CPU seconds, and the version."""
    wiring = graph(units)
    once = wiring.senders < wiring.receivers
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edges.npz"
        np.savez(
            path, senders=wiring.senders[once], receivers=wiring.receivers[once], units=units, sources=sources(units),
            probability=probability,
        )  # fmt: skip
        command = [str(interpreter(environment)), str(HERE / "peers" / "ndlib_cascades.py"), str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            answers: Any = process.stdout

            def measure(runs: int) -> Turn:
                print(runs, file=process.stdin, flush=True)
                found = json.loads(answers.readline())
                return Turn(np.asarray(found["sizes"]), found["seconds"])

            yield measure, json.loads(answers.readline())["version"]


def interpreter(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make_environment(environment: Path) -> None:
    """Make the environment of NDlib if it is not there."""
    if not interpreter(environment).exists():
        venv.create(environment, with_pip=True)
        wanted = str(HERE / "peers" / "ndlib.txt")
        subprocess.run([str(interpreter(environment)), "-m", "pip", "install", "-q", "-r", wanted], check=True)


def enough(entrant: Entrant, seconds: float) -> int:
    """Return how many runs take so long; the first call compiles or fills caches and does not count."""
    entrant(1)
    runs = 1
    while (spent := entrant(runs).seconds) < seconds / 4:
        runs *= 4
    return max(1, round(runs * seconds / spent))


def standard_errors(a: np.ndarray, b: np.ndarray) -> float:
    """Return how many standard errors two mean sizes lie apart; equal laws have one variance, so it is pooled."""
    difference = abs(float(np.mean(a) - np.mean(b)))
    squares = len(a) * np.var(a) + len(b) * np.var(b)
    error = float(np.sqrt(squares / max(len(a) + len(b) - 2, 1) * (1 / len(a) + 1 / len(b))))
    return difference / error if error else (np.inf if difference else 0.0)


def record(job: str, unit: str, figures: Record, floor: float | None, stretch: float | None, on: str) -> Record:
    """Return a record; targets are at least so much where they are ``on`` the ratio, at most where on our figure."""
    value = figures[on]
    return {
        "area": "cascades",
        "job": job,
        "unit": unit,
        **figures,
        "floor": floor,
        "stretch": stretch,
        "target_on": on,
        "met": None if floor is None else bool(value >= floor if on == "ratio" else value <= floor),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "cores": workers_available(),
    }


def compare(
    job: str,
    entrants: dict[str, Entrant],
    effort: Effort,
    floor: float | None = None,
    stretch: float | None = None,
    versions: dict[str, str] | None = None,
) -> list[Record]:
    """Let the first entrant run beside all others, in turns; the targets are for its ratio to the second.

    Raises:
        AssertionError: mean sizes that differ.
    """
    runs = {name: enough(entrant, effort.seconds) for name, entrant in entrants.items()}
    turns: dict[str, list[Turn]] = {name: [] for name in entrants}
    for number in range(effort.rounds):
        for name in list(entrants)[:: -1 if number % 2 else 1]:
            turns[name].append(entrants[name](runs[name]))
    sizes = {name: np.concatenate([turn.sizes for turn in found]) for name, found in turns.items()}
    rates = {name: [runs[name] / turn.seconds for turn in found] for name, found in turns.items()}
    first, *peers = entrants
    found = []
    for number, name in enumerate(peers):
        apart = standard_errors(sizes[first], sizes[name])
        assert apart <= MOST_ERRORS, (
            f"{job}: {first} {sizes[first].mean():.2f}, {name} {sizes[name].mean():.2f}, {apart:.1f} standard errors"
        )
        ratios = [a / b for a, b in zip(rates[first], rates[name], strict=True)]
        figures = {
            "ours": statistics.median(rates[first]),
            "peer": statistics.median(rates[name]),
            "peer_name": name,
            "peer_version": (versions or {}).get(name) or version(DISTRIBUTIONS[name]),
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
            "rounds": effort.rounds,
            "runs": [runs[first], runs[name]],
            "mean_size": [float(sizes[first].mean()), float(sizes[name].mean())],
            "standard_errors_apart": apart,
        }
        targets = (floor, stretch) if number == 0 else (None, None)
        found.append(record(job, "cascades per CPU s", figures, *targets, "ratio"))
    return found


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


def by_roots_of_unity(parents: np.ndarray, p: float, q: float, points: int = 512) -> np.ndarray:
    """Return P(size) on a tree, float64 [n + 1], from its generating function at roots of unity (plain NumPy).

    An edge is open with probability p once for all, and a cascade is what open edges join to a source. For the cluster
    of a unit within its subtree, y counting active units below: X, as if it were active; W, the same without a source
    in it; Z, inactive and without a source. A child joins by p (X, W, Z) + (1 - p) E with E = Z + X - W.

    Args:
        parents: of units 1 … n - 1, each before its child.
        p, q: of an edge to be open, of a unit to be a source.
        points: at once.
    """
    n = len(parents) + 1
    values = np.empty((n + 1) // 2 + 1, np.complex128)  # the other half is conjugate
    for low in range(0, len(values), points):
        y = np.exp(-2j * np.pi / (n + 1) * np.arange(low, min(low + points, len(values))))
        messages = np.tile(np.stack([y, (1 - q) * y, np.full_like(y, 1 - q)]), (n, 1, 1))  # X, W, Z of every unit
        for child in range(n - 1, 0, -1):
            x, w, z = messages[child]
            messages[parents[child - 1]] *= p * messages[child] + (1 - p) * (z + x - w)
        x, w, z = messages[0]
        values[low : low + len(y)] = z + x - w
    return np.fft.irfft(values, n + 1)


def exact_law(effort: Effort, units: int, target: float, stretch: float) -> list[Record]:
    """The minimum of ten timings, beside the minimum of the second route in as many rounds as are asked for."""
    wiring = random_tree(units, "recursive", rng=1)
    down = wiring.senders < wiring.receivers
    parents = wiring.senders[down][np.argsort(wiring.receivers[down])]
    model, chances = IndependentCascade(wiring, 0.5), np.full(units, 0.01)
    law: SizeDistribution = model.size_distribution(chances, "tree")  # compiles
    seconds, other = [], []
    for number in range(10):
        start = time.process_time()
        law = model.size_distribution(chances, "tree")
        seconds.append(time.process_time() - start)
        if number < effort.rounds:
            start = time.process_time()
            second = by_roots_of_unity(parents, 0.5, 0.01)
            other.append(time.process_time() - start)
            apart = float(np.abs(law.pmf - second).max())
            assert apart <= MOST_APART, f"the exact laws of {units:,} units differ by {apart:.1e}"
    figures = {
        "ours": min(seconds),
        "peer": min(other),
        "peer_name": "roots of unity in NumPy",
        "peer_version": version("numpy"),
        "ratio": min(other) / min(seconds),
        "ratio_range": None,
        "rounds": effort.rounds,
        "largest_difference": apart,
    }
    job = f"exact law of the size, random recursive tree, n = {units:,}, p = 0.5, q = 0.01"
    return [record(job, "CPU s", figures, target, stretch, "ours")]


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


def large_file(effort: Effort, units: int) -> list[Record]:
    """Read ``5 units`` edges from a Parquet file and run 1,000 cascades, in a process of its own."""
    import duckdb
    import pandas as pd

    draw = stream(1, "large file")
    columns = {name: draw.integers(0, units, units * MEAN_DEGREE // 2) for name in ("sender", "receiver")}
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(":memory:") as connection:
        path = Path(folder) / "edges.parquet"
        connection.register("edges", pd.DataFrame(columns))
        connection.execute(f"COPY edges TO '{path}' (FORMAT parquet)")
        command = [sys.executable, __file__, "--read", str(path), str(units)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["standard_errors_apart"] <= MOST_ERRORS, f"cascades of the large file: {found}"
    figures = {"ours": found["peak"], "peer": None, "peer_name": None, "peer_version": None, "ratio": None}
    job = f"{len(columns['sender']):,} undirected edges from a Parquet file, 1,000 independent cascades, p = 0.05"
    return [record(job, "GiB at most in use", figures | {"ratio_range": None, **found}, 4.0, None, "ours")]


def read_and_run(path: Path, units: int, probability: float = 0.05, runs: int = 1000) -> Record:
    """Return seconds, peak memory in GiB, and how far the mean size is from that of the branching process.

    On a sparse random graph, sources with D arcs in all reach 20 + p D / (1 - p · mean degree) units, up to O(1/n).
    """
    start = time.perf_counter()
    wiring = read_edges(path, units=units, directed=False)
    read = time.perf_counter()
    sizes = IndependentCascade(wiring, probability).sample(sources(units), runs, rng=1).sizes
    done = time.perf_counter()
    arcs = int(wiring.out_degrees[sources(units)].sum())
    expected = SOURCES + probability * arcs / (1 - probability * MEAN_DEGREE)
    return {
        "peak": peak_memory() / 2**30,
        "seconds_reading": read - start,
        "seconds_running": done - read,
        "mean_size": [float(sizes.mean()), expected],
        "standard_errors_apart": abs(float(sizes.mean()) - expected) / float(sizes.std() / len(sizes) ** 0.5),
    }


def peak_memory() -> int:
    """Return the bytes that this process had in use at most."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage also counts what the parent had when it started us
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


SMALL, LARGE = 100_000, 1_000_000
JOBS: dict[str, Callable[[Effort], list[Record]]] = {
    "independent-0.05": lambda effort: independent(effort, SMALL, 0.05, 5, 10),
    "independent-0.12": lambda effort: independent(effort, SMALL, 0.12, 4, 10),
    "edges-0.05": lambda effort: per_edge(effort, SMALL, 0.05, 3, 6),
    "edges-0.12": lambda effort: per_edge(effort, SMALL, 0.12, 3, 6),
    "edges-trivalency": lambda effort: per_edge(effort, SMALL, None, 3, 6),
    "linear-threshold": lambda effort: linear_threshold(effort, SMALL, 5, 10),
    "watts": lambda effort: watts(effort, SMALL),
    "tree-1000": lambda effort: exact_law(effort, 1_000, 0.02, 0.01),
    "workers": lambda effort: two_workers(effort, SMALL),
    "tree-10000": lambda effort: exact_law(effort, 10_000, 1.0, 0.4),
    "large-0.05": lambda effort: independent(effort, LARGE, 0.05, 3, 8),
    "large-0.12": lambda effort: independent(effort, LARGE, 0.12, 4, 8),
    "large-linear-threshold": lambda effort: linear_threshold(effort, LARGE, 4, 10),
    "file": lambda effort: large_file(effort, 2 * LARGE),
}
QUICK = tuple(JOBS)[:9]

PAGE = """# Cascades: how fast

Written by `python benchmarks/cascades.py --docs docs/cascade_speed.md`. One random graph per size (5 n undirected
edges, mean degree 10, both directions tried independently) and one set of 20 sources, the same for everybody. Rounds
are interleaved; the figures are medians over {rounds} rounds, the ratio is the median of the ratios of the rounds, with
their range. Mean sizes agree within four standard errors of their difference, exact laws to 1e-12; otherwise there
would be no table. Floor and stretch are what the project set itself to reach. The load is the average of the last
minute, of which the measurement itself is 1.

{versions}.

"""


def figure(value: float | None) -> str:
    """Return three digits."""
    if value is None:
        return "–"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:.3g}"


def row(found: Record) -> str:
    """Return the line of a record."""
    times, least = ("×", "≥ ") if found["target_on"] == "ratio" else ("", "≤ ")
    targets = [least + figure(found[name]) + times if found[name] else "–" for name in ("floor", "stretch")]
    spread = "–" if found["ratio_range"] is None else "–".join(figure(end) + "×" for end in found["ratio_range"])
    cells = [
        found["job"] + ", " + found["unit"],
        figure(found["ours"]),
        found["peer_name"] or "–",
        figure(found["peer"]),
        "–" if found["ratio"] is None else figure(found["ratio"]) + "×",
        spread,
        *targets,
        {None: "–", True: "yes", False: "no"}[found["met"]],
        figure(found["load"]),
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| job | ours | beside | theirs | ratio | range over rounds | floor | stretch | floor met | load |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)


def page(records: list[Record]) -> str:
    """Return the page of the documentation."""
    known = {f"{found['peer_name']} {found['peer_version']}" for found in records if found["peer_version"]}
    rounds = max(found.get("rounds", 1) for found in records)
    versions = f"sparsefire {version('sparsefire')} beside " + ", ".join(sorted(known, key=str.lower) or ["nobody"])
    notes = [
        f"The file of {found['job'].split(' from')[0]} was read in {found['seconds_reading']:.1f} s and its cascades "
        f"took {found['seconds_running']:.2f} s, with {found['ours']:.2f} GiB in use at most.\n"
        for found in records
        if "seconds_reading" in found
    ]
    table = HEAD + "\n".join(map(row, records)) + "\n"
    return PAGE.format(rounds=rounds, versions=versions) + "\n".join([table, *notes])


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="at most a minute: two short rounds, small graphs")
    parser.add_argument("--json", type=Path, help="write the records here")
    parser.add_argument("--docs", type=Path, help="write the table of the documentation here")
    parser.add_argument("--rounds", type=int, help="of every job (default 5, 2 if quick)")
    parser.add_argument("--only", help=f"jobs whose names begin so: {', '.join(JOBS)}")
    parser.add_argument("--peers-venv", type=Path, help="the environment of NDlib, made if it is not there")
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)  # the process that reads the large file
    given = parser.parse_args(arguments)
    if given.read:
        print(json.dumps(read_and_run(Path(given.read[0]), int(given.read[1]))))
        return
    missing = [name for name in DISTRIBUTIONS.values() if importlib.util.find_spec(name) is None]
    if missing:
        parser.error(f"there is nobody to compare with: pip install 'sparsefire[bench]' brings {', '.join(missing)}")
    names = [name for name in JOBS if name.startswith(given.only or "") and (not given.quick or name in QUICK)]
    if not names or (given.rounds is not None and given.rounds < 1):
        parser.error(f"--only is the beginning of one of {', '.join(JOBS)}, --rounds at least 1")
    rounds = given.rounds or (2 if given.quick else 5)
    if given.peers_venv:
        make_environment(given.peers_venv)
    elif not given.quick:
        print("NDlib is left out: --peers-venv names the environment it is in, or where to make it.", flush=True)
    effort = Effort(rounds, 0.2 if given.quick else 1.0, None if given.quick else given.peers_venv)

    start, records = time.perf_counter(), []
    print(HEAD, end="", flush=True)
    for name in names:
        found = JOBS[name](effort)
        print(*map(row, found), sep="\n", flush=True)
        records += found
    print(f"results agree; {time.perf_counter() - start:.0f} s in all")
    if given.json:
        given.json.write_text(json.dumps(records, indent=1) + "\n")
    if given.docs:
        given.docs.write_text(page(records))


if __name__ == "__main__":
    main()
