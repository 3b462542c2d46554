"""Reading a table from a CSV, TSV or Parquet file, strictly: what is odd is an error, not a guess."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sparsefire.data.bounded import existing, file_sha256, refuse_if_too_large, unpack_gzip
from sparsefire.data.words import columns, listing, plain, plural
from sparsefire.errors import UserError

ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
MISSING = ("?",)  # besides pandas' own: empty, NA, N/A, NaN, null, None and their like


@dataclass(frozen=True)
class Table:
    """A table as it was read, with what was decided while reading."""

    frame: pd.DataFrame
    sha256: str
    notes: tuple[str, ...] = ()


def ending(path: Path) -> str:
    """Return the ending of a file name in lower case, ``.gz`` included with what stands before it.

    >>> ending(Path("a.b/Patients.CSV.gz"))
    '.csv.gz'
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def read_table(path: str | Path, *, as_text: Collection[str] = ()) -> Table:
    """Read a table.

    Args:
        path: ends in .csv, .tsv, .csv.gz, .tsv.gz or .parquet. The first line of a text file names the columns; empty
            fields, ``?`` and pandas' list (NA, NaN, null, …) are missing values.
        as_text: names of columns to leave as text even where all values look like numbers.

    Returns:
        A :class:`Table` with at least one row and one column, and no name twice.

    Raises:
        UserError: for every file that is missing, broken, of another kind, or unfit for memory.
    """
    path = existing(Path(path))
    kind = ending(path)
    if kind not in ENDINGS:
        raise unknown_ending(path)
    if kind == ".parquet":
        table = Table(_parquet(path), file_sha256(path))
    else:
        content = unpack_gzip(path) if kind.endswith(".gz") else path.read_bytes()
        frame, notes = _delimited(content, path.name, "\t" if ".tsv" in kind else ",", as_text)
        table = Table(frame, file_sha256(path), notes)
    if not len(table.frame):
        raise UserError(
            f"{plain(path.name)} has column names but no rows.",
            came=columns(list(table.frame.columns)),
            expected="rows of data below the names",
        )
    return table


def unknown_ending(path: Path) -> UserError:
    """Return the error for a file of a kind that is not read."""
    return UserError(
        f"{plain(path.name)} is of an unknown kind.",
        came=f"the ending {plain(ending(path)) or '(none)'}",
        expected=f"a file ending in {', '.join(ENDINGS)} or .npz",
        attempt="save it as CSV with the column names in the first line",
    )


def refuse_repeated(names: list[str], file: str) -> None:
    """Stop where two columns have the same name, which would make every mention of it ambiguous."""
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise UserError(
            f"{plain(file)} has the same column name more than once: {listing(repeated)}.",
            came=columns(names),
            expected="a different name for every column",
            attempt="rename or remove the repeated columns",
        )


def _delimited(
    content: bytes, file: str, separator: str, as_text: Collection[str]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    text = _decoded(content, file)
    notes: tuple[str, ...] = ()
    decimal = "."
    first_line = text.lstrip("\r\n").split("\n", 1)[0]
    if separator == "," and first_line.count(";") > first_line.count(","):
        separator = ";"  # what spreadsheets write where the comma is the decimal sign
        number = r"(?m)(?:^|;)[ ]*-?\d+{}\d+[ ]*(?:;|\r?$)"
        beginning = text[:100_000]
        if re.search(number.format(","), beginning) and not re.search(number.format(r"\."), beginning):
            decimal = ","
        notes = (f"fields are separated by semicolons, with a decimal {'comma' if decimal == ',' else 'point'}",)
    try:
        header = next((row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row), [])
    except csv.Error as error:
        raise _unparsable(file, error) from None
    refuse_repeated(header, file)
    if not any(header):
        raise UserError(f"{plain(file)} has no column names.", came="an empty first line", expected="a header line")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header: data would be lost
            frame = pd.read_csv(
                io.StringIO(text),
                sep=separator,
                decimal=decimal,
                index_col=False,
                dtype={name: "str" for name in header if name in as_text},
                na_values=list(MISSING),
                skipinitialspace=True,
                low_memory=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, ValueError) as error:
        raise _unparsable(file, error) from None
    if len(frame.columns) != len(header):
        raise _unparsable(file, ValueError(f"{len(header)} names for {len(frame.columns)} columns"))
    frame.columns = pd.Index(header, dtype=object)  # exactly the names of the file
    return frame, notes


def _decoded(content: bytes, file: str) -> str:
    if not content.strip():
        raise UserError(f"{plain(file)} is empty.", came="no text", expected="a header line and rows of data")
    position = content.find(b"\0")
    reason = f"a zero byte at position {position:,}"
    if position < 0:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            reason = f"byte 0x{content[error.start]:02x} at position {error.start:,}"
    raise UserError(
        f"{plain(file)} is not text in UTF-8.",
        came=reason,
        expected="a text file in UTF-8, one row of data per line",
        attempt="export it again as CSV, UTF-8",
    )


def _unparsable(file: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
    if isinstance(error, pd.errors.ParserWarning):
        reason = "rows with more fields than there are column names"
    return UserError(
        f"{plain(file)} cannot be split into columns.",
        came=plain(reason),
        expected="as many fields in every row as there are names in the first line",
        attempt="look at that line, and put text that holds separators in double quotes",
    )


def _parquet(path: Path) -> pd.DataFrame:
    import duckdb  # late: only Parquet files need it

    literal = re.sub(r"([*?\[\]])", r"[\1]", str(path))  # DuckDB reads a path as a pattern
    offline: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    try:
        with duckdb.connect(":memory:", config=offline) as connection:
            schema = connection.execute("SELECT name, num_children FROM parquet_schema(?)", [literal]).fetchall()
            names, nested = _top_level(schema)
            refuse_repeated(names, path.name)
            sizes = "SELECT coalesce(sum(total_uncompressed_size), 0)::BIGINT FROM parquet_metadata(?)"
            unpacked = connection.execute(sizes, [literal]).fetchall()[0][0]
            count = "SELECT sum(num_rows)::BIGINT FROM parquet_file_metadata(?)"
            cells = (connection.execute(count, [literal]).fetchall()[0][0] or 0) * len(names)
            refuse_if_too_large(path.name, int(unpacked), path.stat().st_size)
            refuse_if_too_large(path.name, 8 * int(cells), path.stat().st_size * 1000)  # a run costs nearly nothing
            if nested:
                raise UserError(
                    f"{plain(path.name)} holds lists or records in {plural(len(nested), 'column')}.",
                    came=listing(nested),
                    expected="one number or text in each cell",
                    attempt="spread them over columns, or remove them",
                )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its conversion still uses spellings that pandas is retiring
                frame = connection.execute("SELECT * FROM read_parquet(?)", [literal]).df()
    except duckdb.Error as error:
        raise UserError(
            f"{plain(path.name)} is no complete Parquet file.",
            came=plain(str(error).splitlines()[0].replace(str(path), path.name)),
            expected="a whole Parquet file",
            attempt="write or copy it again",
        ) from None
    frame.columns = pd.Index(names, dtype=object)
    return frame


def _top_level(schema: list[tuple[str, int | None]]) -> tuple[list[str], list[str]]:
    """Return the names of the columns and of those that hold lists or records, from the flattened schema tree."""
    names: list[str] = []
    nested: list[str] = []
    position = 1  # entry 0 is the root
    while position < len(schema):
        name, children = schema[position]
        names.append(name)
        if children:
            nested.append(name)
        open_nodes = children or 0
        position += 1
        while open_nodes and position < len(schema):
            open_nodes += (schema[position][1] or 0) - 1
            position += 1
    return names, nested
