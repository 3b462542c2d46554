"""The job that reads a large file and runs cascades on it, in a process of its own so that its memory is known."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cascade_speed.comparison import MOST_ERRORS, Effort, Record, record
from cascade_speed.graphs import MEAN_DEGREE, SOURCES, sources
from sparsefire.cascades import IndependentCascade
from sparsefire.randomness import stream
from sparsefire.wiring import read_edges

SCRIPT = Path(__file__).resolve().parents[1] / "cascades.py"


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
        command = [sys.executable, str(SCRIPT), "--read", str(path), str(units)]
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
