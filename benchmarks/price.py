"""The price of not differentiating: what a derivative-free step costs, in the dimension of what it perturbs.

    python benchmarks/price.py             # everything; resumes when stopped
    python benchmarks/price.py --quick     # a few small trainings, at most a minute, nothing kept
    python benchmarks/price.py --table     # write docs/price.md and its pictures from what is finished

Finished cases lie in benchmarks/results/price/cases.jsonl.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import resume
from dimension import cases, page

HERE = Path(__file__).resolve().parent
STORE = HERE / "results" / "price" / "cases.jsonl"
DOCS = HERE.parent / "docs"


def work(wanted: list[cases.Case], workers: int, keep: bool) -> list[dict[str, Any]]:
    """Run what is not stored yet and return all records."""
    found = resume.stored(STORE) if keep else []
    there = {json.dumps(record["case"], sort_keys=True) for record in found}
    todo = [one for one in wanted if json.dumps(vars(one), sort_keys=True) not in there]
    says = lambda record: " ".join(str(value) for value in record["case"].values())  # noqa: E731
    return found + resume.run(todo, cases.run, workers, STORE if keep else None, says)


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    parser = resume.parser(__doc__)
    parser.add_argument("--parts", nargs="+", choices=cases.PARTS, help="some of the parts alone")
    options = parser.parse_args(arguments)
    wanted = [one for one in cases.everything() if options.parts is None or one.part in options.parts]
    records = resume.asked(
        options,
        lambda: work(cases.everything(quick=True), options.workers, keep=False),
        lambda: resume.stored(STORE),
        lambda: work(wanted, options.workers, keep=True),
    )
    text = page.markdown(records)
    if options.table and records:
        (DOCS / "price.md").write_text(text, encoding="utf-8")
        page.draw(records, DOCS)
    print(json.dumps(page.records(records), indent=1) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
