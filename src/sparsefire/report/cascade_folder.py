"""The folder of a cascade: the law and the marginals as Parquet, the settings as JSON, and the page."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsefire.cascades.sampling.runs import Marginals
from sparsefire.report import cascade_text, result_folder
from sparsefire.report.cascade_page import build_page
from sparsefire.report.cascade_text import Outcome
from sparsefire.report.rendering import versions
from sparsefire.report.result_folder import write_columns
from sparsefire.studies.files import plain, replace_file

LAW = "law.json"
FILES = ("sizes.parquet", "marginals.parquet", "cascade.html", LAW)  # in the order in which they are put in place


def check_folder(folder: Path, asked: Mapping[str, Any]) -> None:
    """Raise unless the folder is free, empty, or holds the results of the same settings.

    Args:
        folder: where results are to go.
        asked: everything that decides the result, as for :func:`write_cascade`.

    Raises:
        UserError: another cascade, other files, or a place that cannot be written.
    """
    result_folder.check_folder(folder, asked, told=LAW, what="cascade")


def write_cascade(
    folder: str | os.PathLike[str], outcome: Outcome, asked: Mapping[str, Any], command: str = ""
) -> Path:
    """Write ``sizes.parquet``, ``marginals.parquet``, ``law.json`` and ``cascade.html``; return the path of the page.

    Everything is made beside the folder first and then moved, so the folder never holds half of a file, and an
    interrupted first writing leaves no folder.

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
        write_columns(unnamed / "sizes.parquet", _sizes(outcome))
        if outcome.marginals is not None:
            write_columns(unnamed / "marginals.parquet", _units(outcome, outcome.marginals))
        replace_file(unnamed / "cascade.html", page.encode(errors="replace"))
        text = json.dumps(plain(_law(outcome, asked, command)), indent=1, ensure_ascii=False)
        replace_file(unnamed / LAW, (text + "\n").encode(errors="replace"))
    return out / "cascade.html"


def _law(outcome: Outcome, asked: Mapping[str, Any], command: str) -> dict[str, Any]:
    law = outcome.law
    return {
        "format": 1,
        "asked": dict(asked),
        "command": command,
        "model": outcome.model,
        "units": outcome.units,
        "arcs": outcome.arcs,
        "method": law.method,
        "samples": law.samples,
        "headline": cascade_text.headline(outcome),
        "mean": law.mean(),
        "standard_deviation": float(np.sqrt(law.variance())),
        "quantiles": [
            {"share": q, "size": size, "low": low, "high": high}
            for q, size, low, high in cascade_text.quantile_rows(law)
        ],
        "band_half_width": None if law.samples is None else cascade_text.half_width(law.samples),
        "groups": [vars(group) for group in cascade_text.modes(law)],
        "versions": versions(),
    }


def _sizes(outcome: Outcome) -> dict[str, np.ndarray]:
    """The columns of sizes.parquet; low and high are the limits of the cdf, null where nothing was sampled."""
    law = outcome.law
    low, high = law.band if law.band is not None else (np.full(len(law.pmf), np.nan),) * 2
    named = {"size": law.support, "probability": law.pmf, "log_probability": law.log_pmf, "cdf": law.cdf}
    return {**named, "low": low, "high": high}


def _units(outcome: Outcome, found: Marginals) -> dict[str, np.ndarray]:
    """The columns of marginals.parquet."""
    low, high = found.interval() or (np.full(len(found), np.nan),) * 2
    return {
        "unit": np.array(outcome.names, dtype=object), "probability": found.probability, "low": low, "high": high
    }  # fmt: skip
