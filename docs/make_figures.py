"""Draw every picture of the documentation: from a run folder, the table of the benchmark, and measured.json.

The table of methods in sparse-training.md is written too.

Usage: python docs/make_figures.py runs/digits     (what `make demo` leaves behind)
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import duckdb
import numpy as np
from markupsafe import Markup

from sparsefire.cascades import SizeDistribution
from sparsefire.propagation import dead_share, kurtosis
from sparsefire.report import cascade_chart, curves_chart, errors_chart, intervals_chart, size_chart, svg, wiring_chart
from sparsefire.report.run_folder import load_network, read_curves, read_verdict
from sparsefire.sparsity import list_methods
from sparsefire.statistics import wilson
from sparsefire.wiring import densities

HERE = Path(__file__).parent
IMAGES = HERE / "images"
PAGE = 860.0


@dataclass(frozen=True)
class Line:
    """One named series: points (x, y, low, high), a colour class, and whether dots and a line are drawn."""

    name: str
    points: Sequence[tuple[float, float, float, float]]
    colour: str
    shape: str = "circle"
    dots: bool = True
    joined: bool = True


def style() -> Markup:
    """Return the report's own style for pictures, in light colours, so that a picture can stand alone."""
    css = files("sparsefire.report").joinpath("templates/page.css").read_text(encoding="utf-8")
    colours = re.search(r":root \{.*?\}", css, re.DOTALL)
    shapes = re.search(r"^svg text \{.*?(?=^@media)", css, re.DOTALL | re.MULTILINE)
    assert colours is not None, "page.css begins with its colours"
    assert shapes is not None, "page.css has its shapes before the rules for narrow screens"
    font = "svg { font-family: system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; background: #fff; }"
    return Markup("<style>{}</style>").format(Markup(f"{colours[0]}\n{font}\n{shapes[0]}"))


def save(name: str, drawn: Markup, pad: int = 16) -> None:
    """Write one picture with its style and some room around it."""

    def widen(found: re.Match[str]) -> str:
        width, height = (float(value) + 2 * pad for value in found.groups())
        box = f"{-pad} {-pad} {svg.number(width)} {svg.number(height)}"
        size = f'width="{svg.number(width)}" height="{svg.number(height)}"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" {size}'

    text, count = re.subn(r'^<svg viewBox="0 0 ([\d.]+) ([\d.]+)" width="[^"]+" height="[^"]+"', widen, str(drawn))
    assert count == 1, name
    head, rest = text.split(">", 1)
    (IMAGES / f"{name}.svg").write_text(f"{head}>{style()}{rest}\n", encoding="utf-8")


def chart(
    lines: Sequence[Line],
    *,
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    x_title: str,
    y_title: str,
    label: str,
    show_x: Callable[[float], str],
    show_y: Callable[[float], str],
    log_x: bool = True,
    log_y: bool = False,
    height: float = 300.0,
) -> Markup:
    """Return a line chart with whiskers, and names at the right end of the lines."""
    left, top, right, bottom = 52.0, 26.0, PAGE - 190.0, height - 44.0

    def x(value: float) -> float:
        scale = math.log if log_x else float
        low, high = scale(x_ticks[0]), scale(x_ticks[-1])
        return left + 14 + (scale(value) - low) / (high - low) * (right - left - 28)

    def y(value: float) -> float:
        scale = math.log if log_y else float
        low, high = scale(y_ticks[0]), scale(y_ticks[-1])
        return bottom - (scale(max(value, y_ticks[0])) - low) / (high - low) * (bottom - top)

    parts = [svg.text(0, 10, y_title, "soft")]
    for value in y_ticks:
        parts += [svg.line(left, y(value), right, y(value), "hair")]
        parts += [svg.text(left - 8, y(value) + 4, show_y(value), "soft", anchor="end")]
    for value in x_ticks:
        parts += [svg.text(x(value), bottom + 18, show_x(value), "soft", anchor="middle")]
    parts.append(svg.text((left + right) / 2, height - 4, x_title, "soft", anchor="middle"))
    ends = _apart([(y(line.points[-1][1]), line) for line in lines])
    for at, line in ends:
        dash = " dash" if line.shape == "square" else ""
        if line.joined:
            parts.append(svg.path([(x(p[0]), y(p[1])) for p in line.points], f"bar thin{dash} {line.colour}"))
        for px, py, low, high in line.points if line.dots else ():
            if math.isfinite(low) and math.isfinite(high):  # one value alone has no interval
                parts.append(svg.line(x(px), y(low), x(px), y(high), f"bar whisker {line.colour}"))
            parts.append(svg.mark(x(px), y(py), line.shape, f"filled {line.colour}", size=4))
        words = {"blue": "blue-text", "warm": "warm-text"}.get(line.colour, "soft" if line.colour == "grey" else "")
        parts.append(svg.text(right + 8, at + 4, line.name, words))
    return svg.picture(parts, width=PAGE, height=height, label=label)


def _apart(spots: list[tuple[float, Line]], room: float = 16.0) -> list[tuple[float, Line]]:
    """Move labels apart that would overlap; lines without a name need no room."""
    placed: list[tuple[float, Line]] = []
    last = -math.inf
    for at, line in sorted(spots, key=lambda spot: spot[0]):
        if line.name:
            at = last = max(at, last + room)
        placed.append((at, line))
    return placed


def report_pictures(run: Path) -> None:
    """Draw the pictures of the report of a run."""
    verdict, curves, network = read_verdict(run), read_curves(run / "results.parquet"), load_network(run)
    save("size", size_chart.draw(verdict, width=PAGE, height=360.0))
    save("intervals", intervals_chart.draw(verdict, width=400.0))
    save("curves", curves_chart.draw(verdict, curves, width=620.0, columns=3))
    if network is not None and network.layers is not None and len(network.layers) > 1:
        drawn = wiring_chart.draw(network.layers, network.feature_names, network.classes, target="")
        save("wiring", drawn.wide)
    if verdict["errors"].get("confusion"):
        classes = [str(name) for name in verdict["data"]["classes"]]
        save("errors", errors_chart.confusion(verdict["errors"]["confusion"], classes).wide)


CASES = {
    "cls fix": "fixed random weights",
    "cls cut": "inputs left out",
    "cls eq": "equal learners",
    "reg drop": "regression, R²",
    "heavy cut": "heavy tails, R²",
    "knn": "nearest neighbours",
    "tree": "trees",
    "auc cut": "rare class, AUC",
    "grouped cut": "repeated rows",
    "bad starts": "bad initialisations",
}


def false_pass_rows(page: str) -> list[tuple[str, int, float, float, str]]:
    """Read the first table of decision_level.md: name, data sets, our rate, the usual one (percent), kept or warned."""
    rows = []
    for text in page.split("## Power")[0].splitlines():
        cells = [cell.strip() for cell in text.strip("|").split("|")]
        if len(cells) != 12 or not cells[1].replace(",", "").isdigit() or "squared error" in cells[0]:
            continue
        name, sets = cells[0].split(" (")[0], int(cells[1].replace(",", ""))
        rows.append((name, sets, float(cells[2].split()[0]), float(cells[5]), cells[3]))
    return rows


def false_passes() -> Markup:
    """Draw how often a network that is worse by exactly the margin passes: our bound and the usual one."""
    rows = false_pass_rows((HERE / "decision_level.md").read_text(encoding="utf-8"))
    rows.sort(key=lambda row: (row[4] == "warned", int(re.findall(r"\d+", row[0])[0])))
    left, top, step, right = 264.0, 44.0, 23.0, PAGE - 20.0
    bottom = top + step * len(rows)

    def x(percent: float) -> float:
        return left + percent / 50.0 * (right - left)

    parts = [svg.text(x(5), 12, "promised: at most 5%", "blue-text")]
    parts.append(svg.line(x(5), 20, x(5), bottom, "margin-line"))
    for tick in range(0, 51, 10):
        parts.append(svg.line(x(tick), top - 8, x(tick), bottom, "hair"))
        parts.append(svg.text(x(tick), bottom + 18, f"{tick}%", "soft", anchor="middle"))
    for number, (name, sets, ours, naive, kept) in enumerate(rows):
        y = top + step * (number + 0.5)
        digits = re.findall(r"\d+", name)
        words = CASES[re.split(r" \d", name)[0]]
        words += ", 20 rounds" if "M 20" in name else f", {int(digits[0]):,} rows"
        words += " (warned)" if kept == "warned" else ""
        parts.append(svg.text(left - 12, y + 4, words, "soft" if kept == "warned" else "", anchor="end"))
        for rate, colour, shape in ((naive, "warm", "square"), (ours, "blue", "circle")):
            _, low, high = wilson(round(rate / 100 * sets), sets)
            parts.append(svg.line(x(100 * low), y, x(100 * high), y, f"bar whisker {colour}"))
            parts.append(svg.mark(x(rate), y, shape, f"filled {colour}", size=4))
    parts.append(svg.mark(x(24), 8, "circle", "filled blue", size=4))
    parts.append(svg.text(x(24) + 10, 12, "sparsefire", "blue-text"))
    parts.append(svg.mark(x(33), 8, "square", "filled warm", size=4))
    parts.append(svg.text(x(33) + 10, 12, "usual cross-validation bound", "warm-text"))
    title = "networks passed that are worse by exactly the margin"
    parts.append(svg.text((left + right) / 2, bottom + 38, title, "soft", anchor="middle"))
    label = "False passes: sparsefire's bound stays near or below 5%, the usual bound lies between 7% and 44%"
    return svg.picture(parts, width=PAGE, height=bottom + 44, label=label)


def learning_rates(measured: Sequence[dict[str, Any]]) -> Markup:
    """Draw accuracy against learning rate."""
    named = {"dense": ("dense", "ink", "circle"), "gmp": ("gmp, density 0.02", "blue", "circle"),
             "static": ("static, density 0.02", "warm", "square")}  # fmt: skip
    lines = []
    for method, (name, colour, shape) in named.items():
        rows = [row for row in measured if row["method"] == method]
        points = [(r["rate"], sum(r["scores"]) / len(r["scores"]), min(r["scores"]), max(r["scores"])) for r in rows]
        lines.append(Line(name, points, colour, shape))
    return chart(
        lines, x_ticks=(1e-3, 3e-3, 1e-2, 3e-2), y_ticks=(0.4, 0.6, 0.8, 1.0), x_title="learning rate (log scale)",
        y_title="accuracy on held-out digits; whiskers: lowest and highest of three splits",
        label="Sparse networks need a higher learning rate than dense ones", show_x=lambda v: f"{v:g}",
        show_y=lambda v: f"{100 * v:.0f}%",
    )  # fmt: skip


def forward_gradient(measured: Sequence[dict[str, Any]]) -> Markup:
    """Draw the measured relative variance of forward gradients and the formula."""
    lines = []
    looks = (("blue", "circle"), ("warm", "square"))
    for active, (colour, shape) in zip(sorted({row["active"] for row in measured}), looks, strict=True):
        rows = [row for row in measured if row["active"] == active]
        points = [
            (r["directions"], r["relative_variance"], r["relative_variance"] - 2 * r["error"],
             r["relative_variance"] + 2 * r["error"]) for r in rows
        ]  # fmt: skip
        theory = [(r["directions"], (active - 1) / r["directions"], 0.0, 0.0) for r in rows]
        lines.append(Line(f"{active} active weights", points, colour, shape))
        lines.append(Line("", theory, "grey", dots=False))
    return chart(
        lines, x_ticks=(1, 4, 16, 64), y_ticks=(1, 10, 100, 1000), x_title="directions K (log scale)",
        y_title="E|g − ∇L|² / |∇L|²: marks are measured (± 2 errors of the mean), grey lines are (N − 1)/K",
        label="The measured relative variance follows (N − 1)/K", show_x=lambda v: f"{v:g}",
        show_y=lambda v: f"{v:,.0f}", log_y=True,
    )  # fmt: skip


def rule_estimates(measured: Sequence[dict[str, Any]]) -> Markup:
    """Draw how near one estimate is to the gradient, against the losses that it read."""
    names = list(dict.fromkeys(row["rule"] for row in measured))
    looks = (("blue", "circle"), ("warm", "square"), ("ink", "diamond"), ("grey", "circle"), ("blue", "diamond"))
    lines = []
    for name, (colour, shape) in zip(names, looks, strict=True):
        rows = [row for row in measured if row["rule"] == name]
        points = [(r["queries"], r["cosine"], r["cosine"] - 2 * r["error"], r["cosine"] + 2 * r["error"]) for r in rows]
        lines.append(Line(name, points, colour, shape))
    return chart(
        lines, x_ticks=(1, 10, 100, 1_000, 10_000), y_ticks=(0, 0.25, 0.5, 0.75, 1.0),
        x_title="losses read for one estimate (log scale); losses of single rows count one each",
        y_title="cosine of one estimate with the gradient (± 2 errors of the mean), 2,410 weights, 256 rows",
        label="Cosine with the gradient against the losses read, by rule", show_x=lambda v: f"{v:,.0f}",
        show_y=lambda v: f"{v:g}",
    )  # fmt: skip


def estimators(measured: Sequence[dict[str, Any]]) -> Markup:
    """Draw the held-out accuracy of SparseClassifier against its number of weights."""

    def point(row: dict[str, Any]) -> tuple[float, float, float, float]:
        value, spread = mean(row["scores"]), stdev(row["scores"])
        return row["weights"], value, value - spread, value + spread

    sparse = sorted(point(row) for row in measured if row["model"] == "SparseClassifier")
    linear = next(point(row) for row in measured if row["model"] == "logistic regression")
    lines = [Line("SparseClassifier", sparse, "blue"), Line("logistic regression", [linear], "ink", "diamond")]
    return chart(
        lines, x_ticks=(10, 100, 1_000, 10_000, 100_000), y_ticks=(0.9, 0.92, 0.94, 0.96, 0.98, 1.0),
        x_title="weights (log scale)",
        y_title="accuracy on held-out rows of breast_cancer, mean ± standard deviation of ten splits",
        label="Accuracy of SparseClassifier against its number of weights", show_x=lambda v: f"{v:,.0f}",
        show_y=lambda v: f"{100 * v:.0f}%",
    )  # fmt: skip


def cascade_bimodal(measured: dict[str, Any], probability: float = 0.03) -> Markup:
    """Draw the law of cascades from one airport: a handful or hundreds, and a mean that hardly ever happens."""
    row = next(row for row in measured["laws"] if row["probability"] == probability)
    counts = np.zeros(measured["units"] + 1, dtype=np.int64)
    for pair in row["sizes"].split():
        size, count = map(int, pair.split(":"))
        counts[size] = count
    return cascade_chart.draw_sizes(SizeDistribution.from_counts(counts), width=PAGE, height=300.0)


def layouts(density: float = 0.05) -> Markup:
    """Draw how each layout shares a density out over the layers of one network."""
    widths = (784, 512, 256, 128, 64, 10)
    shapes = {f"layer {i}": (widths[i], widths[i - 1]) for i in range(1, len(widths))}
    looks = (("uniform", "ink", "circle"), ("erk", "blue", "circle"), ("balanced", "warm", "square"),
             ("pyramidal", "grey", "diamond"))  # fmt: skip
    lines = []
    for name, colour, shape in looks:
        found = densities(shapes, density, name)
        points = sorted((math.prod(shapes[layer]), d, d, d) for layer, d in found.items())
        lines.append(Line(name, points, colour, shape))
    return chart(
        lines, x_ticks=(500, 5_000, 50_000, 500_000), y_ticks=(0.001, 0.01, 0.1, 1.0),
        x_title="weights of the layer when dense (log scale), the last layer on the left",
        y_title=f"density of the layer; all layers together keep {density:.0%}",
        label="Density by layer under four layouts", show_x=lambda v: f"{v:,.0f}", show_y=lambda v: f"{v:g}",
        log_y=True,
    )  # fmt: skip


LAYERS = (1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30)


def _law_and_networks(
    law: np.ndarray, measured: dict[str, list[float]], name: str, colour: str, shape: str
) -> list[Line]:
    """Return a law by layer as a line, and simulated networks as dots with whiskers."""
    at = [layer - 1 for layer in LAYERS if layer <= len(law)]
    seen = [(i + 1.0, measured["mean"][i], measured["5%"][i], measured["95%"][i]) for i in at]
    points = [(layer, value, value, value) for layer, value in enumerate(law.tolist(), start=1)]
    return [Line("", seen, colour, shape, joined=False), Line(name, points, colour, dots=False)]


def dead_units(measured: Sequence[dict[str, Any]], depth: int = 30) -> Markup:
    """Draw the share of units that no signal reaches, by depth and fan-in."""
    looks = {2: ("warm", "square"), 3: ("ink", "circle"), 4: ("blue", "diamond")}
    rows = {row["fan_in"]: row for row in measured if row["weights"] == "normal"}
    lines = []
    for fan_in, look in looks.items():
        lines += _law_and_networks(dead_share(fan_in, depth), rows[fan_in]["dead_share"], f"fan-in {fan_in}", *look)
    return chart(
        lines, x_ticks=(1, 5, 10, 15, 20, 25, 30), y_ticks=(0.0, 0.25, 0.5, 0.75, 1.0), x_title="layer",
        y_title="units that no signal reaches; lines: the law, marks: 40 networks of width 1,000, whiskers: 5 to 95%",
        label="With a fan-in of 2 nearly all units die with depth, with 3 a quarter, with 4 one in eleven",
        show_x=lambda v: f"{v:g}", show_y=lambda v: f"{100 * v:.0f}%", log_x=False,
    )  # fmt: skip


def kurtosis_by_layer(measured: Sequence[dict[str, Any]], depth: int = 20) -> Markup:
    """Draw the kurtosis of pre-activations by depth, normal weights and signs."""
    looks = {
        (4, "normal"): ("fan-in 4, normal", "warm", "square"),
        (8, "normal"): ("fan-in 8, normal", "ink", "circle"),
        (4, "sign"): ("fan-in 4, signs", "blue", "diamond"),
    }
    rows = {(row["fan_in"], row["weights"]): row["kurtosis"] for row in measured}
    lines = []
    for (fan_in, weights), look in looks.items():
        lines += _law_and_networks(kurtosis(fan_in, depth, weights), rows[fan_in, weights], *look)
    return chart(
        lines, x_ticks=(1, 5, 10, 15, 20), y_ticks=(1, 10, 100, 1_000, 10_000, 100_000), x_title="layer",
        y_title="kurtosis of what enters the ReLUs (log scale); lines: the law, marks: means of 40 networks of width "
        "1,000", label="With fan-in 4 the kurtosis of normal weights explodes, that of signs stays at 4.5",
        show_x=lambda v: f"{v:g}", show_y=lambda v: f"{v:,.0f}", log_x=False, log_y=True,
    )  # fmt: skip


def typical_signal(measured: Sequence[dict[str, Any]]) -> Markup:
    """Draw quantiles of |x_l|² by depth, dense and sparse, below a mean that stays where it was."""
    height, top, wide = 320.0, 52.0, 330.0
    bottom = height - 44.0
    low, high = 0.007, 10.0

    def y(value: float) -> float:
        return bottom - math.log(value / low) / math.log(high / low) * (bottom - top)

    title = "|x|² of a layer over that of the input (log scale); bands: 5 to 95%, 25 to 75% of He-scaled ReLU networks"
    parts = [svg.text(0, 10, title, "soft")]
    titles = ("dense, width 100", "sparse, width 500, fan-in 5")
    for row, title, left in zip(measured, titles, (52.0, 452.0), strict=True):
        rows, depth = row["quantiles"], len(row["quantiles"]["0.5"])

        def x(layer: float, left: float = left, depth: int = depth) -> float:
            return left + (layer - 1) / (depth - 1) * wide

        for value in (0.01, 0.1, 1.0, 10.0):
            parts += [svg.line(left, y(value), left + wide, y(value), "hair")]
            parts += [svg.text(left - 8, y(value) + 4, f"{value:g}", "soft", anchor="end")]
        for layer in (1, 10, 20, 30, 40, 50):
            parts.append(svg.text(x(layer), bottom + 18, f"{layer}", "soft", anchor="middle"))
        parts.append(svg.text(left + wide / 2, height - 4, "layer", "soft", anchor="middle"))
        parts.append(svg.text(left, top - 10, title, "strong"))
        lines = {name: [(x(at), y(v)) for at, v in enumerate(values, start=1)] for name, values in rows.items()}
        for outer, inner in (("0.95", "0.05"), ("0.75", "0.25")):
            parts.append(svg.path([*lines[outer], *lines[inner][::-1]], "band"))
        median = lines["0.5"]
        parts.append(svg.path(median, "bar blue"))
        parts.append(svg.line(left, y(1.0), left + wide, y(1.0), "bar thin dash warm"))
        parts.append(svg.text(left + wide - 4, y(1.0) - 6, "mean", "warm-text", anchor="end"))
        parts.append(svg.text(x(38), median[37][1] - 8, "median", "blue-text", anchor="middle"))
    label = "The mean of |x|² stays at 1 while the median shrinks with depth and the law widens"
    return svg.picture(parts, width=PAGE, height=height, label=label)


def methods_table(place: str = "digits", densities: Sequence[float] = (0.1, 0.02)) -> Markup:
    """Draw what each method is worth on one data set: the paired difference to dense, lowest to highest split."""
    with duckdb.connect() as connection:
        table = connection.sql(f"SELECT * FROM '{HERE / 'methods_table.parquet'}'").df()
    table = table[(table.place == place) & table.density.isin(densities) & table.accuracy.notna()]
    sparsest = table[table.density == min(densities)].groupby("method").difference.mean()
    order = sparsest.sort_values(ascending=False).index
    left, top, step, right = 150.0, 44.0, 19.0, PAGE - 20.0
    bottom, lowest = top + step * len(order), -0.25

    def x(value: float) -> float:
        return left + (max(value, lowest) - lowest) / (0.02 - lowest) * (right - left)

    parts = [svg.line(x(0), top - 8, x(0), bottom, "margin-line"), svg.text(x(0), 30, "dense", "soft", anchor="middle")]
    for tick in (-0.25, -0.2, -0.15, -0.1, -0.05):
        parts.append(svg.line(x(tick), top - 8, x(tick), bottom, "hair"))
        parts.append(svg.text(x(tick), bottom + 18, f"{100 * tick:.0f}", "soft", anchor="middle"))
    for number, method in enumerate(order):
        y = top + step * (number + 0.5)
        parts.append(svg.text(left - 12, y + 4, str(method), "" if method != "narrow" else "warm-text", anchor="end"))
        for density, colour, shape in zip(densities, ("blue", "warm"), ("circle", "square"), strict=True):
            gaps = table[(table.method == method) & (table.density == density)].difference
            if len(gaps):
                parts.append(svg.line(x(gaps.min()), y, x(gaps.max()), y, f"bar whisker {colour}"))
                parts.append(svg.mark(x(gaps.mean()), y, shape, f"filled {colour}", size=4))
    for at, density, colour, shape in zip((0, 120), densities, ("blue", "warm"), ("circle", "square"), strict=True):
        parts.append(svg.mark(left + at, 8, shape, f"filled {colour}", size=4))
        parts.append(svg.text(left + at + 10, 12, f"density {density:g}", f"{colour}-text"))
    title = "points of accuracy to dense (at −25: that or less); whiskers: lowest and highest of three splits"
    parts.append(svg.text((left + right) / 2, bottom + 38, title, "soft", anchor="middle"))
    label = f"Methods on {place}, sorted by their accuracy at density {min(densities):g}"
    return svg.picture(parts, width=PAGE, height=bottom + 44, label=label)


def write_methods_table() -> None:
    """Write the table of methods into the page on sparse training."""
    page = HERE / "sparse-training.md"
    table = list_methods()
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(str(cell) or "–" for cell in row) + " |" for row in table.itertuples(index=False)]
    head, rest = page.read_text(encoding="utf-8").split("<!-- methods -->\n")
    tail = rest.split("<!-- end of methods -->")[1]
    text = "\n".join([f"{head}<!-- methods -->", *lines, f"<!-- end of methods -->{tail}"])
    page.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Draw everything."""
    if len(arguments) != 1:
        print(__doc__)
        return 2
    IMAGES.mkdir(exist_ok=True)
    measured = json.loads((HERE / "measured.json").read_text(encoding="utf-8"))
    write_methods_table()
    report_pictures(Path(arguments[0]))
    save("false-passes", false_passes())
    save("learning-rates", learning_rates(measured["learning_rates"]))
    save("forward-gradient", forward_gradient(measured["forward_gradient_variance"]))
    save("rule-estimates", rule_estimates(measured["rule_estimates"]))
    save("estimators", estimators(measured["estimator_scores"]))
    save("layouts", layouts())
    save("cascade-bimodal", cascade_bimodal(measured["airport_cascades"]))
    save("dead-units", dead_units(measured["sparse_relu_networks"]))
    save("typical-signal", typical_signal(measured["norm_by_depth"]))
    save("methods-table", methods_table())
    save("kurtosis", kurtosis_by_layer(measured["sparse_relu_networks"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
