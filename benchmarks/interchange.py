"""Do other simulators make the same spikes of the NIR files that are written here?

    python benchmarks/interchange.py [--json] [--peers-venv DIR]

snnTorch runs in this environment, if it is installed; Norse in its own (benchmarks/peers/norse.txt), if named. Every
network is checked spike by spike, over 300 steps and 16 sequences.
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

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire.deploy import to_nir
from sparsefire.randomness import stream
from sparsefire.spiking import LIF, CubaLIF, Sequential

SNNTORCH_DT = 1e-4  # fixed in its importer
PEER = Path(__file__).resolve().parent / "peers" / "norse_nir.py"
STEPS, BATCH = 300, 16


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
        subprocess.run([str(python), str(PEER), str(path), str(given), str(made)], check=True, capture_output=True)
        return np.load(made)["spikes"]

    return run


def compare(peer: str, run: Callable[[Path, Tensor, float], np.ndarray], dt: float) -> list[dict[str, object]]:
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


def main(arguments: list[str] | None = None) -> int:
    """Compare with whoever is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print a list of records")
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.add_argument("--table", action="store_true", help="the same: a table is printed")
    parser.add_argument("--peers-venv", type=Path, help="the environment of Norse")
    given = parser.parse_args(arguments)
    records = []
    if importlib.util.find_spec("snntorch") is not None:
        records += compare("snnTorch", snntorch, SNNTORCH_DT)
    if given.peers_venv:
        records += compare("Norse", norse(given.peers_venv / "bin" / "python"), 1e-3)
    if given.json:
        print(json.dumps(records, indent=1))
    else:
        for r in records:
            print(f"{r['peer_name']:<10}{r['job']:<24}{r['ours']:>8.0f} spikes, of which in common {r['ratio']:.4f}")
    return 0 if records and all(r["ratio"] == 1 for r in records) else 1


if __name__ == "__main__":
    sys.exit(main())
