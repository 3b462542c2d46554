"""Do repeated forward gradients on one sample pay in a network as they do in the linear model?

    python benchmarks/repeats.py             # everything, about 15 minutes on two cores; resumes when stopped
    python benchmarks/repeats.py --quick     # two small cases, nothing kept
    python benchmarks/repeats.py --table     # write docs/repeats.md and its picture

Finished cases lie in benchmarks/results/repeats/cases.jsonl.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import resume
from repeated import cases, page

HERE = Path(__file__).resolve().parent
STORE = HERE / "results" / "repeats" / "cases.jsonl"
DOCS = HERE.parent / "docs"


def says(record: resume.Record) -> str:
    """Return what progress tells of a record."""
    return f"{record['problem']}, {record['repeats']} repeats"


def everything(workers: int) -> list[resume.Record]:
    """Run what is not stored yet and return all records."""
    found = resume.stored(STORE)
    todo = [piece for piece in cases.all_pieces() if not cases.done(piece, found)]
    return found + resume.run(todo, cases.run, workers, STORE, says)


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    options = resume.parser(__doc__).parse_args(arguments)
    records = resume.asked(
        options,
        lambda: resume.run(cases.few(), cases.run, options.workers, None, says),
        lambda: resume.stored(STORE),
        lambda: everything(options.workers),
    )
    text = page.markdown(records)
    if options.table and records:
        (DOCS / "repeats.md").write_text(text, encoding="utf-8")
        page.draw(records, DOCS)
    print(json.dumps(page.records(records), indent=1) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
