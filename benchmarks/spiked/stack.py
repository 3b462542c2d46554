"""Two layers of leaky integrate-and-fire neurons beside snnTorch, SpikingJelly and Norse: CPU ms of one thread.

The job: 700-128-20 neurons, 100 steps, batch 64, 3 % of the input entries spike, about 10 % of the output entries. All
get the same weights, hard reset to zero and Euler steps, so that their spikes must be ours but for rounding, and their
gradients where the surrogate derivative is the same. Neurons with escape noise run beside our own loop in torch, which
draws the same numbers. SpikingJelly and Norse live in environments DIR/spikingjelly and
DIR/norse (see benchmarks/peers/spikingjelly.txt and norse.txt); those that are not there are left out. Rounds are
interleaved.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from spiked.peers import interpreter

from sparsefire.randomness import stream
from sparsefire.spiking import LIF, Escape, Sequential
from sparsefire.spiking.neurons import firing

PEERS = Path(__file__).resolve().parents[1] / "peers"
STEPS, BATCH, INPUTS, HIDDEN, OUTPUTS, TAU = 100, 64, 700, 128, 20, 20.0  # τ in steps
DENSITY, STEEPNESS = 0.03, 10.0
SPIKES_APART, GRADIENT_APART = 1e-4, 2e-2  # rounding moves a spike now and then, and a gradient with it
FLOORS = {("indexed", "snntorch"): (6.0, 10.0), ("dense", "spikingjelly"): (2.0, None)}
NOISE = Escape(rate=150.0, width=0.2)
KINDS = (("forward", "forward"), ("both", "forward and backward"))


def job(rng: int = 0) -> dict[str, np.ndarray]:
    """Return input, weights, and what the loss weighs the spikes with."""
    draw = stream(rng, "stack")
    found: dict[str, Any] = {"x": draw.random((STEPS, BATCH, INPUTS)) < DENSITY, "tau": TAU}
    for number, (inputs, outputs, spread, shift) in enumerate(
        ((INPUTS, HIDDEN, 4.0, 0.3), (HIDDEN, OUTPUTS, 4.0, 0.5))
    ):
        found[f"weight{number}"] = draw.normal(0.0, spread, (outputs, inputs))
        found[f"bias{number}"] = np.full(outputs, shift)
    found["by"] = draw.normal(size=(STEPS, BATCH, OUTPUTS))
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def ours(
    given: dict[str, np.ndarray], indexed: bool, **how: Any
) -> tuple[Sequential, dict[str, Callable[[], torch.Tensor]]]:
    """Return the same network, and what runs it forward, and forward and backward."""
    parts: list[torch.nn.Module] = []
    for number in range(2):
        weight, bias = torch.from_numpy(given[f"weight{number}"]), torch.from_numpy(given[f"bias{number}"])
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight, layer.bias = torch.nn.Parameter(weight.clone()), torch.nn.Parameter(bias.clone())
        all_ = {"discretisation": "euler", "steepness": STEEPNESS, "rng": number, **how}
        parts += [layer, LIF(len(weight), TAU * 1e-3, dt=1e-3, **all_)]
    net = Sequential(*parts)
    net.indexed = indexed
    x, by = torch.from_numpy(given["x"]), torch.from_numpy(given["by"])

    def both() -> torch.Tensor:
        net.zero_grad(set_to_none=True)
        spikes, _ = net(x)
        (spikes * by).sum().backward()
        return spikes

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return net(x)[0]

    return net, {"forward": forward, "both": both}


def gradient(net: Sequential, runs: dict[str, Callable[[], torch.Tensor]]) -> np.ndarray:
    """Return the gradient by the first weights."""
    runs["both"]()
    return net[0].weight.grad.numpy().copy()  # type: ignore[union-attr,operator,no-any-return]


@contextmanager
def peer(name: str, python: Path, path: Path) -> Iterator[tuple[Callable[[str], float], str, dict[str, np.ndarray]]]:
    """Start a peer; yield what measures it, its version, and its spikes and gradient."""
    out = path.with_name(f"{name}.npz")
    command = [str(python), str(PEERS / "spiking_stack.py"), name, str(path), str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        answers: Any = process.stdout
        line = answers.readline()
        assert line, f"{name} did not start"

        def measure(kind: str) -> float:
            print(kind, file=process.stdin, flush=True)
            return float(answers.readline())

        with np.load(out) as found:
            yield measure, json.loads(line)["version"], dict(found)


def timed(run: Callable[[], Any]) -> float:
    """Return the CPU milliseconds of one run."""
    gc.disable()
    start = time.process_time()
    run()
    spent = (time.process_time() - start) * 1e3
    gc.enable()
    return spent


def agree(name: str, spikes: np.ndarray, slope: np.ndarray, other: dict[str, np.ndarray]) -> dict[str, float]:
    """Return how far spikes and gradients are apart; gradients are compared where the peer gives one.

    Raises:
        AssertionError: more than rounding explains.
    """
    apart = {"spikes_apart": float(np.mean(spikes != other["spikes"]))}
    assert apart["spikes_apart"] <= SPIKES_APART, f"{name}: {apart['spikes_apart']:.1e} of the entries differ"
    if "gradient" in other:
        apart["gradient_apart"] = float(np.linalg.norm(slope - other["gradient"]) / np.linalg.norm(slope))
        assert apart["gradient_apart"] <= GRADIENT_APART, f"{name}: gradients {apart['gradient_apart']:.1e} apart"
    return apart


def interpreters(peers: Path | None) -> dict[str, Path]:
    """Return the interpreters of the peers that are there."""
    found = {"snntorch": Path(sys.executable)} if importlib.util.find_spec("snntorch") else {}
    others = {name: interpreter(peers, name) for name in ("spikingjelly", "norse")}
    return found | {name: python for name, python in others.items() if python is not None}


def noisy(given: dict[str, np.ndarray], rounds: int) -> list[dict[str, Any]]:
    """Return records of neurons with escape noise, compiled beside step by step in torch."""

    def loop() -> AbstractContextManager[Any]:
        return mock.patch.object(firing, "plain", return_value=False)

    ways: dict[str, Callable[[], AbstractContextManager[Any]]] = {"compiled": nullcontext, "loop": loop}
    nets, spikes, slopes = {}, {}, {}
    for name, way in ways.items():
        nets[name] = ours(given, True, escape=NOISE)
        with way():
            spikes[name] = nets[name][1]["both"]().detach().numpy()
            slopes[name] = nets[name][0][0].weight.grad.numpy().copy()  # type: ignore[union-attr,operator]
    rate = float(spikes["loop"].mean())
    assert 0.07 < rate < 0.13, f"output rate {rate:.3f}"
    apart = agree(
        "noisy", spikes["loop"], slopes["loop"], {"spikes": spikes["compiled"], "gradient": slopes["compiled"]}
    )
    found = []
    for kind, words in KINDS:
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                with way():
                    times[name].append(timed(nets[name][1][kind]))
        mine, other = (statistics.median(times[name]) for name in ways)
        found.append({
            "area": "spiking", "job": f"noisy stack 700-128-20, indexed input, {words}", "unit": "CPU ms",
            "ours": mine, "peer": other, "peer_name": "our loop in torch", "peer_version": torch.__version__,
            "ratio": other / mine, "floor": None, "stretch": None, "met": None, "output_rate": rate, **apart,
        })  # fmt: skip
    return found


def records(quick: bool, peers: Path | None) -> list[dict[str, Any]]:
    """Return one record for each of ours (``indexed`` and ``dense`` input), each peer, and forward or both; noisy ones.

    Args:
        quick: three rounds instead of fifteen.
        peers: folder of the environments of SpikingJelly and Norse.

    Raises:
        AssertionError: spikes or gradients that differ by more than rounding.
    """
    torch.set_num_threads(1)
    given, rounds = job(), 3 if quick else 15
    nets = {"indexed": ours(given, True), "dense": ours(given, False)}
    spikes = {name: runs["both"]().detach().numpy() for name, (_, runs) in nets.items()}
    slopes = {name: gradient(*net) for name, net in nets.items()}
    # Norse lets gradients through the reset, and its surrogate is 1/(1 + |x|)² whatever its steepness is set to.
    through = gradient(*ours(given, True, reset_gradient=True, steepness=1.0))
    rate = float(spikes["dense"].mean())
    assert 0.07 < rate < 0.13, f"output rate {rate:.3f}"
    agree("indexed", spikes["dense"], slopes["dense"], {"spikes": spikes["indexed"], "gradient": slopes["indexed"]})
    found: list[dict[str, Any]] = []
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "job.npz"
        np.savez(path, **given)
        others = {n: stack.enter_context(peer(n, python, path)) for n, python in interpreters(peers).items()}
        same = {name: through if name == "norse" else slopes["dense"] for name in others}
        apart = {n: agree(n, spikes["dense"], same[n], other) for n, (_, _, other) in others.items()}
        for kind, words in KINDS:
            times: dict[str, list[float]] = {name: [] for name in (*nets, *others)}
            for _ in range(rounds):
                for name, (_, runs) in nets.items():
                    times[name].append(timed(runs[kind]))
                for name, (measure, _, _) in others.items():
                    times[name].append(measure(kind))
            medians = {name: statistics.median(values) for name, values in times.items()}
            for mine in nets:
                for name, (_, version, _) in others.items():
                    ratio = medians[name] / medians[mine]
                    floor, stretch = FLOORS.get((mine, name), (None, None))
                    found.append({
                        "area": "spiking",
                        "job": f"stack 700-128-20, {mine} input, {words}",
                        "unit": "CPU ms", "ours": medians[mine], "peer": medians[name], "peer_name": name,
                        "peer_version": version, "ratio": ratio, "floor": floor, "stretch": stretch,
                        "met": None if floor is None else ratio >= floor, "output_rate": rate, **apart[name],
                    })  # fmt: skip
    return found + noisy(given, rounds)
