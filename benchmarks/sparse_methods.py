"""The table of methods: what each way to a small network is worth, from the same start, data, steps and tuning.

    python benchmarks/sparse_methods.py             # all methods on two data sets; resumes when stopped
    python benchmarks/sparse_methods.py --chosen    # the recommended ones on four more
    python benchmarks/sparse_methods.py --quick     # a few methods, at most a minute, nothing kept
    python benchmarks/sparse_methods.py --table     # write docs/methods_table.md from what is finished

Finished cases lie in benchmarks/results/sparse_methods/cases.jsonl; --table writes docs/methods_table.parquet too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import resume
from table import page
from table.cases import Case, run

from sparsefire.sparsity import METHODS
from sparsefire.studies.parquet import write_parquet

HERE = Path(__file__).resolve().parent
STORE = HERE / "results" / "sparse_methods" / "cases.jsonl"
DOCS = HERE.parent / "docs"
COMBINED = ("rigl+sign-in", "static+ham", "lrr+ham")
RECOMMENDED = ("static", "sign-in", "gmp", "rigl", "set", "lrr", "one-shot", "cyclic")


def everything(chosen: bool, only: list[str] | None = None) -> list[Case]:
    """Return all cases: few replicates of all methods, or more of the recommended ones; of some data sets alone."""
    methods = RECOMMENDED if chosen else (*METHODS, *COMBINED)
    places = ("mnist10k", "pneumonia", "adult", "golub") if chosen else ("digits", "adult")
    places = tuple(place for place in places if only is None or place in only)
    densities = (0.1, 0.02) if chosen else (0.1, 0.05, 0.02)
    return [
        *[Case(place, "dense", 1.0, r) for place in places for r in range(5 if chosen else 3)],
        *[
            Case(place, method, density, r)
            for method in ("narrow", *methods)
            for place in places
            for density in densities
            for r in range(5 if chosen else 3)
        ],
    ]


def few() -> list[Case]:
    """Return cases for a minute."""
    return [Case("digits", m, 1.0 if m == "dense" else 0.05, 0) for m in ("dense", "narrow", "static", "gmp")]


def together(cases: list[Case]) -> list[list[Case]]:
    """Return cases that share the choice of a rate, so that one process makes it once."""
    groups: dict[tuple[str, str, float], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.place, case.method, case.density), []).append(case)
    return list(groups.values())


def run_all(cases: list[Case]) -> list[dict[str, Any]]:
    """Run cases one after the other."""
    return [run(case) for case in cases]


def work(cases: list[Case], workers: int, keep: bool) -> list[dict[str, Any]]:
    """Run what is not stored yet and return all records."""
    found = resume.stored(STORE) if keep else []
    there = {(r["place"], r["method"], r["density"], r["replicate"]) for r in found}
    todo = together([c for c in cases if (c.place, c.method, c.density, c.replicate) not in there])
    return found + resume.run(todo, run_all, workers, STORE if keep else None, lambda record: str(record["method"]))


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    parser = resume.parser(__doc__)
    parser.add_argument("--chosen", action="store_true")
    parser.add_argument("--places", nargs="+", help="some of the data sets alone")
    options = parser.parse_args(arguments)
    records = resume.asked(
        options,
        lambda: work(few(), options.workers, keep=False),
        lambda: resume.stored(STORE),
        lambda: work(everything(options.chosen, options.places), options.workers, keep=True),
    )
    table = page.frame(records)
    text = page.markdown(table)
    if options.table:
        (DOCS / "methods_table.md").write_text(text, encoding="utf-8")
        write_parquet(DOCS / "methods_table.parquet", table.to_dict("records"))
    print(json.dumps(page.records(table), indent=1) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
