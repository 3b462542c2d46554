"""Edge lists from files: CSV, TSV (also .gz) and Parquet, one edge in each row."""

from __future__ import annotations

from pathlib import Path

from sparsefire.errors import UserError
from sparsefire.wiring.convert import from_frame
from sparsefire.wiring.graph import Wiring


def read_edges(
    path: str | Path,
    *,
    sender: str | None = None,
    receiver: str | None = None,
    weight: str | None = None,
    units: int | None = None,
    named: bool = False,
    directed: bool = True,
) -> Wiring:
    """Read an edge list.

    Args:
        path: ends in .csv, .tsv, .csv.gz, .tsv.gz or .parquet; the first line of a text file names the columns.
        sender, receiver: names of columns; by default the first two.
        weight: name of a column of numbers; None for ones.
        units, named, directed: see :func:`sparsefire.wiring.convert.from_frame`. Text ids become labels.

    Raises:
        UserError: a file that is missing, empty, broken or without column names; one column; missing values (in which
            row); ids that are neither whole numbers nor text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "edges.csv"
    ...     _ = path.write_text("from,to,w\\nann,bob,2\\nbob,cat,1\\n")
    ...     wiring = read_edges(path, weight="w")
    >>> wiring.labels, wiring.weights.tolist()
    (('ann', 'bob', 'cat'), [2.0, 1.0])
    """
    from sparsefire.data.read_table import read_table  # late: it loads pandas

    frame = read_table(path).frame
    if all(_is_number(name) for name in frame.columns[:2]):
        raise UserError(
            f"{Path(path).name} has no line of column names.",
            came=f"a first line that begins with {', '.join(map(str, frame.columns[:2]))}",
            expected="names such as sender,receiver",
            attempt="write such a line above the edges",
        )
    return from_frame(
        frame, sender=sender, receiver=receiver, weight=weight, units=units, named=named, directed=directed
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
