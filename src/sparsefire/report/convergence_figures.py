"""How risks and powers are written: on a page, in a picture, and in a terminal."""

from __future__ import annotations

import math
import re

from sparsefire.data import figures

_SUPERSCRIPTS = str.maketrans("0123456789−-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻")


def risk(value: float, digits: int = 4) -> str:
    """Return a risk with so many significant digits, small and large ones with a power of ten.

    >>> risk(0.0123456), risk(0.00012301), risk(2.5), risk(0.0), risk(float("inf"))
    ('0.01235', '1.230·10^−4', '2.500', '0', 'overflow')
    """
    if not math.isfinite(value):
        return "overflow"
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    if -4 < power < 4:
        return figures.fixed(value, max(digits - 1 - power, 0))
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}·10^{figures.fixed(int(exponent), 0)}"


def short(value: float) -> str:
    """Return a number with at most three significant digits.

    >>> short(0.02), short(0.0000123456)
    ('0.02', '1.23·10^−5')
    """
    text = risk(value, 3)
    return text if "·" in text or "." not in text else text.rstrip("0").rstrip(".")


def times(ratio: float) -> str:
    """Return how many times: one decimal below 10, whole above.

    >>> times(1.04), times(106.96)
    ('1.0', '107')
    """
    return figures.fixed(ratio, 0 if ratio >= 9.95 else 1) if ratio < 1e6 else risk(ratio, 2)


def superscripts(number: float) -> str:
    """Return a number as superscript characters, which text in a picture and in a terminal can show.

    >>> superscripts(2), superscripts(-4)
    ('²', '⁻⁴')
    """
    return f"{number:g}".translate(_SUPERSCRIPTS)


def terminal_powers(text: str) -> str:
    """Return text with 1.2e-4 in place of 1.2·10^−4, for a terminal.

    >>> terminal_powers("1.230·10^−4")
    '1.230e-4'
    """
    return re.sub(r"·10\^(−?)(\d+)", lambda found: f"e{'-' if found[1] else ''}{found[2]}", text)
