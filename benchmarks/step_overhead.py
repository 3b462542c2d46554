"""What a method costs per training step, over plain masked training, on a ResNet-20 of convolutions.

    python benchmarks/step_overhead.py            # 100 interleaved steps of each method, batches of 32, one thread
    python benchmarks/step_overhead.py --batch 8  # smaller steps, on which what a method adds weighs more
    python benchmarks/step_overhead.py --quick    # 12 steps, under a minute

Ratios of CPU seconds to ``static`` at the same density in the same run. Methods that move masks are measured at the
beginning of a training of 5,000 steps, in which they move every 100 steps: the mean holds one move. The others are
measured over a whole training of 100 steps. Exact counts are asserted after the last step.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

import sparsefire as sf

DENSITY = 0.1
LIMITS = {"sign-in": 1.15, "rigl": 1.05, "set": 1.05, "gmp": 1.05, "chts": 1.05, "powerprop": 1.10, "spred": 1.10,
          "str": 1.10, "ham": 1.10, "top-k": 1.10}  # fmt: skip
MOVING, LENGTH = ("rigl", "set", "chts"), 5000


def network(rng: int = 0) -> nn.Sequential:
    """Return the nineteen convolutions of a ResNet-20 with batch norms, without its skips, and the classifier."""
    torch.manual_seed(rng)
    parts: list[nn.Module] = []
    before = 3
    for width in [16] * 7 + [32] * 6 + [64] * 6:
        stride = 2 if width > before > 3 else 1
        parts += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def stepper(method: str, steps: int, batch: int) -> tuple[nn.Module, Callable[[], None]]:
    """Return a masked network and what trains it by one step."""
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    length = LENGTH if method in MOVING else steps
    topology = sf.sparsify(net, DENSITY, method, optimizer=optimizer, steps=length, rng=0)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(batch, 3, 32, 32, generator=generator), torch.randint(0, 10, (batch,), generator=generator)

    def step() -> None:
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        topology.step()
        optimizer.zero_grad()

    return net, step


def measured(steps: int, batch: int = 32) -> list[dict[str, object]]:
    """Return one record per method."""
    methods = ("static", *LIMITS)
    made = {method: stepper(method, steps, batch) for method in methods}
    spent: dict[str, list[float]] = {method: [] for method in methods}
    for _ in range(steps):
        for method in methods:
            began = time.process_time()
            made[method][1]()
            spent[method].append(time.process_time() - began)
    full = sum(layer.weight.numel() for layer in sf.masks.layers(network()).values())  # type: ignore[operator, misc]
    for method in methods:
        kept = sum(int(mask.sum()) for mask in sf.sparsity.masks(made[method][0]).values())
        assert kept == round(DENSITY * full), method
    after = max(2, steps // 10)  # without the first steps, which allocate
    means = {method: float(np.mean(values[after:])) for method, values in spent.items()}
    middles = {method: float(np.median(values[after:])) for method, values in spent.items()}
    return [
        {"area": "sparsity", "job": f"step of {method}", "ours": means[method], "peer": means["static"],
         "peer_name": "static", "ratio": means[method] / means["static"],
         "median_ratio": middles[method] / middles["static"], "limit": limit, "unit": "CPU s"}
        for method, limit in LIMITS.items()
    ]  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    records = measured(12 if options.quick else 100, options.batch)
    for record in records:
        print(f"{record['job']:<20} mean {record['ratio']:.3f}  median {record['median_ratio']:.3f}  "
              f"(at most {record['limit']})")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(records, indent=1))


if __name__ == "__main__":
    main()
