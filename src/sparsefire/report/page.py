"""One HTML file from one run folder: it works offline, without JavaScript, on paper and on a phone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from sparsefire.data import figures
from sparsefire.errors import UserError
from sparsefire.report import (
    candidates_table,
    coefficients_chart,
    curves_chart,
    errors_chart,
    four_numbers,
    groups,
    intervals_chart,
    size_chart,
    svg,
    wiring_chart,
)
from sparsefire.report.repeat import repeat
from sparsefire.report.run_folder import AGAIN, load_network, read_curves, read_verdict
from sparsefire.search import score_text, wording
from sparsefire.search.limits import limits
from sparsefire.studies.files import replace_file

Verdict = Mapping[str, Any]

_TEMPLATES = Path(__file__).parent / "templates"
_UNREADABLE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, AssertionError)


def write_report(folder: str | os.PathLike[str]) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    Args:
        folder: what ``sparsefire fit`` wrote: ``verdict.json``, ``results.parquet`` and the model files. Without
            ``results.parquet`` the learning curves are left out, without a model the wiring.

    Raises:
        UserError: the folder holds no readable ``verdict.json``, or another file in it is damaged.

    >>> import json, tempfile
    >>> from sparsefire.search.wording import EXAMPLE
    >>> with tempfile.TemporaryDirectory() as name:
    ...     _ = (Path(name) / "verdict.json").write_text(json.dumps(EXAMPLE))
    ...     text = write_report(name).read_text(encoding="utf-8")
    >>> "A network with 13,310 weights, 20 times fewer than the dense one, is not worse." in text
    True
    """
    run = Path(folder)
    verdict = read_verdict(run)
    results = run / "results.parquet"
    curves, reads = (read_curves(results, column) if results.exists() else {} for column in ("curve", "losses_read"))
    network = load_network(run)
    try:
        text = build_page(verdict, curves, network, reads, rebuild=f"sparsefire report {_shown_path(run)}")
    except _UNREADABLE as error:  # read_verdict looks at the outline only
        path = run / "verdict.json"
        raise UserError(
            f"{path} was changed, or written by another version.",
            came=f"{type(error).__name__}: {svg.shorten(error, 80)}",
            expected="verdict.json as sparsefire fit wrote it",
            attempt=AGAIN,
        ) from error
    out = run / "report.html"
    replace_file(out, text.encode(errors="replace"))
    return out


def build_page(
    verdict: Verdict,
    curves: curves_chart.Curves,
    network: Any | None,
    reads: curves_chart.Curves | None = None,
    *,
    rebuild: str = "",
) -> str:
    """Return the page as text.

    Args:
        verdict: the dictionary of ``verdict.json``; its words are made anew where they are missing.
        curves: learning curves per candidate, may be empty.
        network: has ``layers`` (list of (weight [out, in], bias), or None), ``feature_names`` and ``classes``; or None.
        reads: losses that rules had read by the end of each epoch, as the curves; may be empty.
        rebuild: the command that makes this page again.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> build_page(EXAMPLE, {}, None).count("<h1")
    1
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["clean"] = svg.clean
    score = verdict["data"]["score"]
    named = score_text.score_name(score)
    errors = _errors(verdict)
    beside = errors is not None and not errors.fan  # both halves of one row
    context = {
        "css": Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),  # our own file
        "title": _title(verdict),
        "words": {key: verdict.get(key) or value for key, value in wording.words(verdict).items()},
        "evidence": _evidence(verdict),
        "warnings": verdict.get("warnings") or (),
        "intervals": (intervals_chart.draw(verdict, width=340.0), intervals_chart.draw(verdict, width=358.0)),
        "tiles": four_numbers.tiles(verdict),
        "groups": [groups.section(verdict, group) for group in verdict.get("groups") or ()],
        "size": _size(verdict, named),
        "candidates": _candidates(verdict),
        "foretold": [
            (one["candidate"], f"{one['chance']:.0%}", one["text"].partition(": ")[2])
            for one in verdict.get("foretold") or ()
        ],
        "wiring": _wiring(verdict, network),
        "curves": _curves(verdict, curves, reads or {}, beside),
        "errors": errors,
        "limits": verdict.get("limits") or limits(verdict),
        "repeat": repeat(verdict),
        "command": verdict["plan"].get("command") or "",
        "data_table": (verdict["data"].get("table") or []),
        "rebuild": rebuild,
        "score_name": named,
        "score_head": named + (f", {score_text.score_unit(score)}" if score_text.score_unit(score) else ""),
        "difference_head": "minus dense"
        + (f", {score_text.difference_unit(score)}" if score_text.difference_unit(score) else ""),
    }
    return environment.get_template("page.html.jinja").render(context)


def _title(verdict: Verdict) -> str:
    data = verdict["data"]
    text = svg.shorten(data.get("name") or "data", 80)
    columns = [svg.shorten(group["column"], 40) for group in verdict.get("groups") or ()]
    return f"{text}, target {svg.shorten(data['target'], 60)}, by {' and '.join(columns)}" if columns else text


def _evidence(verdict: Verdict) -> list[dict[str, str]]:
    """Split every line at the part to stress, so that the template only places the pieces."""
    out = []
    for line in verdict.get("evidence") or wording.evidence(verdict):
        before, strong, after = line["text"].partition(line.get("strong") or "\0")
        out.append({"lead": line["lead"], "before": before, "strong": strong, "after": after})
    return out


def _size(verdict: Verdict, named: str) -> dict[str, Any] | None:
    if not size_chart.drawable(verdict):
        return None
    selected = verdict.get("selected")
    methods = {
        (row["kind"], row["method"]) for row in verdict["candidates"] if row["kind"] == "sparse" and row["score"]
    }
    chosen = wording.find(verdict, identifier=selected["candidate"]) if selected else None
    others = len(methods - ({(chosen["kind"], chosen["method"])} if chosen else set()))
    text = (
        f"Cross-validated {named} with 95% intervals. Inside the shaded band a network loses at most the margin. "
        "A filled mark passed the test, a hollow one did not or was not tested"
    )
    if others:
        word = "other" if chosen is not None and chosen["kind"] == "sparse" else "sparse"
        count = figures.in_words(others)
        one = f"line is the {word} method" if others == 1 else f"lines are the {count} {word} methods"
        text += f"; thin grey {one}".replace(f"{count} other", f"other {count}")
    return {
        "text": text + ".",
        "wide": size_chart.draw(verdict, width=960.0, height=380.0),
        "phone": size_chart.draw(verdict, width=358.0, height=300.0, phone=True),
    }


def _candidates(verdict: Verdict) -> dict[str, Any]:
    table = candidates_table.table(verdict)
    plan = verdict["plan"]
    chains = plan.get("chains") or len(plan.get("methods") or ()) or 1
    each = plan.get("level_each") or plan.get("level", 0.05) / chains
    share = f"one-sided at {figures.short_percent(each)} each"
    if chains > 1:
        share += (
            f": {figures.in_words(chains)} methods share the {figures.short_percent(plan.get('level', 0.05))} error"
        )
    return {
        "table": table,
        "level": figures.short_percent(1 - 2 * each),
        "note": f"intervals of the difference are {share}",
        "folded": len(table.everything) > len(table.shown),
    }


def _wiring(verdict: Verdict, network: Any | None) -> dict[str, Any] | None:
    if network is None:
        return None
    layers = network.layers
    names, classes = tuple(network.feature_names or ()), tuple(network.classes or ())
    target = str(verdict["data"]["target"])
    if layers is not None and len(layers) == 1:
        chart = coefficients_chart.draw(layers[0][0], names, classes)
        return {"kind": "linear", "chart": chart, "shown": len(chart.rows)}
    if not verdict.get("selected"):
        return None  # nothing was chosen, so there is no chosen network to draw
    if layers is None:
        kept = getattr(network, "kept_by_layer", ())
        rows = [(svg.clean(name), figures.count(left), figures.count(of)) for name, left, of in kept]
        return {"kind": "other", "rows": rows}
    return {"kind": "mlp", "chart": wiring_chart.draw(layers, names, classes, target=target)}


def _curves(
    verdict: Verdict, curves: curves_chart.Curves, reads: curves_chart.Curves, beside: bool
) -> dict[str, Any] | None:
    panels = curves_chart.panels(verdict, curves)
    if not panels:
        return None
    score = verdict["data"]["score"]
    unit = f" ({score_text.score_unit(score)})" if score_text.score_unit(score) else ""
    name = score_text.score_name(score)
    text = (
        f"{name[0].upper()}{name[1:]}{unit} on held-out folds; thin lines are single runs, the thick one is their mean"
    )
    text += ", the dotted line is dense." if len(panels) > 1 else "."
    drawn = [wording.find(verdict, identifier=panel.candidate) for panel in panels]
    if any(row is not None and row["method"] in curves_chart.PRUNES_WHILE_TRAINING for row in drawn):
        text += " Dips: weights being pruned."
    if any(run[-1] > 0 for panel in panels for run in reads.get(panel.candidate, ())):
        text += " From left to right: how many losses the rule has read."
    return {
        "text": text,
        "wide": curves_chart.draw(verdict, curves, reads, width=500.0 if beside else 960.0, columns=3 if beside else 6),
        "phone": curves_chart.draw(verdict, curves, reads, width=358.0, columns=2),
    }


def _errors(verdict: Verdict) -> errors_chart.Errors | None:
    errors = verdict.get("errors") or {}
    if errors.get("confusion"):
        return errors_chart.confusion(errors["confusion"], [str(name) for name in verdict["data"]["classes"]])
    if errors.get("residuals"):
        both = errors["residuals"]
        return errors_chart.residuals(both["prediction"], both["residual"], str(verdict["data"]["target"]))
    return None


def _shown_path(run: Path) -> str:
    """The folder as it is typed from here; a folder elsewhere goes by its name, so that no home is told."""
    try:
        relative = os.path.relpath(run)
    except ValueError:  # another drive
        return run.name
    return run.resolve().name if relative.startswith("..") else relative.replace(os.sep, "/")
