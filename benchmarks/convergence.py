"""How fast risks are simulated, beside torch with all runs in one tensor and NumPy, and what memory that takes.

    python benchmarks/convergence.py            # some minutes
    python benchmarks/convergence.py --quick    # fewer steps, without NumPy
    python benchmarks/convergence.py --json FILE --docs FILE

One step of forward gradients for a linear regression in 20 dimensions, 1,000 runs at once, one thread. CPU seconds are
told for 100,000 steps; all turn by turn for fewer (the cost of a step does not change), and the mean risks of all must
lie within four standard errors of the exact recursion, otherwise there is no table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sparsefire.convergence.exact.risk import exact_risk
from sparsefire.convergence.simulation.simulate import simulate_risk

Record = dict[str, Any]
Risks = np.ndarray  # of all runs at the end
DIMENSION, RUNS, TOLD = 20, 1000, 100_000
FLOORS = {"normal": (1.5, 2.5), "rademacher": (5.0, 8.0)}  # of torch's time over ours: floor and stretch


def schedule(k: Any) -> Any:
    """Return α_k = 1/(k + (d + 2)²)."""
    return 1 / (k + (DIMENSION + 2) ** 2)


def ours(law: str, steps: int, method: str = "auto") -> Risks:
    """Simulate with this package."""
    found = simulate_risk(
        "forward-gradient", dimension=DIMENSION, law=law, steps=steps, step_size=schedule, runs=RUNS, rng=0,
        record=[steps], workers=1, method=method,
    )  # fmt: skip
    return found.values[:, -1]


def with_torch(law: str, steps: int) -> Risks:
    """Simulate with torch in its best form: float32, runs last, room for numbers kept, signs from the bits of words."""
    generator = torch.Generator().manual_seed(0)
    delta = torch.full((DIMENSION, RUNS), DIMENSION**-0.5)
    x, xi, eps = torch.empty(DIMENSION, RUNS), torch.empty(DIMENSION, RUNS), torch.empty(RUNS)
    words, bits = torch.empty(RUNS, dtype=torch.int32), torch.arange(DIMENSION, dtype=torch.int32)[:, None]
    with torch.inference_mode():
        for k in range(1, steps + 1):
            x.normal_(generator=generator)
            eps.normal_(generator=generator)
            if law == "normal":
                xi.normal_(generator=generator)
            else:
                words.random_(generator=generator)
                xi = (((words >> bits) & 1) * 2 - 1).float()
            factor = (eps - (x * delta).sum(0)) * (x * xi).sum(0)
            delta.addcmul_(xi, factor, value=schedule(k))
        return (delta.double() ** 2).sum(0).numpy()


def with_numpy(law: str, steps: int) -> Risks:
    """Simulate with NumPy, float32 numbers (twice as fast as float64)."""
    rng = np.random.default_rng(0)
    delta = np.full((DIMENSION, RUNS), DIMENSION**-0.5, dtype=np.float32)
    for k in range(1, steps + 1):
        x = rng.standard_normal((DIMENSION, RUNS), dtype=np.float32)
        eps = rng.standard_normal(RUNS, dtype=np.float32)
        if law == "normal":
            xi = rng.standard_normal((DIMENSION, RUNS), dtype=np.float32)
        else:
            xi = rng.integers(0, 2, (DIMENSION, RUNS), dtype=np.int8).astype(np.float32) * 2 - 1
        factor = (eps - (x * delta).sum(axis=0)) * (x * xi).sum(axis=0)
        delta += np.float32(schedule(k)) * factor * xi
    return (delta.astype(float) ** 2).sum(axis=0)


def timed(job: Callable[[], Risks], exact: float) -> float:
    """Return CPU seconds of a call whose mean risk must be right."""
    began = time.process_time()
    risks = job()
    spent = time.process_time() - began
    error = risks.std(ddof=1) / np.sqrt(len(risks))
    assert abs(risks.mean() - exact) < 4 * error, (risks.mean(), error, exact)
    return spent


def speed(law: str, peers: dict[str, Callable[[str, int], Risks]], steps: int, rounds: int) -> list[Record]:
    """Measure all turn by turn."""
    ways: dict[str, Callable[[], Risks]] = {"ours": lambda: ours(law, steps)}
    ways |= {name: lambda peer=peer: peer(law, steps) for name, peer in peers.items()}
    ways["vectors"] = lambda: ours(law, steps, "vectors")
    exact = float(
        exact_risk("forward-gradient", dimension=DIMENSION, law=law, steps=steps, step_size=schedule)[-1]
    )  # fmt: skip
    for way in ways.values():
        way()  # compile, warm up
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            spent[name].append(timed(way, exact) * TOLD / steps)
    found = []
    for mine, peer in [("ours", name) for name in peers] + [("vectors", "torch")]:
        ratios = [b / a for a, b in zip(spent[mine], spent[peer], strict=True)]
        floor, stretch = FLOORS[law] if (mine, peer) == ("ours", "torch") else (None, None)
        found.append(
            {
                "area": "convergence",
                "job": f"forward gradient, d = {DIMENSION}, {TOLD:,} steps × {RUNS:,} runs, {law} directions"
                + (", all inputs drawn" if mine == "vectors" else ""),
                "ours": statistics.median(spent[mine]),
                "peer": statistics.median(spent[peer]),
                "peer_name": peer,
                "ratio": statistics.median(ratios),
                "ratio_range": [min(ratios), max(ratios)],
                "floor": floor,
                "stretch": stretch,
                "unit": "CPU s",
                "load": os.getloadavg()[0],
            }
        )
    return found


CHILD = """
import resource, sys
from sparsefire.convergence.simulation.simulate import simulate_risk
def simulate(steps):
    simulate_risk("forward-gradient", dimension=20, steps=steps, step_size=1e-4, runs=1000, rng=0, record=[steps],
                  workers=1, method="vectors")
simulate(10)
began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
simulate(int(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began)
"""


def memory(steps: int) -> Record:
    """Measure how much more memory ten times the steps take, each in a process of its own, beyond 16 bytes a step."""
    grown = []
    for count in (steps, 10 * steps):
        done = subprocess.run([sys.executable, "-c", CHILD, str(count)], capture_output=True, text=True, check=True)
        grown.append(int(done.stdout) / 1024)
    of_all = 8 * (2 * DIMENSION + 1) * RUNS * 10 * steps / 2**20
    allowed = 2 + 5 * 8 * 10 * steps / 2**20  # the schedule and the exact curve: a few numbers per step, none per run
    assert grown[1] <= allowed, grown
    return {
        "area": "convergence", "job": f"peak memory of {10 * steps:,} steps × {RUNS:,} runs beyond 10 steps",
        "ours": grown[1], "peer": of_all, "peer_name": "all numbers at once", "ratio": None,
        "ratio_range": None, "floor": None, "stretch": None, "unit": "MiB", "load": os.getloadavg()[0],
    }  # fmt: skip


PAGE = """# Convergence: how fast risks are simulated

Written by `python benchmarks/convergence.py --docs docs/convergence_speed.md`. CPU seconds of one thread, told for
100,000 steps of 1,000 runs and measured over fewer, turn by turn; medians over {rounds} rounds, the ratio is the median
of the ratios of the rounds, with their range. All mean risks lie within four standard errors of the exact recursion;
otherwise there would be no table. torch {torch} holds all runs in one float32 tensor with the runs last, which is its
fastest form; ours computes in float64 with normal numbers to float32. By itself `simulate_risk` draws only what enters
the risk (`method="auto"`: the chain of ‖δ‖ for normal directions, X′δ and X′ξ in place of X for signs: the same law);
"all inputs drawn" is `method="vectors"`, which does what the others do. Floor and stretch are what the project set
itself to reach. The load is the average of the last minute, of which the measurement itself is 1.

"""


def table(records: list[Record]) -> str:
    """Return the records as a Markdown table."""
    lines = [
        "| job | ours | beside | theirs | unit | ratio | range over rounds | floor | stretch | load |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in records:
        span = "–" if r["ratio_range"] is None else "{:.2f}×–{:.2f}×".format(*r["ratio_range"])
        ratio = "–" if r["ratio"] is None else f"{r['ratio']:.3g}×"
        aims = " | ".join("–" if r[name] is None else f"≥ {r[name]:g}×" for name in ("floor", "stretch"))
        lines.append(
            f"| {r['job']} | {r['ours']:.3g} | {r['peer_name']} | {r['peer']:.3g} | {r['unit']} | {ratio} "
            f"| {span} | {aims} | {r['load']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps and rounds, without NumPy")
    parser.add_argument("--json", type=Path, help="write the records here")
    parser.add_argument("--docs", type=Path, help="write the table of the documentation here")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    steps, rounds = (2000, 3) if given.quick else (4000, 7)
    peers = {"torch": with_torch} if given.quick else {"torch": with_torch, "NumPy": with_numpy}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [line for law in FLOORS for line in speed(law, peers, steps, rounds)]
    found.append(memory(2_000 if given.quick else 20_000))
    print(table(found), end="")
    for line in found:
        if line["floor"] is not None:
            print(f"{line['job']}: floor {'met' if line['ratio'] >= line['floor'] else 'MISSED'}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.docs:
        given.docs.write_text(PAGE.format(rounds=rounds, torch=torch.__version__) + table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
