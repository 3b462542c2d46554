"""The decision is honest: how often does the shipped code call something not worse that is worse by exactly the margin?

    python benchmarks/decision_level.py                 # all cells; kill it at any moment, repeat the command to resume
    python benchmarks/decision_level.py --quick         # a few cells with few data sets, at most a minute, nothing kept
    python benchmarks/decision_level.py --table         # only write the page from what is finished
    python benchmarks/decision_level.py --check         # recompute one data set per cell and compare with what is
    stored

Finished chunks lie under benchmarks/results/decision_level/ (one folder per cell), the page is docs/decision_level.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import replace
from itertools import islice
from pathlib import Path

from decision.cells import CELLS, QUICK, Cell
from decision.experiments import chunk
from decision.page import markdown, records
from decision.store import Piece, load, make, pieces
from decision.tables import Row, rows_of

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "decision_level"
PAGE = HERE.parent / "docs" / "decision_level.md"


def run(cells: tuple[Cell, ...], results: Path, workers: int) -> None:
    """Compute all pieces that are not on disk yet."""
    everything = pieces(cells)
    todo = [piece for piece in everything if not piece.path(results).exists()]
    if not todo:
        return
    print(f"{len(everything) - len(todo)} of {len(everything)} pieces are there, {len(todo)} to do", file=sys.stderr)
    price: dict[tuple[str, str], list[float]] = {}
    began, shown = time.monotonic(), 0.0
    work = (_here if workers == 1 else _apart)(todo, results, workers)
    for done, (piece, seconds) in enumerate(work, start=1):
        price.setdefault((piece.cell.name, piece.what), []).append(seconds)
        if time.monotonic() - shown > 10 or done == len(todo):
            shown = time.monotonic()
            left = _left(todo[done:], price) / workers
            print(
                f"{done:>5} of {len(todo)} · {(shown - began) / 60:.1f} min · "
                f"about {left / 60:.0f} min left · {piece.cell.name}",
                file=sys.stderr,
                flush=True,
            )


def _left(todo: list[Piece], price: dict[tuple[str, str], list[float]]) -> float:
    """Return the CPU seconds to come: what such a piece cost so far, else the mean of all."""
    means = {key: sum(values) / len(values) for key, values in price.items()}
    usual = sum(means.values()) / len(means)
    return sum(means.get((piece.cell.name, piece.what), usual) for piece in todo)


def _here(todo: list[Piece], results: Path, workers: int) -> Iterator[tuple[Piece, float]]:
    for piece in todo:
        yield piece, make(piece, results)


def _apart(todo: list[Piece], results: Path, workers: int) -> Iterator[tuple[Piece, float]]:
    queue = iter(todo)
    with ProcessPoolExecutor(workers) as pool:
        running = {pool.submit(make, piece, results): piece for piece in islice(queue, 2 * workers)}
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                piece = running.pop(future)
                yield piece, future.result()
            running |= {pool.submit(make, piece, results): piece for piece in islice(queue, len(finished))}


def quick_cells() -> tuple[Cell, ...]:
    """Return the cheap cells with few data sets."""
    small = {"single": (100, 6000), "family": (60, 1500), "gate": (100, 0)}
    return tuple(
        replace(cell, sets=small[cell.kind][0], truth=min(cell.truth, small[cell.kind][1]), chunk=20)
        for cell in CELLS
        if cell.name in QUICK
    )


def check(cells: tuple[Cell, ...], results: Path) -> int:
    """Recompute the first data set of every cell with today's code and return how many differ from what is stored."""
    different = 0
    for cell in cells:
        stored = load(cell, "sets", results)[:1]
        if not stored:
            continue
        (now,) = chunk(replace(cell, chunk=1), 0)
        same = _equal(
            {k: v for k, v in stored[0].items() if k != "seconds"}, {k: v for k, v in now.items() if k != "seconds"}
        )
        different += not same
        print(f"{'same' if same else 'DIFFERENT':<10}{cell.name}", file=sys.stderr)
    return different


def _equal(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-9 * max(1.0, abs(a))
    return a == b


def promises(rows: list[Row]) -> list[str]:
    """Return what was promised and not found."""
    broken = [f"{row.cell.name} ({row.label}): {row.rate:.3f} of {row.sets}" for row in rows if row.met is False]
    broken += [f"{row.cell.name}: {row.sets} data sets" for row in rows if row.sets < 500]
    return broken


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few cells, at most a minute, no page is written")
    parser.add_argument("--json", action="store_true", help="print a list of records")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (default 2)")
    parser.add_argument(
        "--results", type=Path, default=None, help=f"folder of finished chunks (default {RESULTS.name})"
    )
    parser.add_argument("--table", action="store_true", help="run nothing, write the page from what is finished")
    parser.add_argument("--check", action="store_true", help="recompute one data set per cell and compare")
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error("--workers must be at least 1")
    cells = quick_cells() if options.quick else CELLS
    with tempfile.TemporaryDirectory() as scratch:
        results = options.results or (Path(scratch) if options.quick else RESULTS)
        if options.check:
            return 1 if check(cells, results) else 0
        if not options.table:
            try:
                run(cells, results, options.workers)
            except KeyboardInterrupt:
                print("stopped; finished pieces are kept, the same command resumes", file=sys.stderr)
                return 130
        rows = rows_of(cells, results)
    if not options.quick:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(markdown(rows), encoding="utf-8")
    print(json.dumps(records(rows), indent=1, ensure_ascii=False) if options.json else markdown(rows))
    for line in promises(rows) if not options.quick else []:
        print(f"not as promised: {line}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
