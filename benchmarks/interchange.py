"""Do others find the same: spikes of NIR files, operations of a network, statistics of spike trains?

    python benchmarks/interchange.py [--json] [--peers DIR]

spikes        the files that are written here, run by snnTorch and Norse: spike by spike, 300 steps of 16 sequences
operations    effective and dense ones and sparsities of a masked network, counted by NeuroBench
statistics    of two spike trains, by elephant

snnTorch runs in this environment, if it is installed; the others live in environments DIR/norse, DIR/neurobench and
DIR/elephant, made from the files in benchmarks/peers; those that are not there are left out. The exit code is 0 where
all that ran agree.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spiked.peers import interpreter
from torch import Tensor, nn

import sparsefire as sf
from sparsefire import spiking
from sparsefire.deploy import to_nir
from sparsefire.randomness import stream
from sparsefire.spiking import LIF, CubaLIF, Sequential

Record = dict[str, Any]
SNNTORCH_DT = 1e-4  # fixed in its importer
PEERS = Path(__file__).resolve().parent / "peers"
STEPS, BATCH = 300, 16
ROUNDING = 1e-12
"""Numbers whose ratio is nearer to 1 than this are the same."""


def networks(dt: float) -> dict[str, Sequential]:
    """Return networks by name, Euler steps and exponential ones."""
    made = {}
    for how in ("euler", "exponential"):
        options = {"dt": dt, "discretisation": how}
        gain = (
            20.0 if how == "euler" else 1 / -np.expm1(-1 / 20)
        )  # a current of 1 lifts v by 1: all that snnTorch reads
        made[f"LIF, {how}"] = Sequential(
            nn.Linear(40, 60), LIF(60, tau=20 * dt, **options), nn.Linear(60, 30), LIF(30, tau=30 * dt, **options),
            nn.Linear(30, 10), LIF(10, tau=25 * dt, **options),
        )  # fmt: skip
        made[f"CubaLIF, {how}"] = Sequential(
            nn.Linear(40, 60), CubaLIF(60, tau_syn=5 * dt, tau_mem=20 * dt, r=gain, **options), nn.Linear(60, 10),
            LIF(10, tau=25 * dt, **options),
        )  # fmt: skip
    for number, (name, net) in enumerate(made.items()):
        draws, size = stream(number, "weights"), 1.0 if name.startswith("CubaLIF") else 5.0
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(torch.from_numpy(size * draws.standard_normal(tuple(parameter.shape))))
    return made


def snntorch(path: Path, x: Tensor, dt: float) -> np.ndarray:
    """Return the spikes that snnTorch makes."""
    import nir
    from snntorch.import_nir import import_from_nir

    with contextlib.redirect_stdout(io.StringIO()):
        net = import_from_nir(nir.read(path))
    state, found = None, []
    with torch.no_grad():
        for step in x:
            made, state = net(step) if state is None else net(step, state)
            found.append(made)
    return torch.stack(found).numpy()


def norse(python: Path) -> Callable[[Path, Tensor, float], np.ndarray]:
    """Return a function that lets Norse make the spikes."""

    def run(path: Path, x: Tensor, dt: float) -> np.ndarray:
        given, made = path.with_suffix(".in.npz"), path.with_suffix(".out.npz")
        np.savez(given, x=x.numpy(), dt=dt)
        asked(python, "norse_nir.py", path, given, made)
        return np.load(made)["spikes"]

    return run


def asked(python: Path, script: str, *paths: Path) -> str:
    """Run a script of benchmarks/peers and return the version that it tells."""
    told = subprocess.run([str(python), str(PEERS / script), *map(str, paths)], check=True, capture_output=True)
    return json.loads(told.stdout)["version"]


def answered(python: Path, script: str, job: dict[str, Any]) -> tuple[str, dict[str, np.ndarray]]:
    """Return the version of a peer, and the arrays that it makes of some."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "job.npz", Path(folder) / "found.npz"
        np.savez(given, **job)
        version = asked(python, script, given, made)
        with np.load(made) as found:
            return version, dict(found)


def compare(peer: str, run: Callable[[Path, Tensor, float], np.ndarray], dt: float) -> list[Record]:
    """Return a record for each network: how many of its spikes a peer makes too, and how many it makes besides."""
    found = []
    x = torch.from_numpy((stream(0, "input").random((STEPS, BATCH, 40)) < 0.1).astype(np.float32))
    for name, net in networks(dt).items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.nir"
            to_nir(net, path, discretisation="euler")
            theirs = run(path, x, dt)
        with torch.no_grad():
            ours = net(x)[0].numpy()
        assert ours.shape == theirs.shape, "the networks have the same outputs"
        shared = float((ours * theirs).sum())
        found.append(
            {"area": "spiking", "job": f"NIR, {name}", "ours": float(ours.sum()), "peer": float(theirs.sum()),
             "peer_name": peer, "ratio": shared / float(max(ours.sum(), theirs.sum())), "unit": "spikes in common"}
        )  # fmt: skip
    return found


def operations(python: Path) -> list[Record]:
    """Return a record for each number that NeuroBench counts too, in a masked network of two layers with biases."""
    draws, tau = stream(0, "counted"), 20.0
    net = Sequential(
        nn.Linear(60, 40), LIF(40, tau=tau * 1e-3, dt=1e-3, discretisation="euler"),
        nn.Linear(40, 10), LIF(10, tau=tau * 1e-3, dt=1e-3, discretisation="euler"),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(5 * draws.standard_normal(tuple(parameter.shape))))
    sf.sparsify(net, 0.3, method="static", rng=0)
    x = torch.from_numpy((draws.random((STEPS, BATCH, 60)) < 0.05).astype(np.float32))
    arrays = {
        f"{name}{number}": getattr(net[2 * number], name).detach().numpy()
        for number in range(2)
        for name in ("weight", "bias")
    }
    version, theirs = answered(python, "neurobench_counts.py", {"x": x.numpy(), "tau": tau, **arrays})
    with torch.no_grad():
        assert np.array_equal(net(x)[0].numpy(), theirs["spikes"]), "counts are of the same spikes"
    found = spiking.energy(net, x)
    ours = {
        "effective accumulations": ("acs", found.acs), "effective multiplications": ("macs", found.macs),
        "dense operations": ("dense", found.dense),
        "activation sparsity": ("activation_sparsity", found.activation_sparsity),
        "connection sparsity": ("connection_sparsity", round(found.connection_sparsity, 4)),  # theirs is
    }  # fmt: skip
    return [
        said(f"NeuroBench {version}", f"operations, {what}", value, theirs[name])
        for what, (name, value) in ours.items()
    ]


def statistics(python: Path) -> list[Record]:
    """Return a record for each statistic of two trains that elephant has too; the second train follows the first."""
    width, window, duration, half = 1e-3, 0.1, 200.0, 40
    drawn = spiking.Hawkes([5.0, 5.0], [[0.0, 0.0], [0.5, 0.0]], 100.0).sample(duration, rng=0)
    times = [(np.unique(np.floor(drawn.train(unit) / width)) + 0.5) * width for unit in (0, 1)]  # bins leave no doubt
    spikes = spiking.Spikes.sorted_from(
        np.concatenate(times), np.repeat([0, 1], [len(one) for one in times]), duration=duration
    )
    job = {"first": times[0], "second": times[1], "duration": duration, "window": window, "width": width, "half": half}
    version, theirs = answered(python, "elephant_statistics.py", job)
    intervals, windows = np.array([len(one) - 1 for one in times]), duration / window
    theirs["cv"] *= np.sqrt(intervals / (intervals - 1))  # it divides by n, where ours divides by n − 1
    theirs["fano"] *= windows / (windows - 1)
    ours = {
        "CV": ("cv", spiking.interval_cv(spikes).value), "CV2": ("cv2", spiking.interval_cv2(spikes).value),
        "Lv": ("lv", spiking.local_variation(spikes).value),
        "Fano factor": ("fano", spiking.fano_factor(spikes, window).value),
        "correlation of counts": ("correlation", spiking.count_correlation(spikes, window).value[0, 1]),
        "correlogram": ("correlogram", spiking.cross_correlogram(spikes, 0, 1, width=width, span=half * width).counts),
    }  # fmt: skip
    return [
        said(f"elephant {version}", f"statistics, {what}", value, theirs[name]) for what, (name, value) in ours.items()
    ]


def said(peer: str, job: str, ours: Any, theirs: Any) -> Record:
    """Return the record of numbers that should be the same; its ratio is the one that is farthest from 1."""
    mine, other = np.ravel(ours).astype(float), np.ravel(theirs).astype(float)
    assert mine.shape == other.shape, job
    both = (mine == 0) & (other == 0)
    with np.errstate(divide="ignore"):
        ratio = np.divide(mine, other, out=np.ones_like(mine), where=~both)
    worst = int(np.argmax(np.abs(ratio - 1)))
    return {
        "area": "spiking", "job": job, "ours": mine[worst], "peer": other[worst], "peer_name": peer,
        "ratio": ratio[worst], "unit": f"worst of {len(mine)}",
    }  # fmt: skip


def agree(record: Record) -> bool:
    """Say whether both found the same: every spike, or numbers but for rounding."""
    return bool(abs(record["ratio"] - 1) <= (0 if record["job"].startswith("NIR") else ROUNDING))


def main(arguments: list[str] | None = None) -> int:
    """Compare with whoever is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print a list of records")
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.add_argument("--table", action="store_true", help="the same: a table is printed")
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments")
    given = parser.parse_args(arguments)
    records = []
    if importlib.util.find_spec("snntorch") is not None:
        records += compare("snnTorch", snntorch, SNNTORCH_DT)
    with_python: dict[str, Callable[[Path], list[Record]]] = {
        "norse": lambda python: compare("Norse", norse(python), 1e-3),
        "neurobench": operations,
        "elephant": statistics,
    }
    for name, run in with_python.items():
        if python := interpreter(given.peers, name):
            records += run(python)
    if given.json:
        print(json.dumps(records, indent=1))
    else:
        for r in records:
            print(f"{r['peer_name']:<18}{r['job']:<40}{line(r)}")
    return 0 if records and all(map(agree, records)) else 1


def line(record: Record) -> str:
    """Return what was found, as text."""
    if record["job"].startswith("NIR"):
        return f"{record['ours']:.0f} spikes, of which in common {record['ratio']:.4f}"
    return f"{record['ours']:.12g}, {record['unit']}, ours over theirs 1 {record['ratio'] - 1:+.1g}"


if __name__ == "__main__":
    sys.exit(main())
