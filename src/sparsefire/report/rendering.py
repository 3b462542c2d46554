"""Templates to pages: one environment, the style sheet, and what a page says about how it was made."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from sparsefire.data import figures
from sparsefire.report import svg

_TEMPLATES = Path(__file__).parent / "templates"
_POWER = re.compile(r"(\b[kd]|10)\^(−?\d+(?:\.\d+)?)")


def render(template: str, context: Mapping[str, Any]) -> str:
    """Return a page; ``css`` is the style sheet, the filter ``clean`` drops what a page would obey, see :func:`powers`.

    Everything in the context is escaped but ``Markup``; a name that is missing raises.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"clean": svg.clean, "powers": powers}
    css = Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8"))  # our own file
    return environment.get_template(template).render({"css": css, **context})


def powers(text: str) -> Markup:
    """Return text with ``k^−1.02`` as a superscript and ``d = 10`` held on one line; all else is escaped.

    >>> powers("k^−1.02 <b>")
    Markup('k<sup>−1.02</sup> &lt;b&gt;')
    """
    held = svg.clean(text).replace(" = ", "\xa0=\xa0")
    return Markup(_POWER.sub(r"\1<sup>\2</sup>", str(escape(held))))  # escaped before


def versions() -> dict[str, str]:
    """Return with what a result was made."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("sparsefire", "numpy", "numba")}}


def settings_rows(asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and value of every setting that was given, as a reader may read them.

    >>> settings_rows({"format": 1, "runs": 5, "undirected": False, "sources": ["a", "b"], "load": None})
    [('runs', '5'), ('undirected', 'no'), ('sources', 'a, b')]
    """
    given = {name: value for name, value in asked.items() if value is not None and name != "format"}
    return [(name.replace("_", " "), _told(value)) for name, value in given.items()]


def versions_row() -> tuple[str, str]:
    """Return the row of versions."""
    return "versions", ", ".join(f"{name} {number}" for name, number in versions().items())


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value[:20])) + (f" and {len(value) - 20:,} more" if len(value) > 20 else "")
    return figures.short_hash(value) if isinstance(value, str) and len(value) == 64 else str(value)
