"""Does noise on synapses prune while it learns? Sparse regression, the laws of such noise, and networks on digits.

    python benchmarks/synaptic_noise.py             # everything; resumes when stopped
    python benchmarks/synaptic_noise.py --quick     # a few small cases, at most a minute, nothing kept
    python benchmarks/synaptic_noise.py --table     # write docs/synaptic_noise.md and its pictures

Finished cases lie in benchmarks/results/synaptic_noise/cases.jsonl.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import resume
from noise import cases, page

HERE = Path(__file__).resolve().parent
STORE = HERE / "results" / "synaptic_noise" / "cases.jsonl"
DOCS = HERE.parent / "docs"


def says(record: dict[str, Any]) -> str:
    """Return what progress tells of a record."""
    names = ("piece", "arm", "how", "rate", "d", "n", "replicate")
    return ", ".join(f"{record[name]}" for name in names if name in record)


def work(pieces: Sequence[cases.Piece], workers: int, path: Path | None) -> list[dict[str, Any]]:
    """Run what is not stored yet and return all records."""
    found = resume.stored(path) if path is not None else []
    todo = [piece for piece in pieces if not cases.done(piece, found)]
    return found + resume.run(todo, cases.run, workers, path, says)


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    options = resume.parser(__doc__).parse_args(arguments)
    records = resume.asked(
        options,
        lambda: work(cases.few(), options.workers, None),
        lambda: resume.stored(STORE),
        lambda: work(cases.second(work(cases.first(), options.workers, STORE)), options.workers, STORE),
    )
    text = page.markdown(records)
    if options.table and records:
        (DOCS / "synaptic_noise.md").write_text(text, encoding="utf-8")
        page.draw(records, DOCS)
    print(json.dumps(page.records(records), indent=1) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
