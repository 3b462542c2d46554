"""How fast do small networks learn rough functions by rules that need no derivatives? Exponents beside a smoother's.

    python benchmarks/nonparametric.py             # everything, about half an hour on two cores; resumes when stopped
    python benchmarks/nonparametric.py --quick     # a few small cases, at most a minute, nothing kept
    python benchmarks/nonparametric.py --table     # write docs/nonparametric.md and its pictures

Finished cases lie in benchmarks/results/nonparametric/cases.jsonl.
"""

from __future__ import annotations

import sys
from pathlib import Path

import resume
from smooth import cases, page

STORE = Path(__file__).resolve().parent / "results" / "nonparametric" / "cases.jsonl"


def says(record: resume.Record) -> str:
    """Return what progress tells of a record."""
    return f"{record['function']}, {record['rule']}, {record['rows']} rows"


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    return resume.study(
        __doc__, STORE, everything=cases.all_pieces, few=cases.few, done=cases.done, made=cases.run, says=says,
        page=page, arguments=arguments,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
