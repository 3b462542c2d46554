"""Whose folder is it: a fresh one, one of the same search to go on with, or somebody else's."""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sparsefire.errors import UserError
from sparsefire.search.plan import Plan
from sparsefire.search.request import Request
from sparsefire.search.runs import Study, fingerprint
from sparsefire.studies import canonical
from sparsefire.studies.files import replace_file

SETTINGS_FILE = "settings.json"


def asked_for(study: Study, request: Request) -> dict[str, Any]:
    """Return what identifies this search: resuming needs all of it to be the same."""
    return {
        "format": 1,
        "versions": [version("sparsefire"), torch.__version__],
        "problem": fingerprint(study.problem),
        "data": study.problem.name,
        "target": study.problem.target_name,
        "rng": f"{study.rng:x}",
        "architecture": study.base,
        "effort": request.effort,
        "level": request.level,
        "rule": request.rule,
        "margin": request.margin,
        "retain": request.retain,
        **{
            name: list(value) if isinstance(value, tuple) else value
            for name in ("methods", "densities", "folds", "rounds", "epochs")
            for value in (getattr(request, name),)
        },
    }


def check_folder(folder: Path, asked: dict[str, Any]) -> float | None:
    """Return what the pilot of the same search found, None where there was none yet, or raise."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise UserError(f"{folder} is a file.", came=f"--out {folder}", expected="a folder, or a name that is free")
    if all(path.name.startswith(f".{SETTINGS_FILE}.") for path in folder.iterdir()):
        return None  # nothing, or what was left by a search that was killed while it wrote its settings
    came = f"--out {folder}, not empty"
    try:
        stored = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        times_over = None if stored["times_over"] is None else float(stored["times_over"])
        if times_over is not None and not 0 < times_over < math.inf:
            raise ValueError
        other = f"{stored['asked']['data']}, target {stored['asked']['target']}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{folder} holds files that are not a sparsefire run.",
            came=came,
            expected="an empty folder, or one of the same data and settings to resume",
            attempt=f"--out {folder}-2",
        ) from None
    if canonical(stored["asked"]) != canonical(asked):
        different = sorted(k for k in asked if canonical({"v": asked[k]}) != canonical({"v": stored["asked"].get(k)}))
        raise UserError(
            f"{folder} already holds another run ({other}).",
            came=f"{came}, settings differ: {', '.join(different)}",
            expected="an empty folder, or the same data and settings to resume",
            attempt=f"--out {folder}-2",
        )
    return times_over


def earlier_timing(folder: Path) -> dict[str, Any] | None:
    """Return the times of the verdict that is there, if there is one."""
    try:
        timing = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))["timing"]
        return {name: timing[name] for name in ("seconds", "runs", "resumed")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_settings(folder: Path, asked: dict[str, Any], plan: Plan, times_over: float | None) -> None:
    """Write what was asked for and planned, and how many times its budget the pilot found it, once that is known."""
    settings = {"asked": asked, "times_over": times_over, "plan": plan.settings()}
    text = json.dumps(settings, indent=1, ensure_ascii=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f".{SETTINGS_FILE}.*"):  # by a search that was killed
            left.unlink(missing_ok=True)
        replace_file(folder / SETTINGS_FILE, text.encode())
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written.",
            came=f"--out {folder}: {error.strerror or error}",
            expected="a folder of yours",
        ) from error
