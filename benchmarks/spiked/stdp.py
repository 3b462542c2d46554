"""A competitive network that learns by STDP beside Brian2: CPU milliseconds of one thread for a sample of 350 ms.

784 inputs that fire 2,214 times in a sample on average, 400 units with conductances, adaptive thresholds and all-to-all
inhibition, triplet STDP with nearest spikes on all 313,600 weights, dt 1 ms, as in Diehl and Cook 2015
(doi:10.3389/fncom.2015.00099) without their inhibitory layer. Both get the same input spikes and weights and do the
same arithmetic, in double precision but for our weights, which are single. Spike counts of all units must be equal and
all weights within 1e-5 before a ratio is returned. Brian2 says the rule as its documentation does, with event-driven
traces of synapses, in C++ standalone; its seconds are those of the steps alone, after compilation and the making of
synapses. Brian2 lives in DIR/brian2 (see benchmarks/peers/brian2.txt). BindsNET is left out: it pins another version of
torch, with CUDA. Rounds are interleaved; what counts are medians.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from spiked.peers import interpreter

from sparsefire.randomness import stream
from sparsefire.spiking import DiehlCook
from sparsefire.spiking.competitive import _build, _kernel

PEER = Path(__file__).resolve().parents[1] / "peers" / "brian2_stdp.py"
INPUTS, UNITS, SPIKES, STEPS, DT = 784, 400, 2214, 350, 1.0
FLOOR, STRETCH = 3.0, 15.0
Found = tuple[float, np.ndarray, np.ndarray]
"""CPU seconds of the steps, spike counts [units], weights [inputs, units]."""


def arrivals(samples: int, rng: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return input spikes [samples · steps, inputs] as zeros and ones, and the images that they come from, in [0, 1].

    Each sample is a bright disc of its own on a dark square; all have the same expected number of spikes.
    """
    draw = stream(rng, "stdp", "discs")
    side = round(INPUTS**0.5)
    row, column = np.divmod(np.arange(INPUTS), side)
    images = np.empty((samples, INPUTS))
    for image in images:
        centre, radius = draw.uniform(0.3 * side, 0.7 * side, 2), draw.uniform(0.17, 0.25) * side
        image[:] = np.exp(-(((row - centre[0]) ** 2 + (column - centre[1]) ** 2) / radius**2))
        image *= image > 0.1
        image *= SPIKES / STEPS / image.sum()
    fired = draw.random((samples, STEPS, INPUTS)) < images[:, None, :]
    return fired.reshape(-1, INPUTS), images / images.max()


def network(rng: int = 0) -> _build.Network:
    """Return the network before it learns."""
    given = DiehlCook(UNITS, INPUTS, inhibition="direct", dt=DT * 1e-3, theta_decay=1e12, rng=rng)
    return _build.build(given, rng)


def ours(fired: np.ndarray) -> Any:
    """Return what lets the network learn from these spikes once, from its beginning, sample by sample."""
    parts = []
    for sample in np.split(fired, len(fired) // STEPS):
        parts.append((np.nonzero(sample)[1].astype(np.int32), np.concatenate([[0], np.cumsum(sample.sum(axis=1))])))
    room = np.empty((2, UNITS), np.int64)

    def measure() -> Found:
        net, counts = network(), np.zeros(UNITS, np.int64)
        start = time.process_time()
        for events, starts in parts:
            _kernel.present(
                events, starts, STEPS, True, net.state, net.cells, net.competition, net.learning, net.senders,
                net.traces, counts, room,
            )  # fmt: skip
        return time.process_time() - start, counts, net.state.weights

    measure()  # compiles
    return measure


def whole(images: np.ndarray, rounds: int) -> float:
    """Return CPU seconds per sample of learning with everything: draws of input spikes, pauses, normalisation."""
    net = DiehlCook(UNITS, INPUTS, inhibition="direct", dt=DT * 1e-3, rate=SPIKES * 1e3 / STEPS / images.sum(1).mean())
    net.fit(images)
    found = []
    for _ in range(rounds):
        shown, start = net.presentations_, time.process_time()
        net.partial_fit(images)
        found.append((time.process_time() - start) / (net.presentations_ - shown))
    return statistics.median(found)


@contextmanager
def brian2(python: Path, fired: np.ndarray, target: str) -> Iterator[tuple[Any, str]]:
    """Start Brian2 on the network; yield what lets it learn once, and the version."""
    net = network()
    cell, rule = net.cells[0], net.learning
    steps, inputs = np.nonzero(fired)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(
            folder / "network.npz", steps=steps, inputs=inputs, duration=len(fired), dt=DT, weights=net.state.weights,
            theta=net.state.theta, h=cell.h, keep_e=cell.keep_e, keep_i=cell.keep_i, wait=cell.wait,
            level=cell.threshold, jump=net.competition.jump, strength=net.competition.inhibition, pre=rule.a_minus,
            post=rule.a_plus, taus=[20.0, 20.0, 40.0],
        )  # fmt: skip
        command = [str(python), str(PEER), str(folder / "network.npz"), target, str(folder)]
        with (
            open(folder / "log", "w") as log,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
        ):
            answers: Any = process.stdout

            def answer() -> dict[str, Any]:
                for line in answers:
                    if line.startswith("{"):
                        return json.loads(line)
                raise RuntimeError(f"Brian2 ended: {(folder / 'log').read_text()[-800:]}")

            def measure() -> Found:
                print("again", file=process.stdin, flush=True)
                seconds = answer()["seconds"]
                with np.load(folder / "found.npz") as found:
                    return seconds, np.bincount(found["units"], minlength=UNITS), found["weights"]

            yield measure, answer()["version"]


def agree(mine: Found, theirs: Found, start: np.ndarray) -> dict[str, float]:
    """Return how far apart counts and weights are.

    Raises:
        AssertionError: a unit with another number of spikes, or a weight that is off by more than 1e-5.
    """
    counts, weights = np.abs(mine[1] - theirs[1]).max(), np.abs(mine[2] - theirs[2]).max()
    assert counts == 0, f"spikes of a unit differ by {counts}: {mine[1].sum()} here, {theirs[1].sum()} in Brian2"
    assert weights <= 1e-5, f"weights differ by {weights:.2g}"
    moved = float(np.abs(mine[2] - start).max())
    assert moved > 1e-3, f"weights moved by no more than {moved:.2g}"
    return {"weights_apart": float(weights), "weights_moved": moved}


def records(quick: bool, peers: Path | None) -> list[dict[str, Any]]:
    """Return the record of the job; none where there is no Brian2.

    Args:
        quick: two samples beside Brian2's NumPy, which needs no compiler, instead of eight beside C++ standalone.
        peers: folder of the environment of Brian2.

    Raises:
        AssertionError: spike counts or weight changes that differ.
    """
    python = interpreter(peers, "brian2")
    if python is None:
        return []
    samples, rounds, target = (2, 1, "numpy") if quick else (8, 7, "cpp_standalone")
    fired, images = arrivals(samples)
    mine = ours(fired)
    runs: dict[str, list[Found]] = {"ours": [], "peer": []}
    with brian2(python, fired, target) as (theirs, version):
        for _ in range(rounds):
            runs["ours"].append(mine())
            runs["peer"].append(theirs())
    apart = agree(runs["ours"][0], runs["peer"][0], network().state.weights)
    ms = {name: 1e3 * statistics.median(found[0] for found in some) / samples for name, some in runs.items()}
    ratio = ms["peer"] / ms["ours"]
    return [{
        "area": "spiking", "job": "STDP, 784 × 400, a sample of 350 ms", "unit": "CPU ms per sample",
        "ours": ms["ours"], "peer": ms["peer"], "peer_name": f"Brian2 {target}", "peer_version": version,
        "ratio": ratio, "floor": FLOOR, "stretch": STRETCH, "met": bool(ratio >= FLOOR),
        "with_draws_pause_and_norm": 1e3 * whole(images, rounds),
        "input_spikes": fired.sum() / samples, "spikes": int(runs["ours"][0][1].sum()) / samples, **apart,
    }]  # fmt: skip
