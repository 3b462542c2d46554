"""The pictures of convergence.md: what a rule costs, and what a mean hides near the limit of stability."""

from __future__ import annotations

import numpy as np
from make_figures import Line, chart  # type: ignore[import-not-found]
from markupsafe import Markup

import sparsefire as sf

DIMENSION, SAMPLES, RUNS = 20, 20_000, 256


def rules() -> Markup:
    """Draw exact and simulated risks of four ways to learn a linear regression, and what each tends to."""
    d, lines = DIMENSION, []
    arms = (
        ("forward gradient, normal", "warm", "circle", {"law": "normal"}, d * (d + 2)),
        ("… signs", "warm", "diamond", {"law": "rademacher"}, d * d),
        ("… mean of 20 directions", "blue", "circle", {"directions": 20}, d * (d + 21) / 20),
        ("the gradient", "ink", "circle", None, d),
    )
    for name, colour, shape, options, constant in arms:
        rule, options = ("sgd", {}) if options is None else ("forward-gradient", options)
        problem = sf.convergence.LinearRegression(d)
        schedule = sf.convergence.default_schedule(rule, problem, **options)
        found = sf.convergence.simulate_risk(
            rule, problem, steps=SAMPLES, step_size=schedule, runs=RUNS, record=60, rng=0, **options
        )
        low, high = found.interval()
        seen = found.steps >= 10
        points = list(zip(found.steps[seen], found.mean()[seen], low[seen], high[seen], strict=True))[::5]
        lines.append(Line("", [tuple(map(float, point)) for point in points], colour, shape, joined=False))
        exact = [
            (float(k), float(r), float(r), float(r)) for k, r in zip(found.steps[4:], found.exact[4:], strict=True)
        ]
        lines.append(Line(name, exact, colour, dots=False))
        theory = [(k, constant / k, constant / k, constant / k) for k in (5e3, 2e4)]
        lines.append(Line("", theory, "grey", "square", dots=False))
    return chart(
        lines, x_ticks=[10, 100, 1000, 10_000, 20_000], y_ticks=[1e-3, 1e-2, 1e-1, 1],
        x_title="samples (log scale)", y_title="risk E‖θ − θ*‖² (log scale)",
        label="Risk against samples of the gradient and of forward gradients: simulated points on exact lines",
        show_x=lambda k: f"{k:,.0f}", show_y=lambda r: f"{r:g}", log_y=True, height=360.0,
    )  # fmt: skip


def hidden_by_means() -> Markup:
    """Draw mean, median and quantiles at 95% of the largest stable step, without noise."""
    found = sf.convergence.simulate_risk(
        "forward-gradient", dimension=10, steps=1000, step_size=1.9 / 12**2, noise=0.0, runs=20_000, rng=0
    )
    every = np.arange(0, 1001, 20)

    def line(name: str, values: np.ndarray, colour: str, shape: str = "circle") -> Line:
        at = [(float(k), float(values[k]), float(values[k]), float(values[k])) for k in every]
        return Line(name, at, colour, shape, dots=False)

    low, high = found.quantile(0.1), found.quantile(0.9)
    return chart(
        [
            line("mean, exact", found.exact, "ink"), line("mean of 20,000 runs", found.mean(), "blue"),
            line("nine runs in ten are below", high, "grey", "square"), line("median", found.median(), "warm"),
            line("one run in ten is below", low, "grey", "square"),
        ],
        x_ticks=[0, 200, 400, 600, 800, 1000], y_ticks=[1e-4, 1e-3, 1e-2, 1e-1, 1, 10], x_title="samples", log_x=False,
        y_title="risk ‖θ − θ*‖² (log scale)", label="Near the limit of stability few runs carry the mean",
        show_x=lambda k: f"{k:,.0f}", show_y=lambda r: f"{r:g}", log_y=True, height=320.0,
    )  # fmt: skip
