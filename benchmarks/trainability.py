"""Does the diagnosis foretell which networks learn?

    python benchmarks/trainability.py calibrate     # train the calibration networks and print the fitted logistic
    python benchmarks/trainability.py test          # other networks, other data, frozen logistic
    python benchmarks/trainability.py curves        # the depth at which half of the networks learn
    python benchmarks/trainability.py table         # write docs/trainability.md from what is stored
    python benchmarks/trainability.py --quick       # a few small ones, at most a minute, nothing kept

Finished networks lie in benchmarks/results/trainability/*.jsonl; repeat a command to go on after an interruption.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import resume
import torch
from fate import page
from fate.cases import DEEPEST, Case, connected, drawn
from fate.predict import boundary, record

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "trainability"
PAGE = HERE.parent / "docs" / "trainability.md"
OLD = {
    "data": ("digits", "adult", "pneumonia"),
    "widths": (48, 64, 96),
    "layouts": ("uniform", "erk", "balanced"),
    "initialisers": ("he", "scaled", "in-degree", "signs"),
}
NEW = {
    "data": ("mnist", "fashion"),
    "widths": (56, 80, 112),
    "layouts": ("uniform", "erk", "balanced", "pyramidal"),
    "initialisers": ("he", "scaled", "in-degree", "signs", "typical"),
}
TESTED = 320
FIRST = 6000  # the draws that earlier fits were tested on are used up
CURVES = (
    Case("mnist", 80, 1, 10.0, "erk", "he", "none", 41),
    Case("mnist", 112, 1, 3.5, "balanced", "in-degree", "none", 42),
    Case("fashion", 112, 1, 4.0, "uniform", "scaled", "batch", 43),
    Case("mnist", 80, 1, 3.0, "pyramidal", "in-degree", "layer", 44),
)
NEAR = (
    (13.4, Case("digits", 112, 1, 8.0, "erk", "he", "none", 31)),
    (63.0, Case("adult", 112, 1, 3.0, "uniform", "scaled", "none", 32)),
    (40.3, Case("pneumonia", 80, 1, 4.0, "balanced", "in-degree", "batch", 33)),
    (80.3, Case("digits", 56, 1, 2.5, "erk", "scaled", "layer", 34)),
)
"""Families of the calibration, and the depth at which a fit to the others put their boundary."""


def calibration(count: int = 360, normed: int = 240) -> Iterator[Case]:
    """Yield the networks that the logistic function is fitted to: any, deep ones with norm layers, and near ones.

    Few of the first fail because of norm layers, too few to tell how fast chaos takes the chance away; and few lie near
    a boundary, too few to tell where it lies.
    """
    yield from islice(drawn(1, **OLD), count)
    for number in range(normed):
        yield with_norm(number)
    for depth, family in NEAR:
        yield from around(family, depth)


def with_norm(number: int) -> Case:
    """Return a deep network with norm layers, on the data of the calibration."""
    rng = np.random.default_rng([77, number])
    while True:
        data, width = str(rng.choice(OLD["data"])), int(rng.choice(OLD["widths"]))
        depth = round(float(np.exp(rng.uniform(np.log(10), np.log(90)))))
        fan_in = round(float(np.exp(rng.uniform(np.log(1.8), np.log(15)))), 2)
        layout, initialiser = str(rng.choice(OLD["layouts"])), str(rng.choice(OLD["initialisers"]))
        norm = str(rng.choice(["batch", "batch", "layer"]))
        case = Case(data, width, depth, fan_in, layout, initialiser, norm, int(rng.integers(2**31)))
        if connected(case):
            return case


def unseen(number: int) -> Case:
    """Return a network of other widths on other data; every odd one lies within a factor 2 of the foretold boundary."""
    densest = 15.0 if number % 2 == 0 else 5.0  # denser networks seldom have a boundary within reach
    for case in drawn(FIRST + number, **NEW, densest=densest):
        if number % 2 == 0:
            return case
        depth = boundary(case)
        if depth is not None:
            factor = 2 ** np.random.default_rng([FIRST, number]).uniform(-1, 1)
            other = replace(case, depth=round(min(DEEPEST, max(2.0, depth * factor))))
            if connected(other):
                return other
    raise AssertionError("cases never end")


def record_unseen(number: int) -> list[dict[str, Any]]:
    """Find and train one network of the test."""
    return [{"number": number, **record(unseen(number))}]


def curves() -> Iterator[Case]:
    """Yield networks around the foretold depth of each curve."""
    for family in CURVES:
        depth = boundary(family, draws=10, fine=1.1)
        if depth is None:
            raise SystemExit(f"no boundary is foretold for {family}")
        yield from around(family, depth)


def around(family: Case, depth: float, points: int = 9, each: int = 8) -> Iterator[Case]:
    """Yield connected networks of a family from a third of a depth to three times it."""
    for place in np.exp(np.linspace(-np.log(3), np.log(3), points)):
        for number in range(each):
            deep = round(min(1.5 * DEEPEST, max(2.0, depth * place)))
            other = replace(family, depth=deep, number=family.number + 1000 * number + 7)
            if connected(other):
                yield other


def train_all(todo: list[Any], path: Path, workers: int, made: Callable[[Any], list[dict[str, Any]]]) -> None:
    """Train what is not stored yet."""
    resume.run(todo, made, workers, path, lambda record: f"{record['case']['data']}, depth {record['case']['depth']}")


def record_one(case: Case) -> list[dict[str, Any]]:
    """Train one network."""
    return [record(case)]


def not_stored(cases: Iterator[Case], path: Path) -> list[Case]:
    """Return the cases that are not finished."""
    there = {json.dumps(entry["case"]) for entry in resume.stored(path)}
    return [case for case in cases if json.dumps(asdict(case)) not in there]


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", nargs="?", choices=["calibrate", "test", "curves", "table"], default="table")
    parser.add_argument("--workers", type=resume.at_least_one, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures as a list of records")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.quick:
        quick()
        return
    if arguments.stage == "calibrate":
        path = RESULTS / "calibration.jsonl"
        train_all(not_stored(calibration(), path), path, arguments.workers, record_one)
        page.fitted(resume.stored(path))
    elif arguments.stage == "test":
        path = RESULTS / "test.jsonl"
        there = {entry["number"] for entry in resume.stored(path)}
        train_all([n for n in range(TESTED) if n not in there], path, arguments.workers, record_unseen)
    elif arguments.stage == "curves":
        path = RESULTS / "curves.jsonl"
        train_all(not_stored(curves(), path), path, arguments.workers, record_one)
    tables = {name: resume.stored(RESULTS / f"{name}.jsonl") for name in ("calibration", "test", "curves")}
    text, records = page.write(tables)
    print(text)
    if arguments.stage == "table":
        PAGE.write_text(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(records, indent=1))


def quick() -> None:
    """Train a dozen small networks and print what was foretold."""
    for case in islice(
        drawn(5, data=("digits",), widths=(48,), layouts=("uniform",), initialisers=("he", "signs")), 12
    ):
        found = record(replace(case, depth=min(case.depth, 20)), steps=100)
        print(f"{case.initialiser:9} {case.norm:5} fan-in {case.fan_in:5.2f} depth {found['case']['depth']:3} "
              f"chance {found['chance']:.2f} learned {found['learned']}")  # fmt: skip


if __name__ == "__main__":
    main()
