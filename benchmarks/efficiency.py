"""How near does learning from single losses come to what its queries could tell? Risk over the design's own bound.

    python benchmarks/efficiency.py             # everything, about 20 minutes on two cores; resumes when stopped
    python benchmarks/efficiency.py --quick     # a few small cases, at most a minute, nothing kept
    python benchmarks/efficiency.py --table     # write docs/efficiency.md and its pictures

Finished cases lie in benchmarks/results/efficiency/cases.jsonl.
"""

from __future__ import annotations

import sys
from pathlib import Path

import resume
from bounds import cases, page

STORE = Path(__file__).resolve().parent / "results" / "efficiency" / "cases.jsonl"


def says(record: resume.Record) -> str:
    """Return what progress tells of a record."""
    return f"{record['design']} inputs, {record['noise']} noise, {record['reading']}, d = {record['dimension']}"


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    return resume.study(
        __doc__, STORE, everything=cases.all_cases, few=cases.few, done=cases.done, made=cases.run, says=says,
        page=page, arguments=arguments,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
