"""Claims of the literature on sparse training, tried on one small network: do they hold here?

    python benchmarks/published.py             # every arm on ten draws of rows; resumes when stopped
    python benchmarks/published.py --only 7 14 # some of the experiments; --places mlp: without the convnets
    python benchmarks/published.py --quick     # two arms, at most a minute, nothing kept
    python benchmarks/published.py --table     # write docs/published.md and its picture from what is finished

Finished trainings lie in benchmarks/results/published/cases.jsonl.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import resume
from claims import page
from claims.cases import Arm, Choice, run
from claims.experiments import EXPERIMENTS, all_arms
from claims.judge import judged
from claims.parts import Comparison, Experiment
from claims.places import PLACES

HERE = Path(__file__).resolve().parent
STORE = HERE / "results" / "published" / "cases.jsonl"
DOCS = HERE.parent / "docs"
REPLICATES = 10
SHORT = Comparison(Arm("static", 0.1, epochs=1), Arm("dense", epochs=1), "not worse", "static − dense, one epoch")
QUICK = Experiment(0, "A short look", "None.", "None.", (SHORT,))


def choices(records: list[dict[str, Any]]) -> dict[str, Choice]:
    """Return the rates that were chosen, by arm."""
    return {record["arm"]: Choice(**record["choice"]) for record in records if "choice" in record}


def run_piece(piece: tuple[Arm, list[int]], known: dict[str, Choice]) -> list[dict[str, Any]]:
    """Train an arm on some replicates."""
    return run(*piece, known)


def work(arms: list[Arm], replicates: int, workers: int, keep: bool) -> list[dict[str, Any]]:
    """Train what is not stored yet, arms that others start from first, and return all records."""
    found = resume.stored(STORE) if keep else []
    for needs in (False, True) if workers > 1 else (None,):
        there = {(record["arm"], record["replicate"]) for record in found if "replicate" in record}
        todo = [
            (arm, [number for number in range(replicates) if (arm.key, number) not in there])
            for arm in arms
            if needs is None or (arm.source is not None) == needs
        ]
        made = partial(run_piece, known=choices(found))
        pieces = [piece for piece in todo if piece[1]]
        found += resume.run(pieces, made, workers, STORE if keep else None, lambda record: str(record["arm"]))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run, judge, write."""
    parser = resume.parser(__doc__, workers=1)
    parser.add_argument("--only", nargs="+", type=int, help="numbers of experiments")
    parser.add_argument("--places", nargs="+", choices=list(PLACES), help="some of the networks")
    options = parser.parse_args(arguments)
    chosen = all_arms(options.only and set(options.only), options.places and set(options.places))
    records = resume.asked(
        options,
        lambda: work(list(QUICK.arms()), 3, options.workers, keep=False),
        lambda: resume.stored(STORE),
        lambda: work(chosen, REPLICATES, options.workers, keep=True),
    )
    found = judged(records, (QUICK,) if options.quick else EXPERIMENTS)
    if options.table:
        page.write(DOCS, records, found)
    plain = options.json or options.quick
    print(json.dumps(page.records(found), indent=1) if plain else page.markdown(records, found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
