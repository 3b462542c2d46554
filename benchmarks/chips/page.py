"""The page: accuracy against updates, on the chip and off it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from chips.cases import ARMS, BATCH, EPOCHS, HIDDEN, STEPS, WRITTEN, Record
from figures import Interval, difference, mean

AT_LEVELS, AT_RANDOM, STORED, LARGE, FREE, BACKWARD = ARMS
FIRST = 40  # where the picture begins
MOVED = "back-propagation, then moved onto the chip"
HEAD = """# Learning on a chip

A network that is trained elsewhere and then written onto a chip meets other weights than it learned with: they are
rounded, and no two devices are alike. Can it learn on the chip instead, where there is no backward pass, and does that
pay? `python benchmarks/on_chip.py` repeats this page.

The task: the 8 × 8 digits of scikit-learn, 1,347 to learn from and 450 to test on. Pixels are constant currents into
{hidden} leaky integrate-and-fire neurons (τ = 20 ms, {steps} steps of 2 ms); an accumulator for each class adds up
their spikes. The chip ([`constrain`](../src/sparsefire/spiking/chips/constraints.py)):

```python
import sparsefire as sf

chip = sf.spiking.Chip(weight_bits=4, mismatch=0.2, backward=False)
```

Weights act as one of 15 levels; each synapse, time constant and threshold has a fixed factor of its own, 20% off its
nominal value (standard deviation); a derivative through the network is an error. Constraints hold during training and
testing. The rule is [`NodePerturbation`](rules.md): the same batch is run again with noise ±0.3 on the currents of all
neurons and accumulators, eight times on both sides, and each synapse is credited with what its own unit's noise did to
the loss, times what came in. The chip adds that up in accumulators of full precision, one for each weight, and computes
with the level nearest to it; biases are not rounded. The loss is worked out beside the chip.

Two arms do without accumulators: a weight is nothing but one of 15 levels, {scale} apart for all neurons, and each
update writes it to a level again, up or down at random so that it is right on average. There is no momentum either,
which would be a number of full precision for each weight. Biases, and the rule's own noise and credits, stay numbers.
The second of them learns from fewer and larger batches, of {large}.
"""
TRY = """
## Try it

A network whose rows come first, any rule without derivatives, and one loss for each row; five epochs take two seconds:

```python
import torch
from sklearn.datasets import load_digits
from torch import nn

X, y = load_digits(return_X_y=True)
torch.manual_seed(0)
order = torch.randperm(len(y))
x, y = torch.tensor(X / 16, dtype=torch.float32)[order], torch.tensor(y)[order]

net = sf.spiking.constrain(sf.spiking.SpikingPerceptron([64, 64, 10]), chip, rng=0)
rule = sf.rules.NodePerturbation(scale=0.3, directions=8, rng=0)
optimizer = torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
for _ in range(5):
    for rows in torch.randperm(1347).split(32):
        rule(net, nn.CrossEntropyLoss(reduction="none"), x[rows], y[rows])
        optimizer.step()
        optimizer.zero_grad()
print((net(x[1347:]).argmax(1) == y[1347:]).float().mean())
print(sf.spiking.energy(net, x[1347:]).table)
```
"""
HOW = """
## How it was done

{epochs} epochs of batches of {batch}, plain gradient steps with momentum 0.9 (none where weights are stored at 4 bits)
and a learning rate that falls to 0 in a line. The rates ({rates}, in the order of the tables), the
distance of stored levels and the large batches were chosen by hand on splits that are not among the replicates; the
arm of large batches was added when the one before it had been seen to lose 6 points. Each replicate has its own
split, weights at the start, order and devices. Intervals are 95% t intervals over replicates.
Energy is that of one digit read by the trained network, every layer in every step, counted in synaptic operations and
neuron updates at the costs published for Loihi (doi:10.1109/MM.2018.112130359); learning is not in it. Losses count one
for every row that a loss was read of.

What this does not show: a chip. Levels, factors and the missing backward pass are simulated; spikes, noise on currents
and accumulators are as in software. Node perturbation needs 17 passes for an update, and its noise grows with the
number of units: this is a small network.
"""


def of(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return the full trainings by arm, in the order of replicates."""
    found: dict[str, list[Record]] = {}
    for arm in ARMS:
        mine = [record for record in records if record["arm"] == arm.name and record["epochs"] == EPOCHS]
        if mine:
            found[arm.name] = sorted(mine, key=lambda record: record["replicate"])
    return found


def records(found: Sequence[Record]) -> list[Record]:
    """Return a list of numbers for machines."""
    reference = BACKWARD.name
    by = of(found) or _any(found)
    best = mean([r["accuracy"] for r in by[reference]])[0] if reference in by else None
    out = []
    for name, mine in by.items():
        ours = mean([r["accuracy"] for r in mine])[0]
        out.append(
            {"area": "spiking", "job": f"digits, {name}", "ours": ours, "peer": best, "peer_name": reference,
             "ratio": None if best is None else ours / best, "unit": "accuracy"}
        )  # fmt: skip
    return out


def _any(found: Sequence[Record]) -> dict[str, list[Record]]:
    return {arm.name: mine for arm in ARMS if (mine := [r for r in found if r["arm"] == arm.name])}


def markdown(found: Sequence[Record]) -> str:
    """Return the page."""
    by = of(found)
    if not by:  # a quick look
        return "\n".join(f"{r['arm']}: {r['accuracy']:.4f} after {r['curve'][-1][0]} updates" for r in found)
    head = HEAD.format(hidden=HIDDEN, steps=STEPS, scale=WRITTEN.scale, large=LARGE.batch)
    parts = [head, *_short(by), "\n## Accuracy\n", PICTURE, *_accuracies(by)]
    parts += ["\n## What it takes\n", *_costs(by)]
    rates = ", ".join(f"{arm.rate:g}" for arm in ARMS)
    return "\n".join([*parts, TRY, HOW.format(epochs=EPOCHS, batch=BATCH, rates=rates)])


READING = """
So the digits can be learned on such a chip; without a number of full precision behind any weight, too, if weights are
written seldom: each write is a throw of the dice, and what it gets wrong has to be learned again. A network that
back-propagation has trained bears 4 bits and 20% of mismatch well: what learning on the chip buys here is not accuracy
but that nobody needs a gradient, or to know the devices. With accumulators the gap to back-propagation is the rule's,
not that of the constraints."""
PICTURE = """![Accuracy on test digits against updates of the weights](images/on-chip.svg)

In the picture, “stored at 4 bits” are the large batches.
"""


def _short(by: dict[str, list[Record]]) -> list[str]:
    """Return what the numbers say, with the numbers."""
    chip, free = by.get(AT_LEVELS.name), by.get(BACKWARD.name)
    if chip is None or free is None or len(chip) != len(free):
        return []
    ours, best = [r["accuracy"] for r in chip], [r["accuracy"] for r in free]
    moved = [r["moved"] for r in free]
    lines = [
        "## In short\n",
        f"- **Learned on the chip: {_percent(mean(ours))}** of test digits, {len(ours)} replicates, no backward pass.",
        f"- Back-propagation without any constraint: {_percent(mean(best))}, {_compared(best, ours, 'on the chip')}.",
        f"- That network, moved onto the chip when it had learned: {_percent(mean(moved))}, "
        f"{_compared(moved, best, 'before')}, and {_compared(moved, ours, 'learned on the chip')}.",
    ]
    for arm, text in (
        (FREE, "- The same rule without constraints: {gap}."),
        (AT_RANDOM, "- Rounding at random instead of to the nearest level: {gap}."),
        (
            LARGE,
            f"- Weights stored at 4 bits, nothing behind them, batches of {LARGE.batch}: **{{accuracy}}**, {{gap}}.",
        ),
        (STORED, f"- The same with batches of {BATCH}: {{accuracy}}, {{gap}}."),
    ):
        other = [r["accuracy"] for r in by.get(arm.name, [])]
        if len(other) == len(ours):
            gap = _compared(other, ours, "with accumulators" if arm.written else "on the chip")
            lines.append(text.format(gap=gap, accuracy=_percent(mean(other))))
    lines.append(READING)
    return lines


def _accuracies(by: dict[str, list[Record]]) -> list[str]:
    rows = {name: [r["accuracy"] for r in mine] for name, mine in by.items()}
    reference = by.get(BACKWARD.name)
    if reference:
        rows[MOVED] = [r["moved"] for r in reference]
    lines = ["| | accuracy [95%] | lowest | highest | replicates |", "|---" * 5 + "|"]
    for name, values in rows.items():
        ends = f"{100 * min(values):.1f}% | {100 * max(values):.1f}%"
        lines.append(f"| {name} | {_percent(mean(values))} | {ends} | {len(values)} |")
    return lines


def _costs(by: dict[str, list[Record]]) -> list[str]:
    lines = ["| | updates | losses read | CPU seconds | bytes of weights | silent | µJ for a digit |", "|---" * 7 + "|"]
    for name, mine in by.items():
        numbers = {key: float(np.mean([r[key] for r in mine])) for key in ("losses", "seconds", "bytes", "sparsity")}
        energy = 1e6 * float(np.mean([r["joules"] for r in mine]))
        lines.append(
            f"| {name} | {mine[0]['curve'][-1][0]:,} | {numbers['losses']:,.0f} | {numbers['seconds']:.0f} | "
            f"{numbers['bytes']:,.0f} | {100 * numbers['sparsity']:.0f}% | {energy:.2f} |"
        )
    lines.append("\n“Silent” is the share of steps in which a hidden neuron does not fire.")
    return lines


def _percent(found: Interval) -> str:
    middle, low, high = (100 * value for value in found)
    return f"{middle:.1f}% [{low:.1f}, {high:.1f}]"


def _compared(these: Sequence[float], those: Sequence[float], what: str) -> str:
    """Return how many points more, or fewer, these have."""
    middle, low, high = (100 * value for value in difference(these, those))
    if f"{abs(middle):.1f}" == "0.0":
        return f"as many as {what} (0.0 [{low:.1f}, {high:.1f}] points apart)"
    if middle < 0:
        return f"{-middle:.1f} [{-high:.1f}, {-low:.1f}] points fewer than {what}"
    return f"{middle:.1f} [{low:.1f}, {high:.1f}] points more than {what}"


def draw(found: Sequence[Record], docs: Path) -> None:
    """Write the picture."""
    sys.path.append(str(docs))
    from make_figures import Line, chart, save  # type: ignore[import-not-found]

    by, lines = of(found), []
    looks = (("blue", "circle"), ("warm", "diamond"), ("warm", "square"), ("ink", "square"), ("grey", "circle"))
    short = ("on the chip", "rounded at random", "stored at 4 bits", "no constraints", "back-propagation")
    drawn_arms = [arm for arm in ARMS if arm is not STORED]
    for arm, name, (colour, shape) in zip(drawn_arms, short, looks, strict=True):
        mine = by.get(arm.name, [])
        if not mine:
            continue
        points = []
        for number, (updates, _) in enumerate(mine[0]["curve"]):
            if updates >= FIRST:
                points.append((float(updates), *mean([r["curve"][number][1] for r in mine])))
        lines.append(Line(name, points, colour, shape))
    drawn = chart(
        lines, x_ticks=(FIRST, 100, 300, 1000, 3440), y_ticks=(0.2, 0.4, 0.6, 0.8, 0.9, 1.0),
        x_title="updates of the weights (log scale)",
        y_title="accuracy on test digits; whiskers: 95% intervals of the mean of five replicates",
        label="Accuracy on test digits against updates, on the chip and off it", show_x=lambda v: f"{v:,.0f}",
        show_y=lambda v: f"{100 * v:.0f}%",
    )  # fmt: skip
    save("on-chip", drawn)
