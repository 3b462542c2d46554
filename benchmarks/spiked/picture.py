"""The picture of the page: how many times less CPU time we take than each peer, and what was promised."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

Record = dict[str, Any]
SHOWN = """![CPU time of peers over ours, with floors and stretches](images/spiking-speed.svg)

The stack, and how it is timed:

```python
import time

import torch
from torch import nn

from sparsefire.spiking import LIF, Sequential

torch.manual_seed(0)
one, two = (LIF(units, tau=20e-3, dt=1e-3, discretisation="euler") for units in (128, 20))
net = Sequential(nn.Linear(700, 128), one, nn.Linear(128, 20), two)
with torch.no_grad():
    for layer in (net[0], net[2]):
        layer.weight.normal_(0.0, 4.0)
    x = (torch.rand(100, 64, 700) < 0.03).float()  # [time, batch, input]
    net(x)  # compiles
    began = time.process_time()
    spikes, _ = net(x)
print(f"{spikes.sum():,.0f} spikes, {1e3 * (time.process_time() - began):.1f} CPU ms")
```
"""
"""What the page has above its table: the picture, and what is timed."""


def draw(records: Sequence[Record], docs: Path) -> None:
    """Write images/spiking-speed.svg in the folder of the documentation: bars of ratios on a logarithmic scale."""
    sys.path.append(str(docs))
    from make_figures import PAGE, save  # type: ignore[import-not-found]

    from sparsefire.report import svg

    jobs = [(job, list(mine)) for job, mine in groupby(records, key=lambda record: record["job"])]
    left, right, row, head = 150.0, PAGE - 60.0, 16.0, 24.0
    highest = max(value for record in records for value in reach(record))
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick / 2.5 < highest]
    bottom = 20 + sum(head + row * len(mine) + 6 for _, mine in jobs)

    def x(ratio: float) -> float:
        return left + math.log(max(ratio, 1.0)) / math.log(ticks[-1]) * (right - left)

    parts = []
    for tick in ticks:
        parts.append(svg.line(x(tick), 20, x(tick), bottom, "hair"))
        parts.append(svg.text(x(tick), bottom + 16, f"{tick} ×", "soft", anchor="middle"))
    y = 20.0
    for job, mine in jobs:
        y += head
        parts.append(svg.text(0, y - 8, job, "soft"))
        for record in mine:
            parts.append(svg.text(left - 10, y + 9, record["peer_name"], anchor="end"))
            parts.append(svg.rect(left, y, x(record["ratio"]) - left, row - 5, "filled blue"))
            parts.append(svg.text(max(map(x, reach(record))) + 8, y + 9, f"{record['ratio']:.1f}", "blue-text"))
            for name, colour in (("floor", "warm"), ("stretch", "ink")):
                if record.get(name) is not None:
                    at = x(record[name])
                    parts.append(svg.line(at, y - 3, at, y + row - 2, f"bar {colour}"))
            y += row
        y += 6
    parts.append(svg.text(left, 10, "peer's CPU time / ours, log scale", "soft"))
    for at, name, colour, words in ((420.0, "floor", "warm", "warm-text"), (500.0, "stretch", "ink", "")):
        parts += [svg.line(at, 0, at, 12, f"bar {colour}"), svg.text(at + 8, 10, name, words)]
    label = "CPU time of peers over ours, by job and peer, with floors and stretches"
    save("spiking-speed", svg.picture(parts, width=PAGE, height=bottom + 22, label=label))


def reach(record: Record) -> list[float]:
    """Return all values of a bar: the ratio, and the floor and the stretch where there are some."""
    return [record["ratio"], *(record[name] for name in ("floor", "stretch") if record.get(name) is not None)]
