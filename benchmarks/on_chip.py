"""Learning on a chip: digits by a spiking network of 4-bit weights and mismatched devices, with no backward pass.

    python benchmarks/on_chip.py             # everything, about 10 minutes of one core; resumes when stopped
    python benchmarks/on_chip.py --quick     # two short trainings, under a minute, nothing kept
    python benchmarks/on_chip.py --table     # write docs/on_chip.md and its picture

Finished trainings lie in benchmarks/results/on_chip/cases.jsonl.
"""

from __future__ import annotations

import sys
from pathlib import Path

import resume
from chips import cases, page

STORE = Path(__file__).resolve().parent / "results" / "on_chip" / "cases.jsonl"


def says(record: resume.Record) -> str:
    """Return what progress tells of a record."""
    return f"{record['arm']}, replicate {record['replicate']}: {record['accuracy']:.4f} in {record['seconds']:.0f} s"


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    return resume.study(
        __doc__, STORE, everything=cases.everything, few=cases.few, done=cases.done, made=cases.run, says=says,
        page=page, arguments=arguments,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
