"""What is simulated: the cells of the table, with their sizes and what is promised for each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

VERSION = 1  # raise it when populations, learners or experiments change: old results are then left alone


@dataclass(frozen=True)
class Cell:
    """One experiment, repeated on fresh data sets.

    Attributes:
        name: shown in the table.
        kind: ``"single"`` (one candidate), ``"family"`` (3 methods × 4 densities), ``"gate"`` (dense against a
            constant).
        population, learner: names in their tables.
        score: ``"accuracy"``, ``"auc"`` or ``"r2"``.
        rows: n; rounds: M; folds: K.
        promise: ``"holds"`` (level kept), ``"warns"`` (not kept; a warning must fire), ``"power"`` (no claim about
            level).
        sets: fresh data sets; chunk: of them per file.
        truth: trainings from which the true difference is estimated (0: known, it is zero).
        fresh: new rows per such training.
        margin: margin of gate cells.
    """

    name: str
    kind: str
    population: str
    learner: str
    score: str
    rows: int
    promise: str = "holds"
    rounds: int = 5
    folds: int = 10
    sets: int = 4000
    chunk: int = 50
    truth: int = 40000
    fresh: int = 500
    margin: float = 0.0

    @property
    def folder(self) -> str:
        """Folder name: the cell and a digest of what determines its numbers (not how many there are)."""
        settings = {key: value for key, value in asdict(self).items() if key not in ("sets", "truth", "promise")}
        digest = hashlib.sha256(json.dumps([VERSION, settings], sort_keys=True).encode()).hexdigest()[:10]
        return f"{self.name.replace(' ', '-')}-{digest}"


CELLS: tuple[Cell, ...] = (
    Cell("cls cut 200", "single", "cls", "cut", "accuracy", 200),
    Cell("cls fix 200", "single", "cls", "fix", "accuracy", 200),
    Cell("cls eq 200", "single", "cls", "eq", "accuracy", 200, truth=0),
    Cell("reg drop 200", "single", "reg", "drop", "r2", 200),
    Cell("heavy cut 200", "single", "heavy", "cut", "r2", 200, promise="warns", truth=60000),
    Cell("knn 200", "single", "cls", "knn", "accuracy", 200, fresh=200),
    Cell("tree 200", "single", "cls", "tree", "accuracy", 200, sets=1500, chunk=20, truth=20000, fresh=200),
    Cell("auc cut 200", "single", "rare", "cut", "auc", 200, fresh=1000),
    Cell("grouped cut 300", "single", "grouped", "cut", "accuracy", 300),
    Cell("cls cut 1000", "single", "cls", "cut", "accuracy", 1000, sets=3000),
    Cell("cls fix 1000", "single", "cls", "fix", "accuracy", 1000, sets=3000),
    Cell("cls eq 1000", "single", "cls", "eq", "accuracy", 1000, sets=3000, truth=0),
    Cell("reg drop 1000", "single", "reg", "drop", "r2", 1000, sets=3000),
    Cell("heavy cut 1000", "single", "heavy", "cut", "r2", 1000, promise="warns", sets=3000),
    Cell("auc cut 1000", "single", "rare", "cut", "auc", 1000, sets=3000, truth=20000, fresh=1000),
    Cell("bad starts 1000", "single", "sharp", "cut", "accuracy", 1000, promise="warns", sets=3000),
    Cell("bad starts 1000, M 20", "single", "sharp", "cut", "accuracy", 1000, "warns", rounds=20, sets=1500, chunk=20),
    Cell("family 200", "family", "cls", "family", "accuracy", 200, sets=2500, chunk=20, truth=20000),
    Cell("family 1000", "family", "cls", "family", "accuracy", 1000, sets=2000, chunk=20, truth=16000),
    Cell("no signal 200", "gate", "noise", "cut", "accuracy", 200, sets=3000, truth=0, margin=0.05),
    Cell("no signal 1000", "gate", "noise", "cut", "accuracy", 1000, sets=3000, truth=0, margin=0.03),
    Cell("signal 200", "gate", "cls", "cut", "accuracy", 200, promise="power", sets=1000, truth=0, margin=0.05),
    Cell("signal 1000", "gate", "cls", "cut", "accuracy", 1000, promise="power", sets=1000, truth=0, margin=0.03),
)

QUICK = ("cls cut 200", "cls fix 200", "heavy cut 200", "bad starts 1000", "family 200", "no signal 200")
