"""The picture of spiking.md: who fires when in a balanced network, and how often.

Usage: python docs/raster_figure.py
"""

from __future__ import annotations

import sys

import numpy as np
from make_figures import PAGE, save  # type: ignore[import-not-found]
from markupsafe import Markup

import sparsefire as sf
from sparsefire.report import svg

UNITS, INHIBITORY, SHOWN, SECONDS = 2000, 400, 80, 0.25


def balanced() -> sf.spiking.Run:
    """Return a run of 1,600 excitatory and 400 inhibitory units, 100 synapses each."""
    wiring = sf.wiring.fixed_fan_in(UNITS, 100, rng=1)
    inhibitory = np.repeat(np.arange(UNITS) >= UNITS - INHIBITORY, wiring.out_degrees)
    return sf.spiking.simulate(
        wiring, neurons=sf.spiking.LIF(UNITS, tau=20e-3, refractory=2e-3), weights=np.where(inhibitory, -0.1, 0.02),
        drive=sf.spiking.PoissonDrive(rate=2000.0, weight=0.03), delay=1.5e-3, duration=SECONDS, dt=1e-4, rng=1,
    )  # fmt: skip


def raster(run: sf.spiking.Run) -> Markup:
    """Draw the spikes of some units of either kind, and the rate of all over time."""
    left, right, top, height = 96.0, PAGE - 16.0, 20.0, 240.0
    kinds = (("excitatory", range(SHOWN), "blue"), ("inhibitory", range(UNITS - SHOWN // 4, UNITS), "warm"))
    rows = [unit for _, units, _ in kinds for unit in units]
    place = {unit: top + (row + 0.5) * height / len(rows) for row, unit in enumerate(rows)}

    def x(t: float) -> float:
        return left + t / SECONDS * (right - left)

    parts = [svg.text(0, 10, f"spikes of {len(rows)} of {UNITS:,} units", "soft")]
    for name, units, colour in kinds:
        middle = (place[units[0]] + place[units[-1]]) / 2
        parts.append(svg.text(left - 10, middle + 4, name, f"{colour}-text", anchor="end"))
        mine = np.isin(run.units, list(units))
        parts += [
            svg.line(x(t), place[u] - 1.3, x(t), place[u] + 1.3, f"bar thin {colour}")
            for t, u in zip(run.times[mine], run.units[mine].tolist(), strict=True)
        ]
    width, base, tall = 2e-3, top + height + 96.0, 66.0
    counts = run.spikes.counts_in(width).sum(1) / UNITS / width
    high = float(np.ceil(counts.max() / 50) * 50)
    parts += [svg.text(0, base - tall - 10, "mean firing rate, Hz", "soft")]
    for value in (0.0, high / 2, high):
        y = base - value / high * tall
        parts += [svg.line(left, y, right, y, "hair"), svg.text(left - 10, y + 4, f"{value:g}", "soft", anchor="end")]
    middles = [(x((k + 0.5) * width), base - v / high * tall) for k, v in enumerate(counts)]
    parts.append(svg.path(middles, "bar thin ink"))
    parts += [svg.text(x(t), base + 18, f"{1000 * t:g}", "soft", anchor="middle") for t in np.arange(0, 0.26, 0.05)]
    parts.append(svg.text((left + right) / 2, base + 36, "time, ms", "soft", anchor="middle"))
    return svg.picture(
        parts, width=PAGE, height=base + 44, label="Spikes of a balanced network, and its mean firing rate over time"
    )


def main() -> int:
    """Draw it."""
    save("spiking", raster(balanced()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
