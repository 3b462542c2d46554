"""How fast is the law of a spike train learnt? Excess log-likelihood per spike against the spikes that were seen.

    python benchmarks/teacher.py             # everything, about 5 minutes on two cores; resumes when stopped
    python benchmarks/teacher.py --quick     # a few small cases, at most a minute, nothing kept
    python benchmarks/teacher.py --table     # write docs/teacher.md and its picture

Finished cases lie in benchmarks/results/teacher/cases.jsonl.
"""

from __future__ import annotations

import sys
from pathlib import Path

import resume
from taught import cases, page

STORE = Path(__file__).resolve().parent / "results" / "teacher" / "cases.jsonl"


def says(record: resume.Record) -> str:
    """Return what progress tells of a record."""
    return f"{record['learner']}, d = {record['dimension']}"


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    return resume.study(
        __doc__, STORE, everything=cases.all_cases, few=cases.few, done=cases.done, made=cases.run, says=says,
        page=page, arguments=arguments,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
