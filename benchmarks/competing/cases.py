"""All networks of the study: how units inhibit each other, how many there are, what they are connected with."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsefire.randomness import stream
from sparsefire.spiking import CompetitiveRule, DiehlCook
from sparsefire.spiking.competitive.votes import VOTES, tally

Record = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "benchmarks" / "results" / "diehl_cook" / "cases.jsonl"
FIELDS = STORE.with_name("fields.npz")
ARMS: dict[str, dict[str, Any]] = {
    "published": {},
    "direct": {"inhibition": "direct"},
    "100 units": {"inhibition": "direct", "units": 100},
    "density 0.25": {"inhibition": "direct", "density": 0.25},
    "bounded rule": {
        "inhibition": "direct",
        "rule": CompetitiveRule(a_plus=5e-3, a_minus=0.0, target=0.1, mu=1.0, triplet=False),
    },
}
REPLICATES = 5
SAMPLES = 20_000


@dataclass(frozen=True)
class Case:
    """One network that learns once from ``samples`` images, drawn by the replicate."""

    arm: str
    replicate: int
    samples: int = SAMPLES
    tested: int = 10_000


def data() -> Path | None:
    """Return where the images are, None where they are not."""
    given = os.environ.get("SPARSEFIRE_DATA")
    folders = [Path(given)] if given else [ROOT / "shared" / "data", ROOT.parent / "shared" / "data"]
    found = (folder / "mnist" / "mnist.npz" for folder in folders)
    return next((path for path in found if path.exists()), None)


@functools.lru_cache
def images() -> dict[str, np.ndarray]:
    """Return the images and digits to learn from and those to be tested with."""
    found = data()
    assert found is not None
    with np.load(found) as stored:
        return {name: stored[name] for name in ("x_train", "y_train", "x_test", "y_test")}


def run(case: Case) -> list[Record]:
    """Let one network learn, label its units by what it learned from, and test it, at three moments of its pass."""
    stored = images()
    chosen = stream(case.replicate, "diehl-cook", "samples").permutation(len(stored["x_train"]))[: case.samples]
    x, y = stored["x_train"][chosen], stored["y_train"][chosen]
    test, digits = stored["x_test"][: case.tested], stored["y_test"][: case.tested]
    net = DiehlCook(**ARMS[case.arm], random_state=case.replicate)
    DiehlCook(**{**net.get_params(), "units": 8}).fit(x[:2], y[:2])  # compiles
    at = [case.samples // 20, case.samples // 4, case.samples]
    accuracy: dict[str, list[float]] = {vote: [] for vote in VOTES}
    seconds = {"learning": 0.0, "labels": 0.0, "test": 0.0}
    for begin, end in zip([0, *at[:-1]], at, strict=True):
        began = time.process_time()
        net.partial_fit(x[begin:end])
        seconds["learning"] += time.process_time() - began
        began = time.process_time()
        net.label(x[:end], y[:end])
        seconds["labels"] = time.process_time() - began
        began = time.process_time()
        counts = net.transform(test)
        seconds["test"] = time.process_time() - began
        samples = np.bincount(y[:end])
        for vote in VOTES:
            best = tally(counts, net.class_responses_, samples, vote).argmax(axis=1)
            accuracy[vote].append(float(np.mean(net.classes_[best] == digits)))
    if case == Case("direct", 0):
        FIELDS.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(FIELDS, weights=net.weights_, labels=net.labels_)
    kept = {
        "at": at,
        "accuracy": accuracy,
        "seconds": seconds,
        "presentations": net.presentations_,
        "spikes": float(counts.sum(axis=1).mean()),
        "labelled": int((net.labels_ >= 0).sum()),
        "theta": np.quantile(net.theta_, [0.05, 0.5, 0.95]).tolist(),
    }
    return [{**asdict(case), **kept}]


def everything() -> list[Case]:
    """Return all networks, the main ones first."""
    return [Case(arm, replicate) for arm in ARMS for replicate in range(REPLICATES)]


def few() -> list[Case]:
    """Return networks for a minute."""
    return [Case("100 units", replicate, 2000, 1000) for replicate in range(2)]


def done(case: Case, found: Sequence[Record]) -> bool:
    """Say whether the record of a case is there."""
    return any(all(record[name] == value for name, value in asdict(case).items()) for record in found)
