"""Text that has to fit into terminal columns, whatever a data file calls its columns."""

from __future__ import annotations

import os
import unicodedata
from typing import TextIO

from sparsefire.report.svg import UNPRINTABLE

_CODES = {"bold": "1", "blue": "36", "good": "32", "warm": "33", "error": "1;31"}
# What a terminal without Unicode shows instead.
_PLAIN = str.maketrans(
    {
        "−": "-",
        "✓": "+",
        "✕": "x",
        "▸": ">",
        "·": "-",
        "×": "x",
        "…": ".",
        "–": "-",
        "━": "#",
        "╌": ".",
        "µ": "u",
        "²": "2",
    }
)


def display_width(text: str) -> int:
    """Return how many terminal columns a line takes: wide characters two, combining ones none.

    >>> display_width("dense"), display_width("列の"), display_width("é")
    (5, 4, 1)
    """
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def plain(text: object) -> str:
    """Return text on one line; control and direction-changing characters, which a terminal would obey, become blanks.

    >>> plain("a\\x1b[31m\\nb")
    'a [31m b'
    """
    return "".join(" " if unicodedata.category(c) in UNPRINTABLE else c for c in str(text))


def fit(text: object, width: int) -> str:
    """Return text without control characters, cut with an ellipsis if it is wider than ``width`` columns.

    >>> fit("relapse-free survival", 10), fit("a\\x1b[31mb", 10)
    ('relapse-f…', 'a [31mb')
    """
    line = plain(text)
    if display_width(line) <= width:
        return line
    while line and display_width(line) > width - 1:
        line = line[:-1]
    return line + "…"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return text filled with blanks to ``width`` columns, on the left if ``right``.

    >>> pad("ab", 4), pad("ab", 4, right=True)
    ('ab  ', '  ab')
    """
    blanks = " " * max(width - display_width(text), 0)
    return blanks + text if right else text + blanks


def use_colour(stream: TextIO) -> bool:
    """Return whether to colour: a terminal, and neither ``NO_COLOR`` nor ``TERM=dumb`` in the environment.

    >>> import io
    >>> use_colour(io.StringIO())
    False
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(getattr(stream, "isatty", lambda: False)())


def printable(text: str, stream: TextIO) -> str:
    """Return the text as this stream can write it: as it is, or with plain signs where its encoding has no others.

    >>> import io
    >>> printable("✓ −0.2", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    '+ -0.2'
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def paint(text: str, style: str, colour: bool) -> str:
    """Return text in a style (bold, blue, good, warm, error) if ``colour``, else as it is.

    >>> paint("dense", "bold", False), paint("dense", "bold", True)
    ('dense', '\\x1b[1mdense\\x1b[0m')
    """
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if colour else text
