"""Four numbers, each with its rival under it: a number without its rival is no result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sparsefire.data import figures
from sparsefire.report import svg
from sparsefire.report.groups import within
from sparsefire.search import score_text
from sparsefire.search.names import at_density, method_name
from sparsefire.search.wording import closest, find

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Tile:
    """A title, the number, a few words beside it and a line under it."""

    title: str
    number: str
    beside: str
    under: str


def tiles(verdict: Mapping[str, Any]) -> list[Tile]:
    """Return weights, test score, file size and latency of the chosen model, with the dense values.

    A linear winner shows the smallest network that passed in place of the file size, and a run with groups how many
    of them lie within the margin in place of the latency. When nothing was chosen, the numbers are those of dense, with
    the nearest rival under them.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> [(tile.title, tile.number) for tile in tiles(EXAMPLE)]
    [('Weights', '13,310'), ('Cross-validated accuracy', '97.7%')]
    """
    subject, rival = _pair(verdict)
    if subject is None:
        return []
    own = "" if verdict.get("selected") else f", {at_density(subject)}"
    out = []
    if subject["weights"] is not None:
        out.append(_weights(verdict, subject, rival, own))
    score = _score(verdict, subject, rival, own)
    if score is not None:
        out.append(score)
    passer = smallest_network(verdict) if subject["kind"] == "linear" else None
    if passer is not None:
        under = method_name(passer)
        under += f", density {figures.density(passer['density'])}" if passer["density"] is not None else ""
        out.append(Tile("Smallest network that passed", figures.count(passer["weights"]), "weights", under))
    elif subject.get("bytes") is not None:
        under = _versus(rival, figures.file_size(rival["bytes"]) if rival and rival.get("bytes") is not None else "")
        out.append(Tile(f"File size{own}", figures.file_size(subject["bytes"]), "", under))
    groups = verdict.get("groups") or []
    if groups:
        fine, of, others = within(groups[0])
        title = (
            "Groups within the margin"
            if len(groups) == 1
            else f"{svg.shorten(groups[0]['column'], 20)} within the margin"
        )
        out.append(Tile(title, str(fine), f"of {of}", _few(others) or "every group on its own"))
    elif subject.get("latency_us") is not None:
        known = rival is not None and rival.get("latency_us") is not None
        under = _versus(rival, figures.latency(rival["latency_us"]) if known and rival else "")
        out.append(
            Tile(f"Latency, one row{own}", figures.latency(subject["latency_us"]), "", _join(under, "one thread"))
        )
    return out


def smallest_network(verdict: Mapping[str, Any]) -> Row | None:
    """Return the smallest network, sparse or narrow, that passed.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> smallest_network(EXAMPLE)["id"]
    'gmp@0.05'
    """
    passed = [
        row
        for row in verdict["candidates"]
        if row["kind"] in ("sparse", "narrow") and row["walk"] in ("passed", "chosen")
    ]
    return min(passed, key=lambda row: row["weights"], default=None)


def _pair(verdict: Mapping[str, Any]) -> tuple[Row | None, Row | None]:
    dense = find(verdict, kind="dense")
    selected = verdict.get("selected")
    if selected:
        return find(verdict, identifier=selected["candidate"]), dense
    return dense, closest(verdict) or find(verdict, kind="linear")


def _weights(verdict: Mapping[str, Any], subject: Row, rival: Row | None, own: str) -> Tile:
    few = subject["weights"]
    if rival is None or rival["weights"] is None:
        return Tile(f"Weights{own}", figures.count(few), "", "")
    if subject["kind"] == "dense":
        return Tile(f"Weights{own}", figures.count(few), "", _versus(rival, figures.count(rival["weights"])))
    if subject["kind"] == "sparse" and subject["density"] is not None:
        under = (
            f"density {figures.density(subject['density'])}, sparsity {figures.short_percent(1 - subject['density'])}"
        )
    elif rival["weights"] > 1.1 * few:
        under = f"{figures.times_fewer(rival['weights'], few)} times fewer"
    else:
        under = _versus(rival, figures.count(rival["weights"]))
    return Tile(f"Weights{own}", figures.count(few), f"of {figures.count(rival['weights'])}", under)


def _score(verdict: Mapping[str, Any], subject: Row, rival: Row | None, own: str) -> Tile | None:
    score = verdict["data"]["score"]
    name = score_text.score_name(score)
    mine = _tested(verdict, subject)
    other = _tested(verdict, rival) if rival is not None else None
    if mine is not None:
        under = score_text.score_interval(mine[1], mine[2], score)
        if other is not None:
            under = _join(under, _versus(rival, score_text.score_value(other[0], score, unit=True)))
        return Tile(f"Test {name}{own}", score_text.score_value(mine[0], score, unit=True), "", under)
    if subject["score"] is None:
        return None
    under = ""
    if subject.get("score_low") is not None:
        under = score_text.score_interval(subject["score_low"], subject["score_high"], score)
    if rival is not None and rival["score"] is not None:
        under = _join(under, _versus(rival, score_text.score_value(rival["score"], score, unit=True)))
    return Tile(f"Cross-validated {name}{own}", score_text.score_value(subject["score"], score, unit=True), "", under)


def _tested(verdict: Mapping[str, Any], row: Row) -> list[float] | None:
    selected = verdict.get("selected")
    key = "chosen" if selected and selected["candidate"] == row["id"] else row["kind"]
    return ((verdict.get("test_scores") or {}).get(key) or {}).get(verdict["data"]["score"])


def _versus(rival: Row | None, value: str) -> str:
    return f"{at_density(rival)} {value}" if rival is not None and value else ""


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _few(words: list[str]) -> str:
    return "; ".join(words[:2]) + (f"; {len(words) - 2} more" if len(words) > 2 else "")
