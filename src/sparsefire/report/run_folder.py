"""What the report reads from a run folder: the verdict, the learning curves and the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from sparsefire.errors import UserError
from sparsefire.search.wording import STATES
from sparsefire.studies.files import literal_glob

AGAIN = "repeat the sparsefire fit command with the same --out; finished runs are kept"
_OUTLINE = {"state": str, "data": dict, "plan": dict, "margin": int | float, "candidates": list}


@dataclass(frozen=True)
class Counted:
    """A network that is not drawn: per weight array its name, the weights that are not zero, and all of them."""

    kept_by_layer: tuple[tuple[str, int, int], ...]
    layers: None = None
    feature_names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


def read_verdict(run: Path) -> dict[str, Any]:
    """Return ``verdict.json`` of a run folder.

    >>> read_verdict(Path("no-such-run"))
    Traceback (most recent call last):
    ...
    sparsefire.errors.UserError: no-such-run holds no finished run.
      came      no-such-run
      expected  a folder written by sparsefire fit, with verdict.json in it
      try       sparsefire fit DATA --out RUN
    """
    path = run / "verdict.json"
    expected = "a folder written by sparsefire fit, with verdict.json in it"
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{run} holds no finished run.", came=str(run), expected=expected, attempt="sparsefire fit DATA --out RUN"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}.", came=str(path), expected=expected, attempt=AGAIN) from None
    if not isinstance(verdict, dict) or verdict.get("format", 1) != 1:
        raise UserError(f"{path} is no verdict of this version.", came=str(path), expected=expected, attempt=AGAIN)
    for name, kind in _OUTLINE.items():
        if not isinstance(verdict.get(name), kind) or (name == "state" and verdict[name] not in STATES):
            raise UserError(
                f"{path} lacks {name!r}, or has it in another form.",
                came=repr(verdict.get(name))[:60],
                expected="verdict.json as sparsefire fit wrote it",
                attempt=AGAIN,
            )
    return verdict


def read_curves(path: Path, column: str = "curve") -> dict[str, list[list[float]]]:
    """Return the learning curves of ``results.parquet``: per candidate one list of held-out scores per run.

    Refits on all development rows (round −1) have none.

    Args:
        path: the file.
        column: ``"curve"``, or ``"losses_read"`` for how many losses a rule had read by the end of each epoch; files
            and candidates without such numbers have none.

    Raises:
        UserError: the file is damaged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     file = Path(name) / "results [1].parquet"
    ...     one = duckdb.sql("SELECT 'a' AS candidate, 0 AS round, 0 AS fold, [0.5, 0.75] AS curve")
    ...     one.write_parquet(str(file))
    ...     read_curves(file)
    {'a': [[0.5, 0.75]]}
    """
    try:
        with duckdb.connect() as connection:
            there = connection.execute("SELECT * FROM read_parquet(?) LIMIT 0", [literal_glob(path)]).description
            if column not in {name for name, *_ in there or ()} and column != "curve":
                return {}
            rows = connection.execute(
                f"SELECT candidate, {column}::DOUBLE[] FROM read_parquet(?) "
                f"WHERE round >= 0 AND len({column}) > 1 ORDER BY candidate, round, fold",
                [literal_glob(path)],
            ).fetchall()
    except duckdb.Error as error:
        raise UserError(
            f"{path} cannot be read.",
            came=str(error).splitlines()[0][:120],
            expected="one row per run, as sparsefire fit wrote it",
            attempt=f"{AGAIN}; or remove the file, and the report has no learning curves",
        ) from None
    out: dict[str, list[list[float]]] = {}
    for candidate, curve in rows:
        out.setdefault(candidate, []).append([float("nan") if value is None else value for value in curve])
    return out


def load_network(run: Path) -> Any | None:
    """Return what the report draws of the model of a run, or None if the folder holds none.

    A fully connected network, spiking or not, is loaded and has ``layers``, ``feature_names`` and ``classes``. Of any
    other network, and of one that only the user's own code can make, the stored weights are counted: ``layers`` is
    None and ``kept_by_layer`` lists them.

    Raises:
        UserError: the model files are damaged.

    >>> load_network(Path("no-such-run")) is None
    True
    """
    if not (run / "model.json").exists():
        return None
    from sparsefire.deploy.arrays import unpack  # late, as the rest of the report needs none of it
    from sparsefire.deploy.folder import broken, read_folder
    from sparsefire.train.networks import PERCEPTRONS

    arrays, settings = read_folder(run)
    if settings["description"].get("kind") in PERCEPTRONS:
        from sparsefire.deploy import load_model

        return load_model(run)
    try:
        state = unpack(arrays, settings["network"])
    except ValueError as error:
        broken(run, "the stored weights do not fit together", str(error), "what saving wrote")
    kept = [(name, int(np.count_nonzero(array)), array.size) for name, array in state.items() if array.ndim > 1]
    return Counted(tuple(kept))
