"""How fast do small networks learn rough functions by rules that need no derivatives? Exponents beside a smoother's.

    python benchmarks/nonparametric.py             # everything, about half an hour on two cores; resumes when stopped
    python benchmarks/nonparametric.py --quick     # a few small cases, at most a minute, nothing kept
    python benchmarks/nonparametric.py --table     # write docs/nonparametric.md and its pictures

Finished cases lie in benchmarks/results/nonparametric/cases.jsonl.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import resume
from smooth import cases, page

HERE = Path(__file__).resolve().parent
STORE = HERE / "results" / "nonparametric" / "cases.jsonl"
DOCS = HERE.parent / "docs"


def says(record: resume.Record) -> str:
    """Return what progress tells of a record."""
    return f"{record['function']}, {record['rule']}, {record['rows']} rows"


def everything(workers: int) -> list[resume.Record]:
    """Run what is not stored yet and return all records."""
    found = resume.stored(STORE)
    held = {(one["function"], one["rule"], one["rows"], one["replicate"]) for one in found}
    todo = [piece for piece in cases.all_pieces() if not cases.done(piece, held)]
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
        (DOCS / "nonparametric.md").write_text(text, encoding="utf-8")
        page.draw(records, DOCS)
    print(json.dumps(page.records(records), indent=1) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
