"""Spiking networks trained by surrogate gradients while sparse: MNIST as Poisson-like rates, and an event camera.

    python benchmarks/surrogate.py             # everything, about 20 minutes on two cores; resumes when stopped
    python benchmarks/surrogate.py --quick     # one short training, nothing kept
    python benchmarks/surrogate.py --table     # write docs/surrogate.md and its picture

Finished trainings lie in benchmarks/results/surrogate/cases.jsonl. The data are those of benchmarks/fate/data.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import resume
from surrogated import cases, page

STORE = Path(__file__).resolve().parent / "results" / "surrogate" / "cases.jsonl"


def says(record: resume.Record) -> str:
    """Return what progress tells of a record."""
    name = f"{record['data']} at density {record['density']:g}, replicate {record['replicate']}"
    return f"{name}: {record['accuracy']:.4f}"


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    return resume.study(
        __doc__, STORE, everything=cases.all_cases, few=cases.few, done=cases.done, made=cases.run, says=says,
        page=page, arguments=arguments,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
