"""Long work in pieces: each is kept as it is finished, and what is kept is not run again; how programs are asked."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

import torch

Record = dict[str, Any]
Piece = TypeVar("Piece")
Found = TypeVar("Found")
STOPPED = "stopped; finished cases are kept, the same command resumes"


def parser(about: str | None, workers: int = 2) -> argparse.ArgumentParser:
    """Return what all of these programs understand.

    Args:
        about: the program's own documentation.
        workers: by default.
    """
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="a few small cases, at most a minute; nothing is kept")
    made.add_argument("--table", action="store_true", help="run nothing, write the page from what is finished")
    made.add_argument("--json", action="store_true", help="print a list of records")
    made.add_argument(
        "--workers", type=at_least_one, default=workers, help=f"processes, one thread each (default {workers})"
    )
    return made


def at_least_one(text: str) -> int:
    """Return a whole number from 1 on, or raise what a parser tells."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def asked(
    options: argparse.Namespace, quick: Callable[[], Found], kept: Callable[[], Found], everything: Callable[[], Found]
) -> Found:
    """Return the records that the options ask for; leave with code 130 when stopped."""
    if options.quick:
        return quick()
    if options.table:
        return kept()
    try:
        return everything()
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        raise SystemExit(130) from None


def stored(path: Path) -> list[Record]:
    """Return what is finished."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(
    pieces: Sequence[Piece],
    made: Callable[[Piece], list[Record]],
    workers: int,
    path: Path | None,
    says: Callable[[Record], str],
) -> list[Record]:
    """Run all pieces and return their records in the order they came.

    Args:
        pieces: what has to be done.
        made: one piece, run by a process with one thread.
        workers: processes.
        path: where the records of a piece are appended when it is finished; None keeps nothing.
        says: what progress tells of a record.
    """
    found: list[Record] = []
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting = [pool.submit(made, piece) for piece in pieces]
        for done, future in enumerate(as_completed(waiting), start=1):
            fresh = json.loads(json.dumps(future.result()))
            found += fresh
            if path is not None:
                with path.open("a") as out:
                    out.writelines(json.dumps(record) + "\n" for record in fresh)
            spent = time.monotonic() - began
            left = spent / done * (len(pieces) - done)
            text = f"{done:>4} of {len(pieces)} · {spent / 60:.1f} min · about {left / 60:.0f} min left"
            print(f"{text} · {says(fresh[0])}", file=sys.stderr, flush=True)
    return found


def study(
    about: str | None,
    store: Path,
    *,
    everything: Callable[[], Sequence[Piece]],
    few: Callable[[], Sequence[Piece]],
    done: Callable[[Piece, list[Record]], bool],
    made: Callable[[Piece], list[Record]],
    says: Callable[[Record], str],
    page: Any,
    arguments: list[str] | None = None,
) -> int:
    """Run a study of one kind of pieces, tabulate it, write its page; return the exit code.

    Args:
        about: the program's own documentation.
        store: where records are kept, in a folder with the name of the page.
        everything, few: all pieces, and those of a quick look.
        done: whether a piece is among some records.
        made, says: as of :func:`run`.
        page: module with ``markdown(records)``, ``records(records)`` and ``draw(records, docs)``.
        arguments: of the command line.
    """
    options = parser(about).parse_args(arguments)

    def rest() -> list[Record]:
        found = stored(store)
        return found + run([one for one in everything() if not done(one, found)], made, options.workers, store, says)

    quick = lambda: run(few(), made, options.workers, None, says)  # noqa: E731
    records = asked(options, quick, lambda: stored(store), rest)
    text = page.markdown(records)
    if options.table and records:
        docs = Path(__file__).resolve().parents[1] / "docs"
        (docs / f"{store.parent.name}.md").write_text(text, encoding="utf-8")
        page.draw(records, docs)
    print(json.dumps(page.records(records), indent=1) if options.json else text)
    return 0
