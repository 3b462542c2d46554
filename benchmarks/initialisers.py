"""How long initialisers and the diagnosis take.

    python benchmarks/initialisers.py            # 10 million weights; CPU seconds of one thread, minimum of 3
    python benchmarks/initialisers.py --quick    # a tenth of that

Correctness is asserted: masks stay, weights are finite, biases zero.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

import sparsefire as sf
from sparsefire.propagation import diagnose, init

LIMIT = 5.0  # seconds for 10 million weights
DIAGNOSIS = 2.0  # seconds for 50 layers of width 512 at density 0.01
INITIALISERS: dict[str, Callable[..., nn.Module]] = {
    "in_degree_": init.in_degree_,
    "signs_": init.signs_,
    "typical_": init.typical_,
    "typical_, realised": partial(init.typical_, realised=True),
    "sparse_orthogonal_": init.sparse_orthogonal_,
    "sparse_orthogonal_, butterfly": partial(init.sparse_orthogonal_, structure="butterfly"),
    "approximate_isometry_": init.approximate_isometry_,
}


def network(width: int, depth: int, density: float | None) -> nn.Sequential:
    """Return an MLP of equal widths, masked if a density is given."""
    parts = [part for _ in range(depth) for part in (nn.Linear(width, width), nn.ReLU())]
    net = nn.Sequential(*parts, nn.Linear(width, 10))
    if density is not None:
        sf.sparsify(net, density, layout="uniform", rng=0)
    return net


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the least CPU seconds of several rounds."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def main() -> None:
    """Time everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    width, rounds = (512, 1) if arguments.quick else (1024, 3)
    records = []
    for density in (None, 0.02, 0.3):
        for name, initialise in {**INITIALISERS, "looks_linear_": init.looks_linear_}.items():
            if name == "looks_linear_" and density is not None:
                continue  # needs mirrored masks
            depth = 4 if arguments.quick else 9
            nets = [network(width, depth, density) for _ in range(rounds)]
            weights = sum(layer.weight.numel() for layer in sf.masks.layers(nets[0]).values())  # type: ignore[operator]
            spent = seconds(lambda nets=nets, run=initialise: run(nets.pop(), rng=0), rounds)  # type: ignore[misc]
            kept = initialise(network(width, depth, density), rng=0)
            for layer in sf.masks.layers(kept).values():
                assert bool(layer.weight.isfinite().all()), name  # type: ignore[operator]
                assert not bool(layer.bias.any()), name  # type: ignore[operator]
            assert density is None or sf.density(kept) <= density + 1e-6, name
            records.append(_record(f"{name}, density {density or 1:g}, {weights / 1e6:.1f} M weights", spent, LIMIT))
    net = init.in_degree_(network(512, 50, 0.01), rng=0)
    records.append(_record("diagnose, 50 × 512, density 0.01", seconds(lambda: diagnose(net), rounds + 1), DIAGNOSIS))
    for record in records:
        print(f"{record['job']:<70} {record['ours']:.2f} s  (at most {record['limit']:g})")
    if arguments.json:
        arguments.json.write_text(json.dumps(records, indent=1))


def _record(job: str, spent: float, limit: float) -> dict[str, object]:
    return {"area": "propagation", "job": job, "ours": spent, "unit": "CPU s", "limit": limit}


if __name__ == "__main__":
    main()
