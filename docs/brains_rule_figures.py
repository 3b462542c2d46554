"""The pictures and figures of brains_rule.md: who wins, and how fast, by the laws, by chances and on spike trains.

Usage: python docs/brains_rule_figures.py     (about two minutes; writes two pictures and the tables of the page)
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from make_figures import Line, chart, save  # type: ignore[import-not-found]
from scipy import special

import sparsefire as sf
from sparsefire.randomness import stream
from sparsefire.statistics import mean_interval, wilson

PAGE = Path(__file__).parent / "brains_rule.md"
FIRING = (0.6, 0.4)
ALPHAS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
RUNS, TRAINS = 20_000, 2000
"""Runs of the abstract rule, and of the rule on spike trains."""
ALPHA, JITTER = 0.1, 0.8
RECORD = np.arange(0, 341, 20)


def on_spike_trains(
    firing: tuple[float, ...], alpha: float, jitter: float, record: np.ndarray, runs: int = TRAINS
) -> np.ndarray:
    """Return log p after so many output spikes, [runs, records, d]: SimplexSTDP on spikes of neurons with a threshold.

    Each neuron hears d Poisson trains. A step is the next input spike; it lifts the potential, which leaks away before
    the next one, by its weight over a threshold that is uniform between 0 and the sum of the weights.
    """
    rng, d = stream(0, "trains", repr((firing, alpha, jitter))), len(firing)
    chances, rows = np.array(firing) / sum(firing), np.arange(runs)
    senders = np.arange(runs * d)
    wiring = sf.Wiring.from_edges(senders, senders // d, shape=(runs * d, runs))
    rule, state = sf.spiking.SimplexSTDP(alpha, jitter=jitter, rng=0), None
    weights, spikes = np.full((runs, d), 1 / d), np.zeros(runs, int)
    logs = np.full((runs, len(record), d), np.nan)
    while True:
        share = np.log(weights * chances)
        share -= special.logsumexp(share, axis=1, keepdims=True)
        for place, count in enumerate(record):
            logs[spikes == count, place] = share[spikes == count]
        if spikes.min() >= record[-1]:
            return logs
        who = rng.choice(d, size=runs, p=chances)
        pre = np.zeros((1, 1, runs * d), np.uint8)
        pre[0, 0, rows * d + who] = 1
        fires = (weights[rows, who] > rng.random(runs)) & (spikes < record[-1])
        change, state = rule.run(pre, fires[None, None], wiring.with_weights(weights.reshape(-1)), state)
        weights = weights + change.reshape(runs, d)
        weights /= weights.sum(axis=1, keepdims=True)
        spikes += fires


def share_of(wrong: np.ndarray) -> tuple[float, float, float]:
    """Return the share and its interval."""
    return wilson(int(wrong.sum()), len(wrong))


def steps_until_fixed(alpha: float) -> int:
    """Return spikes after which p of the loser is below about 1e-6 in nearly all runs."""
    return round(30 / np.log1p(alpha)) + 40


def wrong_winners() -> tuple[list[str], list[Line]]:
    """Return rows of the table and lines of the picture."""
    rows, drawn, trains = [], [], []
    for alpha in ALPHAS:
        steps = steps_until_fixed(alpha)
        exact = sf.convergence.wrong_winner_probability(FIRING, alpha)
        rough = sf.convergence.wrong_winner_probability(FIRING, alpha, method="normal")
        found = sf.convergence.simulate_simplex(FIRING, alpha, steps=steps, runs=RUNS, rng=0, record=[steps])
        abstract = share_of(found.winners() == 1)
        spikes = share_of(on_spike_trains(FIRING, alpha, 0.0, np.array([steps]))[:, -1].argmax(axis=1) == 1)
        drawn.append((alpha, *abstract))
        trains.append((alpha, *spikes))
        cells = [f"{alpha:g}", f"{exact:.5f}", *(f"{a:.4f} [{b:.4f}, {c:.4f}]" for a, b, c in (abstract, spikes))]
        rows.append("| " + " | ".join([*cells, f"{rough:.4f}"]) + " |")
    axis = np.geomspace(ALPHAS[0], ALPHAS[-1], 60)
    law = [(float(a), *3 * (sf.convergence.wrong_winner_probability(FIRING, a),)) for a in axis]
    return rows, [
        Line("exact", law, "ink", dots=False),
        Line("the rule by chances", drawn, "blue", joined=False),
        Line("on spike trains", trains, "warm", "diamond", joined=False),
    ]


def fixation() -> tuple[list[str], list[Line]]:
    """Return rows of the table and lines of the picture."""
    rows, lines = [], []
    for jitter, colour, name in ((0.0, "blue", "Z = 0"), (JITTER, "warm", f"Z within ±{JITTER:g}")):
        exact = sf.convergence.fixation_exponent(ALPHA, jitter)
        found = sf.convergence.simulate_simplex(
            FIRING, ALPHA, steps=int(RECORD[-1]), runs=RUNS, rng=0, record=RECORD[1:], jitter=jitter
        )
        low, high = found.exponent_interval()
        logs = on_spike_trains(FIRING, ALPHA, jitter, RECORD)
        mean, below, above = of_trains(logs)
        cells = [name, f"−{exact:.6f}", *(f"−{a:.5f} [−{c:.5f}, −{b:.5f}]" for a, b, c in
                 ((found.exponent(), low, high), (mean, below, above)))]  # fmt: skip
        rows.append("| " + " | ".join(cells) + " |")
        seen = loser(logs)
        middle, spread = seen.mean(axis=0), 1.96 * seen.std(axis=0, ddof=1) / np.sqrt(len(seen))
        points = [tuple(map(float, (k, np.exp(m), np.exp(m - s), np.exp(m + s))))
                  for k, m, s in zip(RECORD, middle, spread, strict=True)]  # fmt: skip
        lines.append(Line("" if jitter else f"spike trains, {name}", points, colour, joined=False))
        if not jitter:
            abstract = loser(found.log_probabilities).mean(axis=0)
            curve = [(float(k), *3 * (float(np.exp(v)),)) for k, v in zip(found.steps, abstract, strict=True)]
            lines.append(Line("the rule by chances", curve, "ink", dots=False))
        else:
            lines[-1] = Line(f"spike trains, {name}", points, colour, "diamond", joined=False)
    slope = [(float(k), *3 * (float(np.exp(-5.5 - np.log1p(ALPHA) * (k - 100))),)) for k in (120, 330)]
    lines.append(Line("slope −ln(1 + α)", slope, "grey", "square", dots=False))
    return rows, lines


def loser(logs: np.ndarray) -> np.ndarray:
    """Return log(p_2/p_1) of the runs in which the stronger neuron wins, [runs, records]."""
    right = logs[:, -1].argmax(axis=1) == 0
    return logs[right, :, 1] - logs[right, :, 0]


def of_trains(logs: np.ndarray) -> tuple[float, float, float]:
    """Return the fall per spike of log(p_j/p_winner) over the last half, where fixed by then, and its interval."""
    half = len(RECORD) // 2
    who = logs[:, -1].argmax(axis=1)
    rows = np.arange(len(logs))
    apart = logs[rows, :, 1 - who] - logs[rows, :, who]
    fixed = apart[:, half] < np.log(1e-6)
    return mean_interval((apart[:, half] - apart[:, -1])[fixed] / (RECORD[-1] - RECORD[half]))


def three() -> list[str]:
    """Return rows: how often each of three neurons wins, with and without jitter."""
    rows, firing = [], (3.0, 2.0, 1.0)
    for jitter in (0.0, JITTER):
        found = sf.convergence.simulate_simplex(firing, ALPHA, steps=400, runs=RUNS, rng=0, record=[400], jitter=jitter)
        low, high = found.frequency_interval()
        exact = sf.convergence.winner_probabilities(firing, ALPHA) if not jitter else None
        wins = on_spike_trains(firing, ALPHA, jitter, np.array([400]))[:, -1].argmax(axis=1)
        for who in range(3):
            a, b, c = share_of(wins == who)
            cells = [f"±{jitter:g}" if jitter else "0", str(who + 1), "–" if exact is None else f"{exact[who]:.5f}"]
            cells += [
                f"{found.frequencies()[who]:.4f} [{low[who]:.4f}, {high[who]:.4f}]",
                f"{a:.4f} [{b:.4f}, {c:.4f}]",
            ]
            rows.append("| " + " | ".join(cells) + " |")
    return rows


def written(name: str, rows: list[str]) -> None:
    """Put rows into the page's table of this name."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.sub(
        rf"(<!-- {name} -->\n\|.*?\n\|[-|]+\n).*?(<!-- end of {name} -->)",
        lambda m: m[1] + "".join(f"{row}\n" for row in rows) + m[2], text, flags=re.DOTALL,
    )  # fmt: skip
    PAGE.write_text(found, encoding="utf-8")


def main() -> None:
    """Draw and write."""
    rows, lines = wrong_winners()
    written("winners", rows)
    save(
        "brains-rule-winner",
        chart(
            lines, x_ticks=[0.02, 0.05, 0.1, 0.2, 0.5, 1.0], y_ticks=[0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35],
            x_title="step α (log scale)", y_title="chance that the wrong neuron wins, p = (0.6, 0.4)",
            label="Chance that the wrong neuron wins against the step: exact line, simulated points on it",
            show_x=lambda x: f"{x:g}", show_y=lambda y: f"{y:g}", height=320.0,
        ),
    )  # fmt: skip
    rows, lines = fixation()
    written("fixation", rows)
    save(
        "brains-rule-fixation",
        chart(
            lines,
            x_ticks=[0, 50, 100, 150, 200, 250, 300, 350],
            y_ticks=[1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 1],
            log_x=False,
            log_y=True,
            x_title="output spikes",
            y_title="p_2/p_1 where neuron 1 wins, geometric mean (log scale), α = 0.1",
            label="The loser's chance over the winner's falls exponentially with output spikes",
            show_x=lambda x: f"{x:g}", show_y=lambda y: f"{y:g}", height=320.0,
        ),
    )  # fmt: skip
    written("three", three())


if __name__ == "__main__":
    main()
