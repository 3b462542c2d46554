"""How good are small networks that learn without derivatives, in a minute or ten? Digits and MNIST, all kinds of rule.

    python benchmarks/without_derivatives.py            # all; kill it at any moment, repeat the command to resume
    python benchmarks/without_derivatives.py --quick    # digits, two replicates, short: a minute, nothing kept
    python benchmarks/without_derivatives.py --table    # only write the page from what is finished

Finished trainings lie in benchmarks/results/without_derivatives/*.jsonl, the page is docs/without_derivatives.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import resume
from targets import page
from targets.jobs import JOBS, REPLICATES, TUNING, Job, Piece, run

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "without_derivatives" / "trainings.jsonl"
DOCS = HERE.parent / "docs"


def key(piece: dict[str, Any]) -> str:
    """Return what tells trainings apart: all but what is only said about a job and what others might have tried."""
    job = {name: value for name, value in piece["job"].items() if name not in ("target", "stretch", "rates", "minutes")}
    return json.dumps([job, piece["rate"], piece["replicate"], piece["inner"]], sort_keys=True)


def key_of(piece: Piece) -> str:
    """Return the key of a training that is to be done."""
    return key(json.loads(json.dumps(asdict(piece))))


def alone(piece: Piece) -> list[dict[str, Any]]:
    """Run a training."""
    return [run(piece)]


def best_rate(job: Job, found: dict[str, dict[str, Any]]) -> float:
    """Return the rate that was best on rows kept apart from the training rows."""
    return max(job.rates, key=lambda rate: found[key_of(Piece(job, rate, TUNING, True))]["accuracy"])


def work(jobs: Sequence[Job], replicates: int, workers: int, path: Path | None) -> list[dict[str, Any]]:
    """Choose rates, then train what is not stored yet; return the records of all."""
    found = {key(record["piece"]): record for record in (resume.stored(path) if path else [])}

    def missing(pieces: list[Piece]) -> None:
        todo = [piece for piece in pieces if key_of(piece) not in found]
        for record in resume.run(todo, alone, workers, path, said):
            found[key(record["piece"])] = record

    tuning = [Piece(job, rate, TUNING, True) for job in jobs for rate in job.rates]
    missing(tuning)
    final = [Piece(job, best_rate(job, found), number, False) for number in range(replicates) for job in jobs]
    missing(final)
    return [found[key_of(piece)] for piece in [*tuning, *final]]


def said(record: dict[str, Any]) -> str:
    """Return what progress tells of a training."""
    job = record["piece"]["job"]
    return f"{job['data']} · {job['name']} · {record['accuracy']:.2%} in {record['seconds']:.0f} s"


def short(job: Job) -> Job:
    """Return a job that takes seconds."""
    return replace(job, epochs=max(5, job.epochs // 20), rates=job.rates[-1:])


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    options = resume.parser(__doc__).parse_args(arguments)
    found = resume.asked(
        options,
        lambda: work([short(job) for job in JOBS if job.data == "digits"], 2, options.workers, None),
        lambda: resume.stored(RESULTS),
        lambda: work(JOBS, REPLICATES, options.workers, RESULTS),
    )
    text = page.markdown(found)
    if not options.quick:
        page.picture(found, DOCS)
        (DOCS / "without_derivatives.md").write_text(text, encoding="utf-8")
    print(json.dumps(page.records(found), indent=1, ensure_ascii=False) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
