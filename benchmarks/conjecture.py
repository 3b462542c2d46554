"""Is learning from losses statistically favourable? Risk against rows and against losses, beside a tuned gradient.

    python benchmarks/conjecture.py             # everything, about 25 minutes on two cores; resumes when stopped
    python benchmarks/conjecture.py --quick     # a few small cases, at most a minute, nothing kept
    python benchmarks/conjecture.py --table     # write docs/conjecture.md and its pictures

Finished cases lie in benchmarks/results/conjecture/cases.jsonl.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import resume
from conjectured import cases, page

HERE = Path(__file__).resolve().parent
STORE = HERE / "results" / "conjecture" / "cases.jsonl"
DOCS = HERE.parent / "docs"


def says(record: resume.Record) -> str:
    """Return what progress tells of a record."""
    return f"{record['problem']}, {record['arm']}, {record['rows']} rows"


def everything(workers: int) -> list[resume.Record]:
    """Run what is not stored yet and return all records."""
    found = resume.stored(STORE)
    held = {cases.key(one) for one in found}
    todo = [piece for piece in cases.all_pieces() if not cases.done(piece, held)]
    return found + resume.run(todo, cases.run, workers, STORE, says)


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    options = resume.parser(__doc__).parse_args(arguments)
    records = resume.asked(
        options,
        lambda: resume.run(cases.few(), cases.quick, options.workers, None, says),
        lambda: resume.stored(STORE),
        lambda: everything(options.workers),
    )
    text = page.markdown(records)
    if options.table and records:
        (DOCS / "conjecture.md").write_text(text, encoding="utf-8")
        page.draw(records, DOCS)
    print(json.dumps(page.records(records), indent=1) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
