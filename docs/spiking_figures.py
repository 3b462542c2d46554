"""The pictures and the table of real trains of spike_trains.md.

Usage: python docs/spiking_figures.py     (SPARSEFIRE_DATA names the folder of the real trains, by default shared/data)
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from make_figures import HERE, Line, chart, save  # type: ignore[import-not-found]
from markupsafe import Markup

from sparsefire import spiking
from sparsefire.statistics import wilson

TRAINS, INTERVALS, RATE = 1000, 1000, 40.0
WINDOWS = np.geomspace(0.005, 5.0, 13)


def ganglion_cell() -> dict[str, spiking.Spikes] | None:
    """Return the trains of a retinal ganglion cell, 30 s each, or None where they are not."""
    folder = Path(os.environ.get("SPARSEFIRE_DATA", HERE.parents[1] / "shared" / "data"))
    path = folder / "spike_trains" / "spike_trains.npz"
    if not path.exists():
        print(f"no real trains: {path} is not here", file=sys.stderr)
        return None
    with np.load(path) as data:
        times = {"low light": data["ganglion_low_s"], "high light": data["ganglion_high_s"]}
    return {name: spiking.Spikes(t, np.zeros(len(t), int), 1, 30.0) for name, t in times.items()}


def rejections(dt: float, corrected: bool) -> tuple[float, float, float]:
    """Return how often the test rejects a right model in steps of dt, with an interval."""
    p, steps = -np.expm1(-RATE * dt), round(INTERVALS / RATE / dt)
    rejected = 0
    for k in range(TRAINS // 20):  # some at a time, for memory
        fired = np.random.default_rng([round(1e6 * dt), k]).random((steps, 20)) < p
        found = spiking.rescale_steps(fired, np.full(fired.shape, p), corrected=corrected, rng=k)
        rejected += sum(test.p_value < 0.05 for test in spiking.rescaling_tests(found).tests)
    return wilson(rejected, TRAINS)


def steps() -> Markup:
    """Draw how often a right model is rejected, against the width of the steps."""
    lines = []
    for name, corrected, colour, shape in (("plain", False, "warm", "square"), ("corrected", True, "blue", "circle")):
        points = [(1e3 * dt, *rejections(dt, corrected)) for dt in (2.5e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2)]
        lines.append(Line(name, points, colour, shape))
    lines.append(Line("5%, as asked for", [(x, 0.05, 0.05, 0.05) for x in (0.25, 10.0)], "grey", dots=False))
    return chart(
        lines, x_ticks=[0.25, 0.5, 1, 2, 5, 10], y_ticks=[0.0, 0.25, 0.5, 0.75, 1.0],
        x_title="time step, ms (log scale)", y_title="share of trains for which a right model is rejected",
        label="Without the correction for steps a right model is rejected, with it as often as asked for",
        show_x=lambda x: f"{x:g}", show_y=lambda y: f"{100 * y:.0f}%",
    )  # fmt: skip


def windows(real: spiking.Spikes | None) -> Markup:
    """Draw Fano factors against the window: exact, from drawn trains, and of a real one."""
    hawkes = spiking.Hawkes(10.0, 0.6, 20.0)
    laws = (
        ("Hawkes, n = 0.6", "warm", "diamond", hawkes, hawkes.sample(600.0, rng=0)),
        ("gamma, shape 4", "blue", "circle", spiking.GammaRenewal(4.0, 25.0), None),
        ("Poisson", "grey", "circle", spiking.PoissonDeadTime(25.0), None),
    )
    lines = []
    for name, colour, shape, law, drawn in laws:
        trains = law.sample(600.0, rng=0) if drawn is None else drawn
        fine = np.geomspace(WINDOWS[0], WINDOWS[-1], 60)
        exact = [(float(t), *[float(np.ravel(law.fano(float(t)))[0])] * 3) for t in fine]
        lines.append(Line(name, exact, colour, dots=False))
        lines.append(Line("", points(trains, WINDOWS), colour, shape, joined=False))
    if real is not None:
        lines.append(Line("ganglion cell, light", points(real, WINDOWS[:-2]), "ink", "square", joined=True))
    return chart(
        lines, x_ticks=[0.005, 0.02, 0.1, 0.5, 2, 5], y_ticks=[0.2, 0.5, 1, 2, 5, 10], log_y=True, height=340.0,
        x_title="window, s (log scale)", y_title="variance over mean of the spikes in a window (log scale)",
        label="Fano factors against the window: drawn trains lie on the exact lines, a real one far above Poisson",
        show_x=lambda x: f"{x:g}", show_y=lambda y: f"{y:g}",
    )  # fmt: skip


def points(spikes: spiking.Spikes, lengths: np.ndarray) -> list[tuple[float, float, float, float]]:
    """Return Fano factors of the first unit with intervals."""
    found = [(float(t), spiking.fano_factor(spikes, float(t))) for t in lengths]
    return [(t, float(one.value[0]), *(float(end[0]) for end in one.interval())) for t, one in found]


def table(real: dict[str, spiking.Spikes]) -> list[str]:
    """Return the rows about the ganglion cell."""
    rows = ["| | " + " | ".join(real) + " |", "|---|---|---|"]
    statistics = (
        ("firing rate, Hz", None), ("CV of intervals", spiking.interval_cv), ("CV2", spiking.interval_cv2),
        ("Lv", spiking.local_variation), ("correlation of successive intervals", spiking.serial_correlation),
        ("Fano factor, windows of 0.05 s", lambda s: spiking.fano_factor(s, 0.05)),
        ("Fano factor, windows of 1 s", lambda s: spiking.fano_factor(s, 1.0)),
    )  # fmt: skip
    for name, statistic in statistics:
        cells = []
        for spikes in real.values():
            if statistic is None:
                cells.append(f"{spikes.firing_rates[0]:.1f}")
                continue
            found = statistic(spikes)
            low, high = (float(end[0]) for end in found.interval())
            cells.append(f"{found.value[0]:.2f} [{low:.2f}, {high:.2f}]".replace("-", "−"))
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    fits = (
        ("gamma law", lambda s: spiking.fit_gamma(s).law),
        ("Poisson with dead time", lambda s: spiking.fit_dead_time(s).law),
        ("Hawkes", lambda s: spiking.fit_hawkes(s).law),
    )  # fmt: skip
    for name, fit in fits:
        cells = []
        for spikes in real.values():
            test, p = spiking.fitted_test(spikes, fit, resamples=199, rng=0)
            cells.append(f"{test.statistic:.3f} (p = {p:.3f})")
        rows.append(f"| {name}, fitted: distance | " + " | ".join(cells) + " |")
    return rows


def main() -> int:
    """Draw both pictures and write the table into the page."""
    real = ganglion_cell()
    save("spike-trains-steps", steps())
    if real is None:
        return 1
    save("spike-trains-windows", windows(real["high light"]))
    page = HERE / "spike_trains.md"
    head, rest = page.read_text(encoding="utf-8").split("<!-- ganglion cell -->\n")
    tail = rest.split("<!-- end of ganglion cell -->")[1]
    rows = "\n".join([*table(real), "<!-- end of ganglion cell -->"])
    page.write_text(f"{head}<!-- ganglion cell -->\n{rows}{tail}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
