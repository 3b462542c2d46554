"""Edge lists to files: CSV, TSV (also .gz) and Parquet, one edge in each row."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring
from sparsefire.wiring.nulls import edge_list


def write_edges(wiring: Wiring, path: str | Path) -> Path:
    """Write the edges as they were given, with the columns sender, receiver and weight; labels stand for numbers.

    Args:
        wiring: edges that are two arcs are written once; :func:`~sparsefire.wiring.read.read_edges` with
            ``directed=False`` reads them back so.
        path: ends in .csv, .tsv, .csv.gz, .tsv.gz or .parquet. It appears when it is whole.

    Raises:
        UserError: another ending, a folder that does not exist.

    >>> import tempfile
    >>> from sparsefire.wiring import read_edges
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_edges(Wiring.from_edges([0, 1], [1, 2], [0.5, 2.0]), Path(folder) / "edges.csv")
    ...     read_edges(path, weight="weight").weights.tolist()
    [0.5, 2.0]
    """
    import pandas as pd

    target = Path(path)
    ending = next((e for e in (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet") if target.name.endswith(e)), None)
    if ending is None:
        raise UserError(
            "this is no kind of edge list.", came=target.name, expected=".csv, .tsv, .csv.gz, .tsv.gz or .parquet"
        )
    if not target.parent.is_dir():
        raise UserError("there is no such folder.", came=str(target.parent), expected="a folder that exists")
    tails, heads, weights = edge_list(wiring)
    names = np.array(wiring.labels, dtype=object) if wiring.labels else None
    ends = [part if names is None else names[part] for part in (tails, heads)]
    table = pd.DataFrame({"sender": ends[0], "receiver": ends[1], "weight": weights})
    handle, fresh = tempfile.mkstemp(dir=target.parent, suffix=ending)
    os.close(handle)
    try:
        if ending == ".parquet":
            import duckdb

            with duckdb.connect() as connection:
                connection.register("edges", table)
                connection.execute("COPY edges TO $1 (FORMAT parquet)", [fresh])
        else:
            table.to_csv(fresh, sep="\t" if ending.startswith(".tsv") else ",", index=False)
        os.replace(fresh, target)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
    return target
