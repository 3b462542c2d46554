"""Widths as arguments: of a network that is equally wide everywhere, or layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsefire.errors import UserError


def widths_of(width: Any, depth: Any) -> list[int]:
    """Return the widths of the input and of all layers, ints [depth + 1].

    Args:
        width: units of every layer and of the input; or all widths, the input's first.
        depth: number of layers; None where all widths are given.

    Raises:
        UserError: a width or a depth below 1, or widths that are not depth + 1.

    >>> widths_of(5, 2), widths_of([8, 5], None)
    ([5, 5, 5], [8, 5])
    """
    several = isinstance(width, Sequence | np.ndarray) and not isinstance(width, str)
    given = list(width) if several else [width]
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int | np.integer) or one < 1:
            raise UserError("a width is a number of units.", came=repr(one), expected="1 or more")
    if several:
        if len(given) < 2 or depth not in (None, len(given) - 1):
            raise UserError(
                "widths are those of the input and of every layer.",
                came=f"{len(given)} widths, depth={depth!r}",
                expected="depth + 1 widths; depth may be left out",
            )
        return [int(one) for one in given]
    if isinstance(depth, bool) or not isinstance(depth, int | np.integer) or depth < 1:
        raise UserError("a depth is a number of layers.", came=f"depth={depth!r}", expected="1 or more")
    return [int(width)] * (int(depth) + 1)


def several(width: Any, depth: int | None) -> int | None:
    """Return the depth where a list of widths tells it, else ``depth``."""
    if depth is None and isinstance(width, Sequence | np.ndarray) and not isinstance(width, str):
        return len(width) - 1
    return depth
