"""Balanced random networks beside Brian2: CPU seconds of one thread for a biological second.

Brunel 2000 (doi:10.1023/A:1008925309027): LIF neurons with delta synapses, τ 20 ms, threshold 20, reset 10, refractory
2 ms, delay 1.5 ms, g = 5, external Poisson input of twice the rate that reaches threshold, dt 0.1 ms; 4,000 neurons
with 400 inputs each, and 20,000 with 1,000. Both get the same wiring and the same potentials to begin with, in double
precision. Brian2 says weights as two constants, which is its faster way, and its seconds are those of the steps alone,
after compilation and the making of synapses; ours are those of the whole call, the laying out of the arcs included.
Mean rates and coefficients of variation must agree within 3 % before a ratio is returned. Brian2 lives in DIR/brian2
(see benchmarks/peers/brian2.txt). Rounds are interleaved; what counts are medians.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from spiked.peers import interpreter

import sparsefire as sf
from sparsefire.randomness import stream
from sparsefire.spiking import LIF, PoissonDrive, Spikes, simulate

PEER = Path(__file__).resolve().parents[1] / "peers" / "brian2_network.py"
TAU, THRESHOLD, RESET, REFRACTORY, DELAY, DT = 20e-3, 20.0, 10.0, 2e-3, 1.5e-3, 1e-4
BALANCE, DRIVEN, REACH = 5.0, 2.0, 100.0  # g, ν_ext/ν_thr, J times excitatory inputs
TRANSIENT = 0.2
APART = 0.03


@dataclass(frozen=True)
class Job:
    """A network, how long it runs, beside whom, and how many times faster we must and could be."""

    units: int
    fan_in: int
    duration: float
    target: str
    floor: float
    stretch: float


JOBS = (
    Job(4_000, 400, 4.0, "cython", 2.2, 6.0),
    Job(4_000, 400, 4.0, "cpp_standalone", 2.2, 6.0),
    Job(20_000, 1_000, 0.6, "cython", 3.0, 6.0),
)


def network(job: Job, rng: int = 0) -> dict[str, Any]:
    """Return who acts on whom and the parameters, the first four fifths excitatory."""
    draw, excitatory = stream(rng, "balanced", job.units), job.units * 4 // 5
    sources = job.fan_in * 4 // 5
    both = ((0, excitatory, sources), (excitatory, job.units, job.fan_in - sources))
    senders = np.concatenate([draw.integers(low, high, (job.units, many)) for low, high, many in both], axis=1).ravel()
    weight = REACH / sources
    return {
        "senders": senders, "receivers": np.repeat(np.arange(job.units), job.fan_in), "units": job.units,
        "excitatory": excitatory, "weight": weight, "inhibitory": -BALANCE * weight, "sources": sources,
        "rate": DRIVEN * THRESHOLD / (weight * sources * TAU), "initial": draw.uniform(0, THRESHOLD, job.units),
        "delay": DELAY, "tau": TAU, "threshold": THRESHOLD, "reset": RESET, "refractory": REFRACTORY, "dt": DT,
        "duration": job.duration,
    }  # fmt: skip


def ours(given: dict[str, Any]) -> Any:
    """Return what simulates the network once, for a seed, and gives CPU seconds and spikes."""
    weights = np.where(given["senders"] < given["excitatory"], given["weight"], given["inhibitory"])
    wiring = sf.Wiring.from_edges(given["senders"], given["receivers"], weights, units=given["units"])
    neurons = LIF(given["units"], TAU, THRESHOLD, RESET, refractory=REFRACTORY)
    drive = PoissonDrive(given["sources"] * given["rate"], given["weight"])
    simulate(wiring, neurons, drive, 10 * DT, DT, delay=DELAY)  # compiles

    def measure(rng: int) -> tuple[float, Spikes]:
        start = time.process_time()
        run = simulate(wiring, neurons, drive, given["duration"], DT, rng, delay=DELAY, initial=given["initial"])
        return time.process_time() - start, run.spikes

    return measure


@contextmanager
def brian2(python: Path, given: dict[str, Any], target: str) -> Iterator[tuple[Any, str]]:
    """Start Brian2 on the network; yield what simulates it once, and the version."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "network.npz", **given)
        command = [str(python), str(PEER), str(folder / "network.npz"), target, str(folder)]
        pipe = subprocess.PIPE
        with (
            open(folder / "log", "w") as log,
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True) as process,
        ):
            answers: Any = process.stdout

            def answer() -> dict[str, Any]:
                for line in answers:
                    if line.startswith("{"):
                        return json.loads(line)
                raise RuntimeError(f"Brian2 ended: {(folder / 'log').read_text()[-800:]}")

            def measure(rng: int) -> tuple[float, Spikes]:
                print(rng, file=process.stdin, flush=True)
                seconds = answer()["seconds"]
                with np.load(folder / "spikes.npz") as found:
                    times = np.minimum(found["times"] + DT, given["duration"])  # named by their beginning there
                    return seconds, Spikes.sorted_from(times, found["units"], given["units"], given["duration"])

            yield measure, answer()["version"]


def moments(spikes: Spikes) -> tuple[float, float]:
    """Return the mean rate in Hz and the mean CV of intervals, after the transient."""
    settled = spikes.between(TRANSIENT, spikes.duration)
    intervals = [np.diff(train) for train in settled.trains()]
    return float(settled.firing_rates.mean()), float(np.mean([x.std() / x.mean() for x in intervals if len(x) > 4]))


def record(job: Job, python: Path, rounds: int) -> dict[str, Any]:
    """Measure one job in turns.

    Raises:
        AssertionError: mean rates or CVs that differ by more than 3 %.
    """
    given = network(job)
    with brian2(python, given, job.target) as (theirs, version):
        runs: dict[str, list[tuple[float, Spikes]]] = {"ours": [], "peer": []}
        mine = ours(given)
        for number in range(rounds):
            runs["ours"].append(mine(number))
            runs["peer"].append(theirs(number))
    seconds = {name: statistics.median(found[0] for found in some) / job.duration for name, some in runs.items()}
    law = {name: np.mean([moments(found[1]) for found in some], axis=0) for name, some in runs.items()}
    apart = np.abs(law["ours"] / law["peer"] - 1)
    assert (apart <= APART).all(), f"rate, CV: {law['ours']} here, {law['peer']} in Brian2 {job.target}"
    ratio = seconds["peer"] / seconds["ours"]
    events = law["ours"][0] * job.units * job.fan_in
    return {
        "area": "spiking", "job": f"balanced network {job.units:,} × {job.fan_in:,}", "unit": "CPU s per biological s",
        "ours": seconds["ours"], "peer": seconds["peer"], "peer_name": f"Brian2 {job.target}", "peer_version": version,
        "ratio": ratio, "floor": job.floor, "stretch": job.stretch, "met": bool(ratio >= job.floor),
        "firing_rate": law["ours"][0], "firing_rate_peer": law["peer"][0], "cv": law["ours"][1],
        "cv_peer": law["peer"][1], "events_per_second": events / seconds["ours"],
    }  # fmt: skip


def records(quick: bool, peers: Path | None) -> list[dict[str, Any]]:
    """Return one record for each job; none where there is no Brian2.

    Args:
        quick: only the small network in Cython, one longer round: its rate fluctuates slowly.
        peers: folder of the environment of Brian2.

    Raises:
        AssertionError: mean rates or CVs that differ by more than 3 %.
    """
    python = interpreter(peers, "brian2")
    if python is None:
        return []
    if quick:
        return [record(replace(JOBS[0], duration=8.0), python, 1)]
    return [record(job, python, 3) for job in JOBS]
