"""Small networks on few rows: rules without derivatives, beside back-propagation stopped and decayed at its best."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from smooth.cases import ASKED, FUNCTIONS, noise_of
from smooth.learners import Setting, predict, standard, train

from sparsefire.randomness import stream

Record = dict[str, Any]
GRADIENT = "gradient"
PROTEIN = "protein"
PROBLEMS = {
    "Hölder, β = 1, d = 2": "β = 1, d = 2",
    "composition, t = 2, d = 5": "composition, t = 2, d = 5",
    PROTEIN: "",
}
TABLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "uci_regression" / "protein.npz"
"""The real table: 45,730 proteins, nine features, the target standardised."""
_BACK = tuple(Setting(rate, decay) for rate in (3e-3, 1e-2, 3e-2) for decay in (0.0, 0.003, 0.03))
ARMS = {
    GRADIENT: ("backprop", 40_000, _BACK),
    "feedback alignment": ("feedback alignment", 40_000, _BACK),
    "node perturbation": (
        "node perturbation", 80_000, tuple(Setting(r, 0.0, c) for r in (1e-3, 3e-3, 1e-2) for c in (0.01, 0.3, 1.0)),
    ),
    "two queries": (
        "two queries", 200_000, tuple(Setting(r, 0.0, c) for r in (1e-3, 3e-3, 1e-2) for c in (0.01, 0.1, 0.3)),
    ),
}  # fmt: skip
"""Rule, steps of one training, and the nine settings from which held rows choose: noise stands where decay stands."""
LOSSES = {"backprop": 0, "feedback alignment": 0, "node perturbation": 2, "two queries": 2}


@dataclass(frozen=True)
class Problem:
    """One problem with n rows.

    Attributes:
        name: of :data:`PROBLEMS`.
        rows: n.
        replicate: which draw of rows, function and first weights.
        arm: of :data:`ARMS`.
        share: of the steps; less than 1 in a quick look.
    """

    name: str
    rows: int
    replicate: int
    arm: str
    share: float = 1.0

    def drawn(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return rows and answers to learn from, and those at which the risk is read (there without noise)."""
        rng = stream(0, "conjecture", self.name, self.rows, self.replicate)
        if self.name == PROTEIN:
            x, y = table()
            order = rng.permutation(len(x))
            here, there = order[: self.rows], order[self.rows : self.rows + ASKED]
            return x[here], y[here], x[there], y[there]
        function = FUNCTIONS[PROBLEMS[self.name]](1000 + self.replicate)
        x, y = function.sample(self.rows, noise_of(PROBLEMS[self.name]), rng)
        there = stream(0, "conjecture", "asked", self.name, self.replicate).random((ASKED, function.dimension))
        return standard(x), y, standard(there), function(there)


def table() -> tuple[np.ndarray, np.ndarray]:
    """Return the real table, all columns standardised."""
    if not TABLE.exists():
        raise SystemExit(f"the study reads {TABLE.name} from {TABLE.parent}, which is not there")
    with np.load(TABLE) as held:
        x, y = np.asarray(held["x"], float), np.asarray(held["y"], float)
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32), (y - y.mean()) / y.std()


def run(problem: Problem) -> list[Record]:
    """Return one record: the mean squared error, and what it was after fewer losses."""
    x, y, there, truth = problem.drawn()
    rule, steps, settings = ARMS[problem.arm]
    name = ("conjecture", problem.name, problem.rows, problem.replicate)
    found = train(rule, x, y, settings, max(100, round(problem.share * steps)), name)

    def risk(theta: np.ndarray) -> float:
        return float(f"{((predict(theta, there) - truth) ** 2).mean():.6g}")

    chosen = found.settings[-1]
    curve = [
        [LOSSES[rule] * int(mark), risk(theta)]
        for mark, theta in list(zip(found.marks, found.thetas, strict=True))[::3]
    ]
    return [
        {
            "problem": problem.name, "rows": problem.rows, "replicate": problem.replicate, "arm": problem.arm,
            "risk": risk(found.thetas[-1]), "curve": curve if LOSSES[rule] else None, "rate": chosen.rate,
            "decay": chosen.decay, "radius": chosen.radius, "stopped": found.stopped, "steps": int(found.marks[-1]),
        }
    ]  # fmt: skip
