"""The folder of learning curves: risks as Parquet, findings as JSON, the page, and the runs while they are made."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsefire.report import convergence_text, result_folder
from sparsefire.report.convergence_page import build_page
from sparsefire.report.convergence_text import Curve, Exponent, Outcome
from sparsefire.report.rendering import versions
from sparsefire.report.result_folder import write_columns
from sparsefire.studies.files import plain, replace_file

TOLD = "convergence.json"
FILES = ("risk.parquet", "convergence.html", TOLD)  # in the order in which they are put in place
PARTS = "parts"


def check_folder(folder: Path, asked: Mapping[str, Any]) -> None:
    """Raise unless the folder is free, empty, or holds results, finished or not, of the same settings.

    Args:
        folder: where results are to go.
        asked: everything that decides the result; plain values by name.

    Raises:
        UserError: another convergence, other files, or a place that cannot be written.
    """
    result_folder.check_folder(folder, asked, told=TOLD, what="convergence")


def begin_convergence(folder: Path, asked: Mapping[str, Any], command: str = "") -> Path:
    """Make the folder with its settings, so that an interrupted command finds it again; return where runs are kept.

    Args:
        folder: fresh, empty, or with results of the same settings, which stay.
        asked: everything that decides the result.
        command: as it was typed.

    Raises:
        UserError: see :func:`check_folder`.
    """
    check_folder(folder, asked)
    if not (folder / TOLD).exists():
        with result_folder.filled(folder, FILES) as unnamed:
            _write_told(unnamed, {"format": 1, "asked": dict(asked), "command": command, "finished": False})
    return folder / PARTS


def write_convergence(
    folder: str | os.PathLike[str], outcome: Outcome, asked: Mapping[str, Any], command: str = ""
) -> Path:
    """Write ``risk.parquet``, ``convergence.json`` and ``convergence.html``; return the path of the page.

    Everything is made beside the folder first and then moved, so the folder never holds half of a file.

    Args:
        folder: fresh, empty, or with the results of the same settings.
        outcome: what was found.
        asked: everything that decides the result; plain values by name.
        command: as it was typed.

    Raises:
        UserError: see :func:`check_folder`.
    """
    out = Path(folder)
    check_folder(out, asked)
    page = build_page(outcome, asked, command)
    with result_folder.filled(out, FILES) as unnamed:
        write_columns(unnamed / "risk.parquet", _columns(outcome))
        replace_file(unnamed / "convergence.html", page.encode(errors="replace"))
        _write_told(unnamed, _told(outcome, asked, command))
    return out / "convergence.html"


def _write_told(folder: Path, told: Mapping[str, Any]) -> None:
    text = json.dumps(plain(told), indent=1, ensure_ascii=False)
    replace_file(folder / TOLD, (text + "\n").encode(errors="replace"))


def _columns(outcome: Outcome) -> dict[str, np.ndarray]:
    """The columns of risk.parquet; exact is null where there is no recursion."""
    curves = outcome.curves
    columns = {
        "dimension": np.concatenate([np.full(len(c.steps), c.dimension, dtype=np.int64) for c in curves]),
        "k": np.concatenate([np.asarray(c.steps, dtype=np.int64) for c in curves]),
    }
    for name in ("mean", "low", "high", "median", "q10", "q90"):
        columns[name] = np.concatenate([getattr(c, name) for c in curves])
    exact = [np.full(len(c.steps), np.nan) if c.exact is None else c.exact for c in curves]
    return {**columns, "exact": np.concatenate(exact)}


def _told(outcome: Outcome, asked: Mapping[str, Any], command: str) -> dict[str, Any]:
    return {
        "format": 1,
        "asked": dict(asked),
        "command": command,
        "finished": True,
        "headline": convergence_text.headline(outcome),
        "cautions": convergence_text.cautions(outcome),
        "in_dimension": _exponent(outcome.in_dimension),
        "dimensions": [_curve(outcome, curve) for curve in outcome.curves],
        "queries_per_sample": outcome.queries,
        "versions": versions(),
    }


def _curve(outcome: Outcome, curve: Curve) -> dict[str, Any]:
    return {
        "dimension": curve.dimension,
        "samples": int(curve.steps[-1]),
        "mean": float(curve.mean[-1]),
        "interval": [float(curve.low[-1]), float(curve.high[-1])],
        "median": float(curve.median[-1]),
        "exact": None if curve.exact is None else float(curve.exact[-1]),
        "in_samples": _exponent(curve.exponent),
        "limit_of_k_risk": curve.limit,
        "floor": curve.floor,
        "over_first_order": convergence_text.over_first_order(outcome, curve),
        "step_size": curve.step_size,
        "largest_step": curve.largest,
        "stability_limit": curve.stable,
    }


def _exponent(found: Exponent | None) -> dict[str, Any] | None:
    return None if found is None else vars(found)
