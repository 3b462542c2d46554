"""The pictures of plasticity.md: what a pair of spikes does, and what rates do. Prints what the page says of speed.

Usage: python docs/plasticity_figures.py
"""

from __future__ import annotations

import time

import numpy as np
import torch
from make_figures import Line, chart, save  # type: ignore[import-not-found]
from markupsafe import Markup
from scipy import stats
from torch import nn

from sparsefire.spiking import LIF, STDP, Escape, Plastic, RewardSTDP, Spikes, TripletSTDP, WeightDependentSTDP

ARMS = {"paid": True, "paid at any time": False}
CORTEX = {"a2_plus": 0.0, "a3_plus": 6.5e-3, "a2_minus": 7.1e-3, "a3_minus": 0.0, "tau_y": 114e-3, "pairing": "all"}


def windows() -> Markup:
    """Draw the change by one pair of spikes against the time between them, measured by calling the rules."""
    rules = (
        ("pairs", "ink", "circle", STDP(a_plus=0.01, a_minus=0.005), 0.5),
        ("triplets, pairs 10 Hz", "blue", "circle", TripletSTDP(), 0.5),
        ("soft bounds, w = 0.2", "warm", "circle", WeightDependentSTDP(step=0.01, mu=1.0), 0.2),
        ("soft bounds, w = 0.8", "warm", "square", WeightDependentSTDP(step=0.01, mu=1.0), 0.8),
    )
    lines = []
    for name, colour, shape, rule, weight in rules:
        number = 60 if isinstance(rule, TripletSTDP) else 1
        points = []
        for gap in [*range(-49, 0), *range(1, 50)]:
            at = 1.0 + 0.1 * np.arange(number)
            pre, post = (Spikes(times, np.zeros(number, int), 1, 10.0) for times in (at, at + gap * 1e-3))
            change = 100 * float(rule(pre, post, np.full((1, 1), weight))[0, 0]) / number
            points.append((float(gap), change, change, change))
        for part in (points[:49], points[49:]):
            lines.append(Line(name if part[0][0] > 0 else "", part, colour, shape, dots=False))
    return chart(
        lines, x_ticks=[-50, -25, 0, 25, 50], y_ticks=[-1, -0.5, 0, 0.5, 1],
        x_title="postsynaptic after presynaptic spike, ms", y_title="change of the weight per pair, %",
        label="Change of a weight against the time between two spikes, for four rules",
        show_x=lambda x: f"{x:g}", show_y=lambda y: f"{y:g}", log_x=False, height=340.0,
    )  # fmt: skip


def drifts() -> Markup:
    """Draw the drift under Poisson spikes against the postsynaptic rate: simulated points on exact lines."""
    rules = (("triplets", "blue", TripletSTDP(**CORTEX)), ("pairs", "ink", STDP(a_plus=0.005, a_minus=0.004)))
    rng, pre_rate, units, seconds, runs = np.random.default_rng(0), 20.0, 10, 20.0, 40
    lines = []
    for name, colour, rule in rules:
        exact, seen = [], []
        for rate in np.arange(0.0, 51.0):
            if isinstance(rule, TripletSTDP):
                per_second = rule.a3_plus * rule.tau_plus * rule.tau_y * rate - rule.a2_minus * rule.tau_minus
            else:
                per_second = rule.a_plus * rule.tau_plus - rule.a_minus * rule.tau_minus
            value = 100 * pre_rate * rate * per_second
            exact.append((float(rate), value, value, value))
        for rate in (5.0, 10.0, 20.0, 30.0, 40.0, 50.0):
            found = []
            for _ in range(runs):
                sides = []
                for mean in (pre_rate, rate):
                    number = rng.poisson(mean * seconds * units)
                    who = rng.integers(0, units, number)
                    sides.append(Spikes.sorted_from(rng.uniform(0, seconds, number), who, units, seconds))
                _, state = rule.run(*sides, np.zeros((units, units)))
                found.append(100 * rule.run(*sides, np.zeros((units, units)), state)[0].mean() / seconds)
            middle, wide = float(np.mean(found)), float(1.96 * np.std(found, ddof=1) / np.sqrt(runs))
            seen.append((rate, middle, middle - wide, middle + wide))
        lines += [Line(name, exact, colour, dots=False), Line("", seen, colour, joined=False)]
    return chart(
        lines, x_ticks=[0, 10, 20, 30, 40, 50], y_ticks=[-10, 0, 10, 20, 30, 40],
        x_title="postsynaptic firing rate, Hz (presynaptic 20 Hz)", y_title="drift of the weight, % per second",
        label="Drift of a weight against the postsynaptic firing rate, for pairs and triplets",
        show_x=lambda x: f"{x:g}", show_y=lambda y: f"{y:g}", log_x=False, height=340.0,
    )  # fmt: skip


def distal_reward(rng: int, seconds: int = 3600, *, paid: bool = True) -> np.ndarray:
    """Return weights [seconds, 100] of 10 inputs to 10 neurons, the first of which is rewarded, 1 to 3 s late.

    Whenever input 0 fires and neuron 0 does within 10 ms, dopamine comes 1 to 3 s later (Izhikevich 2007,
    doi:10.1093/cercor/bhl152); not ``paid``, as often, but at any time.
    """
    draw, units = np.random.default_rng(rng), 10
    layer = nn.Linear(units, units, bias=False)
    nn.init.constant_(layer.weight, 0.1)
    stdp = STDP(tau_plus=20e-3, tau_minus=20e-3, a_plus=0.3, a_minus=0.6)
    plastic = Plastic(layer, RewardSTDP(stdp, tau_e=1.0, tau_dopamine=0.2), w_min=0.0, w_max=1.0)
    cells = LIF(units, tau=20e-3, r=20.5, escape=Escape(rate=100.0, width=0.25), rng=rng)
    state = held = None
    last, due, found = -1.0, np.zeros(0), np.empty((seconds, units * units), np.float32)
    for second in range(seconds):
        x = torch.from_numpy((draw.random((1000, 1, units)) < 1e-3).astype(np.float32))
        with torch.no_grad():
            y, state = cells(plastic(x), state)
        came, went = (second + 1e-3 * np.flatnonzero(spikes[:, 0, 0]) for spikes in (x, y))
        came = np.append(last, came)
        late = went - came[np.maximum(np.searchsorted(came, went, side="right") - 1, 0)]
        earned = went[(late >= 0) & (late <= 10e-3)]
        if not paid:
            earned = second + draw.uniform(0, 60, len(earned))
        due, last = np.append(due, earned + draw.uniform(1, 3, len(earned))), came[-1]
        reward = 0.5 * np.histogram(due, 1000, (second, second + 1))[0]
        held = plastic.learn(x, y, reward, held)
        found[second] = layer.weight.detach().flatten()
    return found


def credits(replicates: int = 5) -> Markup:
    """Draw the weight that was paid, the largest other and the mean, and what is paid at any time, over an hour."""
    lines = []
    arms = {name: np.stack([distal_reward(k, paid=paid) for k in range(replicates)]) for name, paid in ARMS.items()}
    paid, unpaid = arms.values()
    shown = (
        ("earns the reward", "blue", paid[:, :, 0]),
        ("largest of the others", "warm", paid[:, :, 1:].max(axis=2)),
        ("reward at any time", "ink", unpaid[:, :, 0]),
    )
    for name, colour, values in shown:
        points = []
        for second in range(0, values.shape[1], 120):
            mean = float(values[:, second].mean())
            wide = float(stats.t.ppf(0.975, replicates - 1) * values[:, second].std(ddof=1) / replicates**0.5)
            points.append((second / 60, mean, mean - wide, mean + wide))
        lines.append(Line(name, points, colour, dots=False))
        print(f"{name}: {points[-1][1]:.2f} [{points[-1][2]:.2f}, {points[-1][3]:.2f}]")
    return chart(
        lines, x_ticks=[0, 15, 30, 45, 60], y_ticks=[0, 0.25, 0.5, 0.75, 1.0],
        x_title="minutes", y_title="weight", label="Weights under rewards that come one to three seconds late",
        show_x=lambda x: f"{x:g}", show_y=lambda y: f"{y:g}", log_x=False, height=340.0,
    )  # fmt: skip


def speeds() -> None:
    """Print CPU milliseconds for a sample of 784 inputs and 400 neurons, and what fewer synapses save."""
    rng = np.random.default_rng(0)
    pre, post = np.zeros((350, 1, 784), np.float32), np.zeros((350, 1, 400), np.float32)
    pre.reshape(-1)[rng.choice(pre.size, 2214, replace=False)] = 1
    post.reshape(-1)[rng.choice(post.size, 29, replace=False)] = 1
    weight = rng.random((400, 784), dtype=np.float32)
    sparse = rng.random(weight.shape) < 0.1
    reward = np.zeros(350)
    reward[300] = 1
    print(f"{2214 * 400 + 29 * 784:,} synapses touched by {2214 + 29:,} spikes")
    rules = (STDP(), TripletSTDP(), WeightDependentSTDP(mu=1.0), WeightDependentSTDP(), RewardSTDP())
    for rule in rules:
        options = {"reward": reward} if isinstance(rule, RewardSTDP) else {}
        taken = [_milliseconds(lambda: rule(pre, post, weight, **options)) for _ in range(41)]  # noqa: B023
        print(f"{type(rule).__name__}: {np.median(taken[1:]):.2f} ms")
    from sparsefire.spiking import Synapses

    synapses = Synapses.from_mask(sparse)
    taken = [_milliseconds(lambda: STDP()(pre, post, weight, synapses)) for _ in range(41)]
    print(f"STDP at density 0.1: {np.median(taken[1:]):.2f} ms")


def _milliseconds(work: object) -> float:
    start = time.process_time()
    work()  # type: ignore[operator]
    return 1e3 * (time.process_time() - start)


if __name__ == "__main__":
    save("plasticity-windows", windows())
    save("plasticity-drifts", drifts())
    save("plasticity-reward", credits())
    speeds()
