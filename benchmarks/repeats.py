"""Do repeated forward gradients on one sample pay in a network as they do in the linear model?

    python benchmarks/repeats.py             # everything, about 25 minutes on two cores; resumes when stopped
    python benchmarks/repeats.py --quick     # two small cases, nothing kept
    python benchmarks/repeats.py --table     # write docs/repeats.md and its picture

Finished cases lie in benchmarks/results/repeats/cases.jsonl.
"""

from __future__ import annotations

import sys
from pathlib import Path

import resume
from repeated import cases, page

STORE = Path(__file__).resolve().parent / "results" / "repeats" / "cases.jsonl"


def says(record: resume.Record) -> str:
    """Return what progress tells of a record."""
    return f"{record['problem']}, {record['repeats']} repeats"


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    return resume.study(
        __doc__, STORE, everything=cases.all_pieces, few=cases.few, done=cases.done, made=cases.run, says=says,
        page=page, arguments=arguments,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
