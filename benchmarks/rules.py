"""What rules without derivatives cost: directions together and one by one, noise for live weights, memory of inference.

    python benchmarks/rules.py            # about a minute
    python benchmarks/rules.py --quick    # smaller, a few seconds
    python benchmarks/rules.py --json     # a list of records

Times are CPU seconds of one thread; ours and the other turn alternate, and the median ratio of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from sparsefire import sparsify
from sparsefire.rules import ForwardGradient, TwoQuery, asking
from sparsefire.rules.active import Active
from sparsefire.rules.replayed_noise import add_noise_, places_of

Record = dict[str, Any]
LOSS = nn.functional.cross_entropy
DIRECTIONS = 64


def perceptron(widths: list[int]) -> nn.Sequential:
    """Return a ReLU network."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def batch(inputs: int, rows: int) -> tuple[Tensor, Tensor]:
    """Return a batch of noise with ten classes."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, inputs, generator=generator), torch.randint(0, 10, (rows,), generator=generator)


def seconds(job: Callable[[], Any]) -> float:
    """Return the CPU seconds of a call."""
    began = time.process_time()
    job()
    return time.process_time() - began


def turns(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[float, float, float]:
    """Return median seconds of both, and the median over rounds of theirs over ours."""
    ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    mine, other = (statistics.median(part) for part in zip(*pairs, strict=True))
    return mine, other, statistics.median(b / a for a, b in pairs)


def record(job: str, ours: float, peer: float, peer_name: str, ratio: float, unit: str) -> Record:
    """Return one line of the table."""
    return {
        "area": "rules", "job": job, "ours": ours, "peer": peer, "peer_name": peer_name, "ratio": ratio, "unit": unit
    }  # fmt: skip


def together(widths: list[int], rows: int, kind: type[ForwardGradient] | type[TwoQuery], rounds: int) -> Record:
    """Compare 64 directions in one pass with 64 calls of one direction; both must give the same estimate."""
    net = perceptron(widths)
    x, y = batch(widths[0], rows)

    def gradients() -> Tensor:
        found = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        net.zero_grad()
        return found

    kind(directions=DIRECTIONS, rng=1)(net, LOSS, x, y)
    whole, one = gradients(), kind(rng=1)
    for _ in range(DIRECTIONS):
        one(net, LOSS, x, y)
    torch.testing.assert_close(whole, gradients() / DIRECTIONS, rtol=1e-3, atol=1e-3 * float(whole.abs().max()))
    many, single = kind(directions=DIRECTIONS, rng=0), kind(rng=0)

    def separately() -> None:
        for _ in range(DIRECTIONS):
            single(net, LOSS, x, y)

    mine, other, ratio = turns(lambda: many(net, LOSS, x, y), separately, rounds)
    name = "-".join(map(str, widths))
    return record(f"{DIRECTIONS} directions, {name}, batch {rows}, {kind.__name__}", 1e3 * mine, 1e3 * other,
                  "one call each", ratio, "ms")  # fmt: skip


def without_absent(rows: int, kind: type[ForwardGradient] | type[TwoQuery], rounds: int) -> Record:
    """Compare 64 directions on a sparse network, compiled, with dense weights; both must give the same estimate."""
    net = perceptron([784, 300, 100, 10])
    sparsify(net, 0.02, rng=0)
    x, y = batch(784, rows)
    rule = kind(directions=DIRECTIONS, rng=0)

    def sparse() -> None:
        net.zero_grad()
        rule(net, LOSS, x, y)

    def dense() -> None:
        with patch.object(asking, "read", lambda *_: None):
            sparse()

    found, start = [], rule.state_dict()
    for job in (sparse, dense):
        rule.load_state_dict(start)
        job()
        found.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3 * float(found[1].abs().max()))
    mine, other, ratio = turns(sparse, dense, rounds)
    return record(f"{DIRECTIONS} directions, 784-300-100-10 at density 0.02, batch {rows}, {kind.__name__}",
                  1e3 * mine, 1e3 * other, "dense weights", ratio, "ms")  # fmt: skip


def live_noise(rounds: int) -> list[Record]:
    """Compare noise for the live weights of a sparse network with noise for all, and with a forward pass."""
    net = perceptron([784, 300, 100, 10])
    x, _ = batch(784, 128)
    full = places_of(dict(net.named_parameters()), dict.fromkeys(dict(net.named_parameters())))
    sparse = perceptron([784, 300, 100, 10])
    sparsify(sparse, 0.02, rng=0)
    active = Active(sparse)
    live = places_of(active.parameters, active.places)
    found = []
    for law in ("rademacher", "normal"):

        def of_live(law: str = law) -> None:
            for _ in range(100):
                add_noise_(live, 3, 1e-9, law)

        def of_all(law: str = law) -> None:
            for _ in range(100):
                add_noise_(full, 3, 1e-9, law)

        mine, other, ratio = turns(of_live, of_all, rounds)
        found.append(record(f"{law} noise on 2% of 266,200 weights", 10 * mine, 10 * other, "on all", ratio, "ms"))

    @torch.no_grad()
    def forward() -> None:
        for _ in range(100):
            net(x)

    mine, other, ratio = turns(lambda: [add_noise_(live, 3, 1e-9, "normal") for _ in range(100)], forward, rounds)
    found.append(
        record("normal noise on 2% of 266,200 weights", 10 * mine, 10 * other, "a pass of 128 rows", ratio, "ms")
    )
    return found


CHILD = """
import json, resource, sys, time
import torch
from torch import nn
torch.set_num_threads(1)
from sparsefire.rules import MeZO, ReplaySGD
from sparsefire.rules.replayed_noise import add_noise_
width, mezo = int(sys.argv[1]), sys.argv[2] == "mezo"
tiny = nn.Linear(8, 2)
rule = MeZO(law="rademacher", rng=0)
rule(tiny, nn.functional.mse_loss, torch.ones(2, 8), torch.ones(2, 2))  # compile, and load all that is loaded late
ReplaySGD(tiny.parameters(), rule, lr=0.1).step(); rule.pending.clear()
began = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 1024
with torch.no_grad():
    net = nn.Sequential(*[nn.Linear(width, width) for _ in range(8)])
x, y = torch.ones(256, width), torch.ones(256, width)
loss = nn.functional.mse_loss
times = {}
def timed(job):
    best = []
    for _ in range(3):
        at = time.process_time(); job(); best.append(time.process_time() - at)
    return min(best)
@torch.no_grad()
def forward():
    loss(net(x), y)
times["forward"] = timed(forward)
if mezo:
    optimizer = ReplaySGD(net.parameters(), rule, lr=1e-6)
    def step():
        rule(net, loss, x, y); optimizer.step(); optimizer.zero_grad()
    times["step"] = timed(step)
    times["noise"] = timed(lambda: add_noise_(rule.parts, 3, 1e-9, "rademacher"))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"kib": peak - began, "weights": sum(p.numel() for p in net.parameters()), **times}))
"""


def memory(width: int) -> list[Record]:
    """Measure peak memory and time of MeZO on a large module, each in a process of its own."""
    found = {}
    for name in ("inference", "mezo"):
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(width), name], capture_output=True, text=True, check=True
        )
        found[name] = json.loads(done.stdout)
    ours, plain = found["mezo"], found["inference"]
    million = ours["weights"] / 1e6
    allowed = 2 * ours["forward"] + 4 * ours["noise"]
    return [
        record(f"MeZO, {million:.0f} M weights: peak memory", ours["kib"] / 1024, plain["kib"] / 1024, "inference",
               ours["kib"] / plain["kib"], "MiB"),
        record(f"MeZO, {million:.0f} M weights: a step", 1e3 * ours["step"], 1e3 * allowed,
               "two passes and four of noise", allowed / ours["step"], "ms"),
    ]  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true", help="print a list of records")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rounds = 2 if options.quick else 7
    shapes = [([64, 32, 10], 32)] if options.quick else [([64, 32, 10], 32), ([784, 300, 10], 64)]
    found = [together(widths, rows, kind, rounds) for widths, rows in shapes for kind in (ForwardGradient, TwoQuery)]
    found += [without_absent(16 if options.quick else 128, kind, rounds) for kind in (ForwardGradient, TwoQuery)]
    found += live_noise(rounds)
    found += memory(256 if options.quick else 2500)
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    for line in found:
        print(
            f"{line['job']:<80} {line['ours']:>9.3g} {line['unit']:<4} {line['peer_name']}: {line['peer']:.3g}, "
            f"ratio {line['ratio']:.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
