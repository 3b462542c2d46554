"""Do critical layouts, initialisers and penalties help deep sparse ReLU networks without norm layers to train?

    python benchmarks/deep_sparse.py                # all cases; kill it at any moment, repeat the command to resume
    python benchmarks/deep_sparse.py --quick        # a few small cases, at most a minute, nothing kept
    python benchmarks/deep_sparse.py --table        # only write the page from what is finished

Finished cases lie in benchmarks/results/deep_sparse/*.jsonl, the page is docs/deep_sparse.md.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import resume
from deep import page
from deep.arms import ARMS, BY_NAME
from deep.cases import Accuracy, Ladder, run

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "deep_sparse"
PAGE = HERE.parent / "docs" / "deep_sparse.md"
DENSER = (
    "ERK, He by in-degree",
    "ERK, orthogonal looks-linear (butterfly)",
    "critical-signs, signs",
    "ERK, He by density",
    "ERK, signs",
    "critical, typical",
)
"""Arms whose depth is looked for at density 0.05 too, where a search takes minutes."""
COARSE = (40, 80, 160, 320, 480, 640)
SLOWER = (3e-3, 1e-3)
"""At density 0.05: depths that are far apart, and the rates at which networks so deep train at all."""


def everything() -> list[Accuracy | Ladder]:
    """Return all cases, the ones that matter most first."""
    plain = [arm.name for arm in ARMS if not arm.slow]
    slow = [arm.name for arm in ARMS if arm.slow]  # the penalty takes longer than the training
    plain.sort(key=lambda name: DENSER.index(name) if name in DENSER else len(DENSER))
    small = [(data, 20, density) for data in ("digits", "adult") for density in (0.01, 0.02)]
    return [
        *[Accuracy(arm.name, "mnist10k", 20, density) for density in (0.01, 0.02) for arm in ARMS],
        *[Accuracy(name, *place) for place in small for name in plain],
        *[Accuracy(name, "mnist10k", 20, 0.005, units) for units in (64, 128) for name in plain],
        *[Ladder(name, "mnist10k", density) for name in DENSER for density in (0.01, 0.02)],
        *[Accuracy(name, "mnist10k", 20, 0.005) for name in plain],
        *[Ladder(name, "mnist10k", 0.01) for name in plain if BY_NAME[name].baseline],
        *[Ladder(name, "mnist10k", 0.05, COARSE, rates=SLOWER) for name in DENSER[:2]],
        *[Ladder(name, "mnist10k", density) for name in plain[len(DENSER) :] for density in (0.01, 0.02)],
        *[Ladder(name, "mnist10k", 0.05, COARSE, rates=SLOWER) for name in DENSER[2:]],
        *[Accuracy(name, *place) for place in small for name in slow],
        *[Ladder(name, "mnist10k", density) for name in slow for density in (0.01, 0.02)],
        *[Ladder(name, "mnist10k", 0.05, COARSE, rates=SLOWER) for name in (*plain[len(DENSER) :], *slow)],
    ]


def few() -> list[Accuracy | Ladder]:
    """Return a few cases for a minute."""
    names = ("ERK, He", "ERK, He by in-degree", "ERK, signs", "ERK, orthogonal looks-linear (butterfly)")
    return [
        *[Accuracy(name, "digits", 20, 0.02, replicates=3, steps=200) for name in names],
        *[Ladder(name, "digits", 0.02, (5, 10, 20), 3, 200) for name in names],
    ]


def key(case: dict[str, Any]) -> str:
    """Return what tells cases apart."""
    return json.dumps(case, sort_keys=True)


def run_one(case: Accuracy | Ladder) -> list[dict[str, Any]]:
    """Run a case."""
    return [run(case)]


def work(cases: list[Accuracy | Ladder], workers: int, path: Path | None) -> list[dict[str, Any]]:
    """Run what is not stored yet, and return the records of all cases."""
    found = resume.stored(path) if path else []
    there = {key(record["case"]) for record in found}
    asked = {key(json.loads(json.dumps(asdict(case)))): case for case in cases}
    todo = [case for name, case in asked.items() if name not in there]
    found += resume.run(todo, run_one, workers, path, lambda record: str(record["case"]["arm"]))
    return [record for record in found if key(record["case"]) in asked]


def main(arguments: list[str] | None = None) -> int:
    """Run, tabulate, write."""
    options = resume.parser(__doc__).parse_args(arguments)
    store = RESULTS / "cases.jsonl"
    records = resume.asked(
        options,
        lambda: work(few(), options.workers, None),
        lambda: resume.stored(store),
        lambda: work(everything(), options.workers, store),
    )
    text = page.markdown(records)
    if not options.quick:
        PAGE.write_text(text, encoding="utf-8")
    print(json.dumps(page.records(records), indent=1, ensure_ascii=False) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
