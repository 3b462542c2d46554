"""How much faster sixty small trainings run in two workers than one after the other.

    python benchmarks/throughput.py [--quick] [--json FILE] [--docs FILE] [--workers N]

The peer is the plain loop that anybody would write, with one thread per training (more threads make networks this small
slower). Rounds are interleaved, workers are warm, and both must give the same numbers to the last bit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from sparsefire.parallel import one_thread, run_all, workers_available

TARGET = 1.7  # on two cores


def small_run(job: dict[str, Any]) -> tuple[float, str, float]:
    """Train one small sparse network on the digits; return accuracy, a digest of its weights, and CPU seconds."""
    import hashlib

    from sklearn.datasets import load_digits

    from sparsefire.train import Training, build, outputs_of, train

    start = time.process_time()
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    net = build({"kind": "mlp", "widths": [64, 256, 256, 10]}, rng=job["rng"])
    training = Training(method=job["method"], density=job["density"], epochs=job.get("epochs", 10))
    net = train(net, x[:1400], y[:1400], training, task="classification", rng=job["rng"])
    weights = b"".join(parameter.detach().numpy().tobytes() for parameter in net.parameters())
    accuracy = float(np.mean(outputs_of(net, x[1400:]).argmax(axis=1) == y[1400:]))
    return accuracy, hashlib.sha256(weights).hexdigest(), time.process_time() - start


PAGE = """# Throughput: small runs on two workers

Written by `python benchmarks/throughput.py --docs docs/throughput.md`: the same trainings in a loop with one thread and
through `sparsefire.parallel.run_all`, three times in turns, with results asserted equal to the last bit. Times are
means over the turns, the ratio is theirs; the range is over the turns and shows how noisy the machine was.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="at most a minute")
    parser.add_argument("--json", type=Path, help="write the records here")
    parser.add_argument("--docs", type=Path, help="write the table of the documentation here")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()

    rounds, count = (1, 24) if given.quick else (3, 60)
    jobs = [{"rng": i, "method": ("gmp", "static")[i % 2], "density": (0.2, 0.05)[i // 2 % 2]} for i in range(count)]
    with one_thread():
        small_run(jobs[0])  # imports
    start = time.perf_counter()
    list(run_all(small_run, [{**jobs[0], "epochs": 1}] * 4 * given.workers, workers=given.workers))
    warm_up = time.perf_counter() - start

    ours, peer, own, cpu_ours, cpu_peer = [], [], [], 0.0, 0.0
    for number in range(rounds):
        loop, start = [], time.perf_counter()
        for job in jobs:
            with one_thread():
                loop.append(small_run(job))
        peer.append(time.perf_counter() - start)
        start = time.perf_counter()
        found = dict(run_all(small_run, jobs, workers=given.workers, progress=lambda _, seconds: own.append(seconds)))
        ours.append(time.perf_counter() - start)
        assert [found[i][:2] for i in range(len(jobs))] == [run[:2] for run in loop], "the workers found other numbers"
        cpu_ours += sum(run[2] for run in found.values())
        cpu_peer += sum(run[2] for run in loop)
        print(
            f"round {number + 1} of {rounds}: loop {peer[-1]:.2f} s, {given.workers} workers {ours[-1]:.2f} s",
            flush=True,
        )

    ratios = [b / a for a, b in zip(ours, peer, strict=True)]
    record = {
        "area": "studies",
        "job": f"{len(jobs)} trainings of 64-256-256-10 on 1,400 digits, 10 epochs each, {given.workers} workers",
        "ours": sum(ours) / rounds,
        "peer": sum(peer) / rounds,
        "peer_name": "a loop, one thread",
        "ratio": sum(peer) / sum(ours),
        "unit": "s",
        "cpu_ours": cpu_ours / rounds,
        "cpu_peer": cpu_peer / rounds,
        "ratio_range": [min(ratios), max(ratios)],
        "seconds_per_run": statistics.median(own),
        "warm_up": warm_up,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "cores": workers_available(),
    }
    table = (
        "| job | loop, s | workers, s | ratio | range over rounds | CPU s, loop / workers | load |\n"
        "|---|---|---|---|---|---|---|\n"
        f"| {record['job']} | {record['peer']:.1f} | {record['ours']:.1f} | {record['ratio']:.2f} "
        f"| {min(ratios):.2f}–{max(ratios):.2f} | {record['cpu_peer']:.1f} / {record['cpu_ours']:.1f} "
        f"| {record['load'] or 0:.1f} |\n"
    )
    print(table, end="")
    print(f"results agree to the last bit; target {TARGET} on two free cores")
    if given.json:
        given.json.write_text(json.dumps([record], indent=1) + "\n")
    if given.docs:
        given.docs.write_text(PAGE + table)


if __name__ == "__main__":
    main()
