"""Is learning from losses statistically favourable? Risk against rows and against losses, beside a tuned gradient.

    python benchmarks/conjecture.py             # everything, about 35 minutes on two cores; resumes when stopped
    python benchmarks/conjecture.py --quick     # a few small cases, at most a minute, nothing kept
    python benchmarks/conjecture.py --table     # write docs/conjecture.md and its pictures

Finished cases lie in benchmarks/results/conjecture/cases.jsonl.
"""

from __future__ import annotations

import sys
from pathlib import Path

import resume
from conjectured import cases, page

STORE = Path(__file__).resolve().parent / "results" / "conjecture" / "cases.jsonl"


def says(record: resume.Record) -> str:
    """Return what progress tells of a record."""
    return f"{record['problem']}, {record['arm']}, {record['rows']} rows"


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    return resume.study(
        __doc__, STORE, everything=cases.all_pieces, few=cases.few, done=cases.done, made=cases.run, says=says,
        page=page, arguments=arguments,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
