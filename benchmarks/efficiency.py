"""How near does learning from single losses come to what its queries could tell? Risk over the design's own bound.

    python benchmarks/efficiency.py             # everything, about 20 minutes on two cores; resumes when stopped
    python benchmarks/efficiency.py --quick     # a few small cases, at most a minute, nothing kept
    python benchmarks/efficiency.py --table     # write docs/efficiency.md and its pictures

Finished cases lie in benchmarks/results/efficiency/cases.jsonl.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import resume
from bounds import cases, page

HERE = Path(__file__).resolve().parent
STORE = HERE / "results" / "efficiency" / "cases.jsonl"
DOCS = HERE.parent / "docs"


def says(record: resume.Record) -> str:
    """Return what progress tells of a record."""
    return f"{record['design']} inputs, {record['noise']} noise, {record['reading']}, d = {record['dimension']}"


def everything(workers: int) -> list[resume.Record]:
    """Run what is not stored yet and return all records."""
    found = resume.stored(STORE)
    todo = [case for case in cases.all_cases() if not cases.done(case, found)]
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
        (DOCS / "efficiency.md").write_text(text, encoding="utf-8")
        page.draw(records, DOCS)
    print(json.dumps(page.records(records), indent=1) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
