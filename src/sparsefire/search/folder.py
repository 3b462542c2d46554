"""Whose folder is it: a fresh one, one of the same search to go on with, or somebody else's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sparsefire.errors import UserError
from sparsefire.search.plan import Plan
from sparsefire.search.request import Request
from sparsefire.search.runs import Study, fingerprint
from sparsefire.studies import canonical
from sparsefire.studies.files import write_through

SETTINGS_FILE = "settings.json"


def asked_for(study: Study, request: Request) -> dict[str, Any]:
    """Return what identifies this search: resuming needs all of it to be the same."""
    return {
        "format": 1,
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


def check_folder(folder: Path, asked: dict[str, Any]) -> Plan | None:
    """Return the plan of the same search, None for a fresh folder, or raise."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise UserError(f"{folder} is a file.", came=f"--out {folder}", expected="a folder, or a name that is free")
    if all(path.name.startswith(f".{SETTINGS_FILE}.") for path in folder.iterdir()):
        return None  # nothing, or what was left by a search that was killed while it wrote its settings
    came = f"--out {folder}, not empty"
    try:
        stored = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        plan = None if stored["plan"] is None else _stored_plan(stored["plan"])
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
    return plan


def _stored_plan(stored: dict[str, Any]) -> Plan:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    return Plan(**fields)


def write_settings(folder: Path, asked: dict[str, Any], plan: Plan | None) -> None:
    """Write what was asked for, and the plan once the pilot has settled it."""
    settings = {"asked": asked, "plan": None if plan is None else plan.settings()}
    text = json.dumps(settings, indent=1, ensure_ascii=False)
    unnamed = folder / f".{SETTINGS_FILE}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_through(unnamed, text.encode())
        os.replace(unnamed, folder / SETTINGS_FILE)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written.",
            came=f"--out {folder}: {error.strerror or error}",
            expected="a folder of yours",
        ) from error
