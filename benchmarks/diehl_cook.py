"""Digits learned without labels by a competitive spiking network: accuracy after one pass over 20,000 of them.

    python benchmarks/diehl_cook.py             # everything, about 10 minutes on one core; resumes when stopped
    python benchmarks/diehl_cook.py --quick     # small networks and few samples, at most a minute, nothing kept
    python benchmarks/diehl_cook.py --table     # write docs/diehl_cook.md and its pictures

Finished networks lie in benchmarks/results/diehl_cook/cases.jsonl. The data is mnist/mnist.npz in the folder that
SPARSEFIRE_DATA names, or in shared/data.
"""

from __future__ import annotations

import sys

import resume
from competing import cases, page


def says(record: resume.Record) -> str:
    """Return what progress tells of a record."""
    return f"{record['arm']}, replicate {record['replicate']}: {record['accuracy']['share'][-1]:.3f}"


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write; do nothing, with a reason, where the data is not here."""
    if cases.data() is None:
        print("skipped: mnist/mnist.npz is not here; SPARSEFIRE_DATA names the folder that holds it", file=sys.stderr)
        return 0
    return resume.study(
        __doc__, cases.STORE, everything=cases.everything, few=cases.few, done=cases.done, made=cases.run, says=says,
        page=page, arguments=arguments,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
