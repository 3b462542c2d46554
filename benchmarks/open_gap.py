"""How much of the gap between pruning a dense network and training on one fixed random mask can be closed?

    python benchmarks/open_gap.py             # everything; resumes when stopped
    python benchmarks/open_gap.py --quick     # a few small trainings, at most a minute, nothing kept
    python benchmarks/open_gap.py --table     # write docs/open_gap.md and its picture from what is finished

Finished cases lie in benchmarks/results/open_gap/cases.jsonl.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import resume
from gap import page
from gap.arms import ARMS
from gap.cases import Case, run
from gap.data import PLACES

HERE = Path(__file__).resolve().parent
STORE = HERE / "results" / "open_gap" / "cases.jsonl"
DOCS = HERE.parent / "docs"
REPLICATES = 10
SAME_OPERATIONS = 3.6
"""How many times longer a fixed mask at density 0.1 trains for the operations of ``gmp``, which begins dense."""
LONG = ("static", "fields", "neighbours", "rigl+fields")
FRONTIER = (0.25, 2.0)
FEW = ("dense", "gmp", "static", "fields", "neighbours")


def everything() -> list[Case]:
    """Return all cases, the ones that matter most first."""
    numbers = range(REPLICATES)
    alone = ("static, orthogonal", "static+sam")  # not on the second data set: no such network, or too dear
    explain = [arm.name for arm in ARMS if arm.kind == "borrowed"]
    plain = [arm.name for arm in ARMS if arm.kind != "borrowed" and arm.name not in alone]
    sparser = (*FEW, "lrr", "rigl", "rigl+fields", "snip")
    cases = [Case("mnist10k", name, 0.1, r) for name in (*FEW, *plain, *alone, *explain) for r in numbers]
    cases += [Case("pneumonia", name, 0.1, r) for name in (*FEW, *plain) for r in numbers]
    cases += [Case("mnist10k", name, 0.1, r, SAME_OPERATIONS) for name in LONG for r in numbers]
    cases += [Case("mnist10k", name, 0.02, r) for name in sparser for r in numbers]
    cases += [Case("mnist10k", name, 0.1, r, times) for times in FRONTIER for name in FEW for r in numbers]
    cases += [Case("mnist", name, 0.1, r) for name in (*FEW, "lrr") for r in numbers]
    return list(dict.fromkeys(cases))


def few() -> list[Case]:
    """Return cases for a minute."""
    return [Case("pneumonia", name, 0.1, r, 0.2) for name in ("dense", "gmp", "static", "fields") for r in (0, 1, 2)]


def key(record: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells cases apart."""
    return tuple(record[name] for name in ("place", "arm", "density", "replicate", "times"))


def run_all(cases: list[Case]) -> list[dict[str, Any]]:
    """Run cases one after the other; those of one arm share the choice of a rate."""
    return [run(case) for case in cases]


def together(cases: list[Case]) -> list[list[Case]]:
    """Return cases of one arm as one piece of work."""
    groups: dict[Case, list[Case]] = {}
    for case in cases:
        groups.setdefault(replace(case, replicate=0), []).append(case)
    return list(groups.values())


def work(cases: list[Case], workers: int, keep: bool) -> list[dict[str, Any]]:
    """Run what is not stored yet and return all records."""
    found = resume.stored(STORE) if keep else []
    there = {key(record) for record in found}
    todo = together([case for case in cases if key(vars(case)) not in there])
    says = lambda record: f"{record['place']}, {record['arm']}"  # noqa: E731
    return found + resume.run(todo, run_all, workers, STORE if keep else None, says)


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    parser = resume.parser(__doc__)
    parser.add_argument("--places", nargs="+", choices=list(PLACES), help="some of the data sets alone")
    options = parser.parse_args(arguments)
    cases = [case for case in everything() if options.places is None or case.place in options.places]
    records = resume.asked(
        options,
        lambda: work(few(), options.workers, keep=False),
        lambda: resume.stored(STORE),
        lambda: work(cases, options.workers, keep=True),
    )
    text = page.markdown(records)
    if options.table and records:
        (DOCS / "open_gap.md").write_text(text, encoding="utf-8")
        page.draw(records, DOCS)
    print(json.dumps(page.records(records), indent=1) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
