"""How far do unit-wise differences go? Accuracy, queries and CPU time against depth and width, beside backprop.

    python benchmarks/unit_wise.py             # everything; resumes when stopped
    python benchmarks/unit_wise.py --quick     # a few small networks, at most a minute, nothing kept
    python benchmarks/unit_wise.py --table     # write docs/unit_wise.md and its pictures from what is finished

Finished pieces lie in benchmarks/results/unit_wise/*.jsonl.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import resume
from depth import accuracy, cost, page, precision
from depth.accuracy import Cell
from depth.cost import Cost
from depth.precision import Precision

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "unit_wise"
DOCS = HERE.parent / "docs"
WIDTHS = (32, 64, 128, 256, 512)
DEPTHS = (1, 2, 3, 4, 5, 6)
Record = dict[str, Any]

COSTS = [Cost(depth, width, density) for density in (1.0, 0.1) for depth in DEPTHS for width in WIDTHS]
PRECISIONS = [Precision(depth, 128, trained) for trained in (False, True) for depth in (*DEPTHS, 12)]
CELLS = [
    *[Cell(place, 1, 32, 1.0, with_queries=True) for place in ("digits", "mnist10k")],
    Cell("digits", 3, 32, 1.0, with_queries=True),
    *[Cell("mnist10k", depth, width, 1.0) for depth, width in ((3, 32), (1, 128), (3, 128), (6, 32), (6, 128))],
    *[Cell("mnist10k", depth, 128, 1.0) for depth in (2, 4, 5)],
    *[Cell("mnist10k", depth, 128, 0.1) for depth in (1, 3)],
    *[Cell("digits", depth, width, 1.0) for depth, width in ((1, 128), (3, 128), (6, 32), (6, 128))],
    *[Cell(place, depth, 32, 0.1) for place in ("mnist10k", "digits") for depth in (1, 3, 6)],
    *[Cell("mnist10k", 6, 128, 0.1), Cell("mnist10k", 1, 256, 1.0)],
    *[Cell(place, depth, 32, 1.0) for depth in (2, 4) for place in ("mnist10k", "digits")],
    *[Cell("digits", depth, 128, 1.0) for depth in (2, 4)],
    *[Cell(place, depth, width, 0.1)
      for depth in (2, 4) for width in (32, 128) for place in ("mnist10k", "digits")],
    *[Cell("digits", depth, 128, 0.1) for depth in (1, 3, 6)],
    *[Cell("mnist10k", 2, 256, 1.0)],
]  # fmt: skip
"""The ones that matter most first."""


def work(
    listed: Sequence[Any], made: Callable[[Any], Record], workers: int, path: Path | None, found: list[Record]
) -> list[Record]:
    """Run what is not found yet, and return all records."""
    there = {_key(record, listed[0]) for record in found} if listed else set()
    todo = [one for one in listed if _key(asdict(one), one) not in there]
    says = lambda record: ", ".join(str(record[name]) for name in asdict(listed[0]))  # noqa: E731
    return found + resume.run(todo, _Listed(made), workers, path, says) if todo else found


class _Listed:
    """A function that gives one record, as one that gives a list."""

    def __init__(self, made: Callable[[Any], Record]) -> None:
        self.made = made

    def __call__(self, one: Any) -> list[Record]:
        return [self.made(one)]


def _key(record: Record, like: Any) -> str:
    return json.dumps([record[name] for name in asdict(like)])


def train_all(cells: Sequence[Cell], workers: int, path: Path | None) -> list[Record]:
    """Run all choices and trainings of one cell after the other."""
    found = resume.stored(path) if path else []
    for cell in cells:
        while True:  # what is chosen decides what is trained, and for how long
            before = len(found)
            found = work(accuracy.pieces(cell, found), accuracy.run, workers, path, found)
            if len(found) == before:
                break
    return found


def everything(
    costs: Sequence[Cost], precisions: Sequence[Precision], cells: Sequence[Cell], workers: int, folder: Path | None
) -> dict[str, list[Record]]:
    """Run all that is not stored, and return the records of each part."""
    paths = {name: folder / f"{name}.jsonl" if folder else None for name in page.PARTS}
    kept = {name: resume.stored(path) if path else [] for name, path in paths.items()}
    return {
        "cost": work(costs, cost.run, 1, paths["cost"], kept["cost"]),  # times: nothing else beside them
        "precision": work(precisions, precision.run, workers, paths["precision"], kept["precision"]),
        "accuracy": train_all(cells, workers, paths["accuracy"]),
    }


def quick(workers: int) -> dict[str, list[Record]]:
    """Run a few small networks."""
    costs = [Cost(depth, width, density, "digits") for density in (1.0, 0.1) for depth in (1, 3) for width in (32, 64)]
    return everything(costs, [Precision(2, 32, False, "digits")], [Cell("digits", 1, 32, 1.0)], workers, None)


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    options = resume.parser(__doc__).parse_args(arguments)
    records = resume.asked(
        options,
        lambda: quick(options.workers),
        lambda: {name: resume.stored(RESULTS / f"{name}.jsonl") for name in page.PARTS},
        lambda: everything(COSTS, PRECISIONS, CELLS, options.workers, RESULTS),
    )
    text = page.markdown(records)
    if options.table:
        (DOCS / "unit_wise.md").write_text(text, encoding="utf-8")
        page.draw(records, DOCS)
    print(json.dumps(page.records(records), indent=1) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
