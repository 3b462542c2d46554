"""The folder of a cascade: the law and the marginals as Parquet, the settings as JSON, and the page."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sparsefire.cascades.sampling.runs import Marginals
from sparsefire.errors import UserError
from sparsefire.report import cascade_text, svg
from sparsefire.report.cascade_page import build_page, versions
from sparsefire.report.cascade_text import Outcome
from sparsefire.studies import canonical
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
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file.", came=f"--out {folder}", expected="a folder, or a name that is free")
    if not os.access(there, os.W_OK):
        raise _unwritable(folder, "no permission")
    if there != folder or not any(folder.iterdir()):
        return
    came = f"--out {folder}, not empty"
    try:
        stored = json.loads((folder / LAW).read_text(encoding="utf-8"))["asked"]
        differing = sorted(key for key in {*asked, *stored} if _known(asked, key) != _known(stored, key))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{folder} holds files that are not a cascade.",
            came=came,
            expected="an empty folder, or the results of the same command",
            attempt=f"--out {folder}-2",
        ) from None
    if differing:
        raise UserError(
            f"{folder} already holds another cascade.",
            came=f"{came}, settings differ: {', '.join(svg.shorten(key, 40) for key in differing)}",
            expected="an empty folder, or the same data and settings",
            attempt=f"--out {folder}-2",
        )


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
    with _beside(out) as unnamed:
        _write_columns(unnamed / "sizes.parquet", _sizes(outcome))
        if outcome.marginals is not None:
            _write_columns(unnamed / "marginals.parquet", _units(outcome, outcome.marginals))
        replace_file(unnamed / "cascade.html", page.encode(errors="replace"))
        text = json.dumps(plain(_law(outcome, asked, command)), indent=1, ensure_ascii=False)
        replace_file(unnamed / LAW, (text + "\n").encode(errors="replace"))
        if out.exists() and any(out.iterdir()):
            for name in FILES:
                if (unnamed / name).exists():
                    os.replace(unnamed / name, out / name)
        else:
            if out.exists():
                out.rmdir()
            os.rename(unnamed, out)
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


def _write_columns(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write a Parquet file; NaN becomes null. Row by row, as in ``studies.parquet``, a million sizes take a minute."""
    import duckdb
    import pandas as pd

    table = pd.DataFrame(dict(columns))
    with duckdb.connect() as connection:
        connection.register("columns", table)
        select = ", ".join(
            f'CASE WHEN isnan("{name}") THEN NULL ELSE "{name}" END AS "{name}"'
            if values.dtype.kind == "f"
            else f'"{name}"'
            for name, values in columns.items()
        )
        connection.sql(f"SELECT {select} FROM columns").write_parquet(str(path))


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give a hidden folder beside this one, and remove it afterwards if it is still there."""
    unnamed = folder.absolute().parent / f".{folder.name}.{secrets.token_hex(8)}"
    try:
        unnamed.mkdir(parents=True)
        yield unnamed
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from error
    finally:
        shutil.rmtree(unnamed, ignore_errors=True)


def _unwritable(folder: Path, reason: str) -> UserError:
    return UserError(f"{folder} cannot be written.", came=f"--out {folder}: {reason}", expected="a folder of yours")


def _known(settings: Mapping[str, Any], key: str) -> str:
    return canonical({"v": settings.get(key)})
