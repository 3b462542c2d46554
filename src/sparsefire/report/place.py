"""Put labels where they cover the least: try places around each series and keep the emptiest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sparsefire.report.svg import width_of

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """Words to place near any of some points; ``size`` is the font size in px."""

    words: str
    near: tuple[Point, ...]
    size: float = 12.5


def place(labels: Sequence[Label], marks: Sequence[Point], frame: Box, *, taken: Sequence[Box] = ()) -> list[Point]:
    """Return one baseline position (start of the text) per label, in order.

    Labels never overlap one another or ``taken`` boxes unless the frame leaves no other place; among the free places
    the one that hides the fewest marks wins, then the one closest to its series.

    Args:
        labels: what to place; earlier ones choose first.
        marks: points of everything drawn, dense enough to stand for its lines.
        frame: (left, top, right, bottom) that labels must stay inside.
        taken: boxes that are already full.

    >>> place([Label("dense", ((50.0, 50.0),))], [(50.0, 50.0)], (0, 0, 200, 100))
    [(60.0, 54.0)]
    """
    full = list(taken)
    out = []
    for label in labels:
        width, height = width_of(label.words, label.size), 1.2 * label.size
        best: tuple[float, Point, Box] | None = None
        for ax, ay in label.near:
            for dx, dy, away in _OFFSETS:
                left = ax + {-1: -width - 10, 0: -width / 2, 1: 10}[dx]
                base = ay + dy
                left = min(max(left, frame[0] + 2), frame[2] - width - 2)
                box = (left, base - 0.8 * label.size, left + width, base - 0.8 * label.size + height)
                if box[1] < frame[1] or box[3] > frame[3]:
                    continue
                clashes = sum(_overlap(box, other) for other in full)
                hidden = sum(box[0] - 3 <= x <= box[2] + 3 and box[1] - 3 <= y <= box[3] + 3 for x, y in marks)
                cost = 1e6 * clashes + 10 * hidden + away
                if best is None or cost < best[0]:
                    best = (cost, (left, base), box)
        if best is None:
            best = (0.0, (frame[0], frame[1] + label.size), (frame[0], frame[1], frame[0] + width, frame[1] + height))
        full.append(best[2])
        out.append(best[1])
    return out


# side of the point, shift of the baseline in px, and a small price that grows with distance
_OFFSETS = (
    *(
        (side, shift, abs(shift - 4) / 8 + (3 if side else 0))
        for shift in (-9, 18, -16, 26, -24, 34, -34, 46, -48, 60, 76)
        for side in (0, 1, -1)
    ),
    (1, 4.0, 1.0),
    (-1, 4.0, 1.0),
)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] + 4 and b[0] < a[2] + 4 and a[1] < b[3] + 1 and b[1] < a[3] + 1


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return heights close to the wanted ones and at least ``gap`` apart, within [low, high] if there is room.

    >>> spread([10.0, 12.0, 40.0], 14.0, 0.0, 100.0)
    [4.0, 18.0, 40.0]
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    groups: list[list[float]] = []  # [sum of wanted centres, members]
    for index in order:
        groups.append([wanted[index], 1.0])
        while len(groups) > 1 and _centre(groups[-2]) + gap * (groups[-2][1] + groups[-1][1]) / 2 > _centre(groups[-1]):
            last = groups.pop()
            groups[-1] = [groups[-1][0] + last[0], groups[-1][1] + last[1]]
    out = [0.0] * len(wanted)
    position = iter(order)
    for group in groups:
        first = _centre(group) - gap * (group[1] - 1) / 2
        for step in range(int(group[1])):
            out[next(position)] = first + gap * step
    for index in order:
        out[index] = min(max(out[index], low), high)
    return out


def _centre(group: Sequence[float]) -> float:
    return group[0] / group[1]
