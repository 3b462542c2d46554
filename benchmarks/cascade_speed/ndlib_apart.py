"""NDlib, which runs in an environment and a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cascade_speed.graphs import graph, sources
from cascade_speed.turns import Entrant, Turn

PEERS = Path(__file__).resolve().parents[1] / "peers"


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
        command = [str(interpreter(environment)), str(PEERS / "ndlib_cascades.py"), str(path)]
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
        wanted = str(PEERS / "ndlib.txt")
        subprocess.run([str(interpreter(environment)), "-m", "pip", "install", "-q", "-r", wanted], check=True)
