"""A competitive network that learns by STDP beside Brian2 and BindsNET: CPU ms of one thread for a sample of 350 ms.

784 inputs that fire 2,214 times in a sample on average, 400 units with conductances, adaptive thresholds and all-to-all
inhibition, triplet STDP with nearest spikes on all 313,600 weights, dt 1 ms, as in Diehl and Cook 2015
(doi:10.3389/fncom.2015.00099) without their inhibitory layer. Both get the same input spikes and weights and do the
same arithmetic, in double precision but for our weights, which are single. Spike counts of all units must be equal and
all weights within 1e-5 before a ratio is returned. Brian2 says the rule as its documentation does, with event-driven
traces of synapses, in C++ standalone; its seconds are those of the steps alone, after compilation and the making of
synapses. Brian2 lives in DIR/brian2 (see benchmarks/peers/brian2.txt). Rounds are interleaved; what counts are medians.

BindsNET (in DIR/bindsnet, see benchmarks/peers/bindsnet.txt) has the network with the inhibitory layer, with pairs of
spikes instead of triplets and neurons without conductances, of which one alone may fire in a step. So ours learns from
the same input spikes and weights by pairs as well, with its layer and normalisation, but units fire at other times.
What is asserted is that BindsNET's weights are, within 1e-5, those of that rule at the spikes of its own units.
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
from sparsefire.spiking import CompetitiveRule, DiehlCook
from sparsefire.spiking.competitive import _build, _kernel

PEERS = Path(__file__).resolve().parents[1] / "peers"
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


def network(*, layer: bool = False) -> _build.Network:
    """Return the network before it learns: by triplets, or with an inhibitory layer and by pairs."""
    kind = "layer" if layer else "direct"
    rule = CompetitiveRule(triplet=not layer)
    return _build.build(DiehlCook(UNITS, INPUTS, rule=rule, inhibition=kind, dt=DT * 1e-3, theta_decay=1e12), 0)


def ours(fired: np.ndarray, *, layer: bool = False) -> Any:
    """Return what lets the network learn from these spikes once, from its beginning, sample by sample.

    With the layer, weights are made to add up after each sample.
    """
    parts = []
    for sample in np.split(fired, len(fired) // STEPS):
        parts.append((np.nonzero(sample)[1].astype(np.int32), np.concatenate([[0], np.cumsum(sample.sum(axis=1))])))
    room = np.empty((2, UNITS), np.int64)

    def measure() -> Found:
        net, counts = network(layer=layer), np.zeros(UNITS, np.int64)
        start = time.process_time()
        for events, starts in parts:
            _kernel.present(
                events, starts, STEPS, True, net.state, net.cells, net.competition, net.learning, net.senders,
                net.traces, counts, room,
            )  # fmt: skip
            if layer:
                _kernel.normalise(net.state.weights, net.senders, np.arange(UNITS), net.learning.total)
        return time.process_time() - start, counts, net.state.weights

    measure()  # compiles
    return measure


def whole(images: np.ndarray, rounds: int) -> float:
    """Return CPU seconds per sample of learning with everything: draws of input spikes, pauses, normalisation."""
    rate = SPIKES * 1e3 / STEPS / images.sum(1).mean()
    net = DiehlCook(UNITS, INPUTS, inhibition="direct", dt=DT * 1e-3, rate=rate, random_state=0)
    net.fit(images)
    found = []
    for _ in range(rounds):
        shown, start = net.presentations_, time.process_time()
        net.partial_fit(images)
        found.append((time.process_time() - start) / (net.presentations_ - shown))
    return statistics.median(found)


@contextmanager
def conversation(command: list[str], folder: Path) -> Iterator[Any]:
    """Start a peer; yield what returns its next answer, after a line that asks for it if ``again``."""
    with (
        open(folder / "log", "w") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        answers: Any = process.stdout

        def answer(again: bool = True) -> dict[str, Any]:
            if again:
                print("again", file=process.stdin, flush=True)
            for line in answers:
                if line.startswith("{"):
                    return json.loads(line)
            raise RuntimeError(f"the peer ended: {(folder / 'log').read_text()[-800:]}")

        yield answer


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
        command = [str(python), str(PEERS / "brian2_stdp.py"), str(folder / "network.npz"), target, str(folder)]
        with conversation(command, folder) as answer:

            def measure() -> Found:
                seconds = answer()["seconds"]
                with np.load(folder / "found.npz") as found:
                    return seconds, np.bincount(found["units"], minlength=UNITS), found["weights"]

            yield measure, answer(again=False)["version"]


def by_pairs(weights: np.ndarray, fired: np.ndarray, units: np.ndarray, rule: _kernel.Learning) -> np.ndarray:
    """Return weights [inputs, units] after samples: nearest pairs within [0, 1], and sums after each sample.

    Args:
        fired, units: spikes [samples, steps, inputs] and [samples, steps, units]; those of a step are pairs.
    """
    w, x, y, keep = weights.astype(float), np.zeros(fired.shape[2]), np.zeros(units.shape[2]), np.exp(-DT / 20)
    for inputs_of_all, units_of_all in zip(fired.astype(bool), units, strict=True):
        for came, went in zip(inputs_of_all, units_of_all, strict=True):
            x, y = np.where(came, 1.0, x * keep), np.where(went, 1.0, y * keep)
            w[came] -= rule.a_minus * y
            w[:, went] += rule.a_plus * x[:, None]
            np.clip(w, 0.0, 1.0, out=w)
        w *= rule.total / w.sum(axis=0)
    return w


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
    """Return the records of the job, for those peers that are there.

    Args:
        quick: two samples beside Brian2's NumPy, which needs no compiler, instead of eight beside C++ standalone.
        peers: folder of the environments.

    Raises:
        AssertionError: spike counts or weight changes that differ.
    """
    return beside_brian2(quick, peers) + beside_bindsnet(quick, peers)


def beside_bindsnet(quick: bool, peers: Path | None) -> list[dict[str, Any]]:
    """Return the record of pairs with an inhibitory layer."""
    python = interpreter(peers, "bindsnet")
    if python is None:
        return []
    samples, rounds = (2, 1) if quick else (8, 7)
    fired = arrivals(samples)[0]
    start, rule = network(layer=True).state.weights, network(layer=True).learning
    mine, runs = ours(fired, layer=True), []
    parts = fired.reshape(samples, STEPS, INPUTS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(
            folder / "network.npz", fired=parts, weights=start, pre=rule.a_minus, post=rule.a_plus, total=rule.total
        )
        command = [str(python), str(PEERS / "bindsnet_stdp.py"), str(folder / "network.npz"), str(folder)]
        with conversation(command, folder) as answer:
            version = answer(again=False)["version"]
            with np.load(folder / "found.npz") as found:
                units, weights = found["units"], found["weights"]
            for _ in range(rounds):
                runs.append((mine(), answer()["seconds"]))
    again = (0.0, units.sum(axis=(0, 1)), by_pairs(start, parts, units, rule))
    apart = agree(again, (0.0, again[1], weights), start)
    ms = [
        1e3 * statistics.median(some) / samples
        for some in ([own[0] for own, _ in runs], [theirs for _, theirs in runs])
    ]
    return [{
        "area": "spiking", "job": "STDP by pairs, inhibitory layer, 784 × 400, a sample of 350 ms",
        "unit": "CPU ms per sample", "ours": ms[0], "peer": ms[1], "peer_name": "BindsNET", "peer_version": version,
        "ratio": ms[1] / ms[0], "input_spikes": fired.sum() / samples, "spikes": int(runs[0][0][1].sum()) / samples,
        "peer_spikes": int(units.sum()) / samples, **apart,
    }]  # fmt: skip


def beside_brian2(quick: bool, peers: Path | None) -> list[dict[str, Any]]:
    """Return the record of triplets with direct inhibition."""
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
