"""How names, counts, rows and commands are written in messages, so that hostile names cannot break a line."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

_LONGEST = 60


def plain(text: Any) -> str:
    """Return ``text`` on one line: control characters are escaped, long texts are cut in the middle.

    >>> plain("a" + chr(10) + "b")
    'a\\\\nb'
    """
    line = str(text)
    if not line.isprintable():
        line = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 20]}…{line[-19:]}"


def quote(name: Any) -> str:
    """Return a name in double quotes, on one line.

    >>> quote("age")
    '"age"'
    """
    return f'"{plain(name)}"'


def plural(number: int, one: str, many: str = "") -> str:
    """Return a count with its noun and with commas.

    >>> plural(1, "row"), plural(1797, "row"), plural(2, "category", "categories")
    ('1 row', '1,797 rows', '2 categories')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listing(names: Iterable[Any], shown: int = 6) -> str:
    """Return the first few names and how many more there are.

    >>> listing("abc", shown=2)
    'a, b, 1 more'
    """
    everything = list(names)
    parts = [plain(name) for name in everything[:shown]]
    if len(everything) > shown:
        parts.append(f"{len(everything) - shown:,} more")
    return ", ".join(parts)


def columns(names: Sequence[Any]) -> str:
    """Return how many columns there are and the first of them.

    >>> columns(["age", "sex"])
    '2 columns: age, sex'
    """
    return f"{plural(len(names), 'column')}: {listing(names)}"


def rows(indices: Iterable[Any], shown: int = 3) -> str:
    """Return row numbers for people: the first row of data is row 1.

    >>> rows([16, 203, 910, 911])
    'rows 17, 204, 911, 1 more'
    """
    numbers = [int(i) + 1 for i in indices]
    return f"row {numbers[0]}" if len(numbers) == 1 else f"rows {listing(numbers, shown)}"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name closest to ``name``, upper and lower case being alike, or ``None``.

    >>> nearest("relapsed", ["age", "Relapse"])
    'Relapse'
    """
    folded = {str(other).casefold(): str(other) for other in names}
    found = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def command(source: Any, **options: Any) -> str:
    """Return a command to paste, or the arguments to write where the data came from Python.

    >>> command("patients.csv", target="relapse", cluster=None)
    'sparsefire fit patients.csv --target relapse'
    >>> command(None, target="relapse")
    "target='relapse'"
    """
    given = [(key, value) for key, value in options.items() if value is not None]
    if source is None:
        return ", ".join(f"{key}={value!r}" for key, value in given)
    parts = ["sparsefire", "fit", shlex.quote(str(source))]
    for key, value in given:
        for one in [value] if isinstance(value, str) else value:
            parts += [f"--{key}", shlex.quote(str(one))]
    return " ".join(parts)
