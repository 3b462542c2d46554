"""Inline SVG as escaped text: a few shapes, one text rule, one way to shorten a name. No colour: classes only."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

# Unicode categories that a page or a terminal would obey instead of showing.
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Average width of a character as a share of the font size, on the wide side of the system fonts.
_CHARACTER = 0.58


def clean(text: object) -> str:
    """Return text on one line without control, direction-changing or unpaired surrogate characters.

    >>> clean("a\\n\\tb\\x00c\\u202ed")
    'a b c d'
    """
    kept = (" " if unicodedata.category(c) in UNPRINTABLE else c for c in str(text))
    return " ".join("".join(kept).split())


def shorten(text: object, length: int) -> str:
    """Return cleaned text of at most ``length`` characters, cut with an ellipsis.

    >>> shorten("relapse-free survival", 10)
    'relapse-f…'
    """
    line = clean(text)
    return line if len(line) <= length else line[: max(length - 1, 0)].rstrip() + "…"


def number(value: float) -> str:
    """Return a coordinate with at most one decimal.

    >>> number(12.04), number(3.55), number(-0.01)
    ('12', '3.5', '0')
    """
    text = f"{value:.1f}"
    text = text[:-2] if text.endswith(".0") else text
    return "0" if text == "-0" else text


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """Return one element; attribute names lose a trailing underscore and turn ``_`` into ``-``; None is left out.

    >>> tag("text", "<b>", x=1.25, class_="ink", text_anchor="end")
    Markup('<text x="1.2" class="ink" text-anchor="end">&lt;b&gt;</text>')
    """
    parts = []
    for key, value in attributes.items():
        if value is None:
            continue
        shown = number(value) if isinstance(value, float) else value
        parts.append(f' {key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    inner = Markup("").join(child if isinstance(child, Markup) else escape(str(child)) for child in children)
    return Markup("<{}{}>{}</{}>").format(name, Markup("".join(parts)), inner, name)  # attributes are escaped above


def picture(children: Iterable[Markup], *, width: float, height: float, label: str, class_: str = "") -> Markup:
    """Return an ``<svg>`` with ``role="img"`` and a label that says the finding.

    >>> picture([], width=10, height=5, label="nothing")
    Markup('<svg viewBox="0 0 10 5" width="10" height="5" role="img" aria-label="nothing" class="chart"></svg>')
    """
    return tag(
        "svg", *children, viewBox=f"0 0 {number(width)} {number(height)}", width=number(width), height=number(height),
        role="img", aria_label=clean(label), class_=f"chart {class_}".strip(),
    )  # fmt: skip


def text(x: float, y: float, words: object, class_: str = "", *, anchor: str | None = None, full: str = "") -> Markup:
    """Return one line of text; ``anchor`` is middle or end; ``full`` is what hovering adds.

    >>> text(1, 2, "a", "soft", anchor="end")
    Markup('<text x="1" y="2" class="soft" text-anchor="end">a</text>')
    """
    more = (tag("title", clean(full)),) if full else ()
    return tag("text", clean(words), *more, x=float(x), y=float(y), class_=class_ or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Return a straight line.

    >>> line(0, 0, 10, 0, "axis")
    Markup('<path d="M0,0L10,0" class="axis"></path>')
    """
    return path([(x1, y1), (x2, y2)], class_)


def path(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """Return a polyline through the points.

    >>> path([(0, 0), (1, 2)], "thin")
    Markup('<path d="M0,0L1,2" class="thin"></path>')
    """
    data = "M" + "L".join(f"{number(x)},{number(y)}" for x, y in points)
    return tag("path", d=data, class_=class_)


def dots(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    """Return many round dots as one path of empty strokes; the class sets the size by its stroke width.

    >>> dots([(1, 2), (3, 4)], "dots")
    Markup('<path d="M1,2h.01M3,4h.01" class="dots"></path>')
    """
    return tag("path", d="".join(f"M{number(x)},{number(y)}h.01" for x, y in points), class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, *, radius: float = 0) -> Markup:
    """Return a rectangle; widths below zero are drawn as zero.

    >>> rect(0, 0, 10, 5, "band")
    Markup('<rect x="0" y="0" width="10" height="5" class="band"></rect>')
    """
    return tag(
        "rect", x=float(x), y=float(y), width=max(float(width), 0.0), height=max(float(height), 0.0),
        rx=float(radius) if radius else None, class_=class_,
    )  # fmt: skip


def mark(x: float, y: float, shape: str, class_: str, *, size: float = 4.5, title: str = "") -> Markup:
    """Return a mark: ``circle``, ``square`` or ``diamond``; ``size`` is half its width in px.

    >>> mark(5, 5, "diamond", "chosen", size=3)
    Markup('<path d="M5,1.5L8.5,5L5,8.5L1.5,5Z" class="chosen"></path>')
    """
    inner = (tag("title", clean(title)),) if title else ()
    if shape == "circle":
        return tag("circle", *inner, cx=float(x), cy=float(y), r=float(size), class_=class_)
    if shape == "square":
        s = 0.9 * size
        return tag("rect", *inner, x=x - s, y=y - s, width=2 * s, height=2 * s, class_=class_)
    s = 1.18 * size
    corners = ((x, y - s), (x + s, y), (x, y + s), (x - s, y))
    return tag("path", *inner, d="M" + "L".join(f"{number(a)},{number(b)}" for a, b in corners) + "Z", class_=class_)


def width_of(words: str, size: float = 12.5) -> float:
    """Return about how many px a line of text takes; wide characters count double.

    >>> width_of("dense", 10)
    29.0
    """
    units = sum(1.75 if unicodedata.east_asian_width(c) in "WF" else 1.0 for c in words)
    return _CHARACTER * size * units


def nice_step(span: float, most: int) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that cuts ``span`` into at most ``most`` pieces.

    >>> nice_step(5.3, 6), nice_step(0.02, 5)
    (1.0, 0.005)
    """
    rough = span / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return float(f"{step:.12g}")


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return round values within [low, high], at most ``most + 1`` of them.

    >>> ticks(-2.2, 1.3, 5)
    [-2.0, -1.0, 0.0, 1.0]
    """
    step = nice_step(high - low, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def step_decimals(step: float) -> int:
    """Return how many decimals a step of an axis needs.

    >>> step_decimals(2.0), step_decimals(0.5), step_decimals(0.005)
    (0, 1, 3)
    """
    return max(0, -math.floor(math.log10(step) + 1e-9))
