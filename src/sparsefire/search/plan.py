"""What will be trained: folds, rounds, epochs and densities for an effort, fixed before any score is seen.

The plan follows from the data and the effort alone: a model of what runs cost cuts it to the budget of its effort, so
that the same command makes the same plan on every machine. A pilot run then measures this machine; only when it finds
what is left ``PATIENCE`` times over the budget is more cut.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from sparsefire.search.candidates import BACKPROP, BOOSTING, DENSE, LINEAR, Candidate, chains, rate_of
from sparsefire.search.request import Request
from sparsefire.search.selection import default_margin
from sparsefire.sparsity.amounts import CRITICAL
from sparsefire.train import Training
from sparsefire.train.learners import learner
from sparsefire.train.loop import serves

METHODS_BY_EFFORT = {
    "quick": ("gmp",),
    "standard": ("gmp", "lrr", "rigl", "sign-in", "static"),
    "thorough": ("gmp", "lrr", "rigl", "sign-in", "static", "static/balanced"),
}
DENSITIES_BY_EFFORT = {
    "quick": (0.3, 0.1, 0.05, 0.02, 0.01),
    "standard": (0.5, 0.2, 0.1, 0.05, 0.02, 0.01),
    "thorough": (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01),
}
DENSITIES_SLOW = (0.5, 0.2, 0.1)  # of the small network a forward gradient starts from
ROUNDS_BY_EFFORT = {"quick": 5, "standard": 5, "thorough": 10}  # quick: 3 from 5,000 rows
RATES_BY_EFFORT = {"quick": 1, "standard": 3, "thorough": 4}
BUDGET_BY_EFFORT = {"quick": 600.0, "standard": 3600.0, "thorough": 14400.0}  # seconds on two workers
BOOSTING_ROWS_BY_EFFORT = {"quick": 10_000, "standard": 50_000, "thorough": None}
BOOSTING_HISTOGRAMS = 200_000  # features × outputs × trees that are affordable in every fold
RATE_FACTORS = (1.0, 1 / 3, 3.0, 0.1)
PATIENCE = 2.0
PER_STEP, PER_UPDATE, PER_MULTIPLY_ADD = 0.8e-3, 2.5e-9, 7.3e-11  # seconds of training, one thread of a 2020s CPU
CONVOLUTION = 5  # a multiply-add in a small convolution takes so many times longer
TUNING = 0.4  # cost of trying one rate, as a share of a full run: four fifths of the rows, half of the epochs


@dataclass(frozen=True)
class Size:
    """What plans and costs depend on.

    Attributes:
        rows: for development.
        features: prepared.
        outputs: of the network, one per class.
        weights: of the dense network.
        work: its multiply-adds for one row, those of convolutions weighted by ``CONVOLUTION``.
    """

    rows: int
    features: int
    outputs: int
    weights: int
    work: int


@dataclass(frozen=True)
class Plan:
    """Everything that is fixed before training.

    Attributes:
        effort: one of ``EFFORTS``.
        weights: of the dense network; learning rates follow from them.
        methods: sparse methods named in advance.
        densities: from dense to sparse.
        narrow: densities at which a narrow network takes part, each smaller than the one before.
        folds, rounds: K folds, M rounds of fresh folds (where the rows allow others) and fresh initialisations.
        epochs, batch, weight_decay: of every network.
        rates: learning rates (or penalties) tried in every run, inside its own training rows.
        margin: loss allowed, in units of the score; None until dense is known (``retain``).
        retain: share of dense's gain over a constant that must be kept, or None.
        level: one-sided error level of the whole walk.
        rule, directions: how networks learn.
        init: first weights of every network.
        boosting_rows: at most this many rows train the boosting yardstick.
        boosting_trees: rounds of boosting, fewer (each with a higher rate) where many features meet many classes.
        feasible: smallest density that the critical layout allows; its methods leave out what is sparser.
    """

    effort: str
    weights: int
    methods: tuple[str, ...]
    densities: tuple[float, ...]
    narrow: tuple[float, ...]
    folds: int
    rounds: int
    epochs: int
    batch: int
    weight_decay: float
    rates: int
    margin: float | None
    retain: float | None
    level: float
    rule: str
    directions: int
    init: str
    boosting_rows: int | None
    boosting_trees: int
    feasible: float = 0.0

    def settings(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @property
    def chains(self) -> dict[str, list[Candidate]]:
        """Return what is walked: linear, narrow, and one chain per method."""
        found = chains(self.methods, self.densities, narrow=[d for d in self.densities if d in self.narrow])
        return {name: [c for c in chain if self._allows(c)] for name, chain in found.items()}

    def _allows(self, candidate: Candidate) -> bool:
        return candidate.layout not in CRITICAL or (candidate.density or 1.0) >= self.feasible

    def yardsticks(self) -> list[Candidate]:
        """Return what is trained in every case, before the walks."""
        return [DENSE, LINEAR, *([BACKPROP] if self.rule != "backprop" else [])]

    def rounds_of(self, candidate: Candidate) -> int:
        """Return in how many rounds a candidate is trained: boosting is never chosen, one round is enough."""
        return 1 if candidate.kind == "boosting" else self.rounds

    def training(self, candidate: Candidate, factor: float = 1.0) -> Training:
        """Return how a network is trained, with its rate multiplied by a factor."""
        backprop = candidate.kind == "backprop"
        return Training(
            method=candidate.training_method,
            density=candidate.density if candidate.kind == "sparse" and candidate.density else 1.0,
            layout=candidate.layout,
            rate=rate_of(candidate, self.weights, self.rule) * factor,
            epochs=self.epochs,
            batch=self.batch,
            weight_decay=self.weight_decay,
            rule="backprop" if backprop else self.rule,
            directions=self.directions,
            init=self.init,
        )


def make_plan(request: Request, size: Size, test_rows: int) -> Plan:
    """Return the plan for a request; what is asked for explicitly is not touched later.

    Args:
        request: what is asked for; None in it is filled from its effort.
        size: of the rows for development and of the dense network.
        test_rows: set aside.

    >>> plan = make_plan(Request("quick"), Size(1437, 64, 10, 84_480, 84_480), 360)
    >>> plan.folds, plan.rounds, plan.margin, plan.methods
    (10, 5, 0.01, ('gmp',))
    """
    effort, quick, rows = request.effort, request.effort == "quick", size.rows
    small = rows < 5000
    histograms = size.features * (size.outputs if size.outputs > 2 else 1)
    way = learner(request.rule)
    slow = way.perturbs_weights  # many more passes over the rows, so fewer runs of a smaller network
    folds = 10 if small and not slow else 3 if quick and rows >= 20_000 else 5
    rounds = 3 if quick and (slow or not small) else ROUNDS_BY_EFFORT[effort]
    usual, fewer = (40, 20) if small else (15, 12) if rows < 20_000 else (8, 5)
    epochs = (fewer if quick else usual) * way.longer
    margin = request.margin
    if margin is None and request.retain is None:
        margin = default_margin(max(1, test_rows))
    methods = request.methods
    if methods is None:
        methods = [method for method in METHODS_BY_EFFORT[effort] if serves(request.rule, method.split("/")[0])]
    if request.layout is not None:
        methods = list(dict.fromkeys(m if "/" in m else f"{m}/{request.layout}" for m in methods))
    densities = request.densities
    if densities is None:
        densities = DENSITIES_SLOW if slow else DENSITIES_BY_EFFORT[effort]
    return Plan(
        effort=effort,
        weights=size.weights,
        methods=tuple(methods),
        densities=tuple(densities),
        narrow=tuple(densities),
        folds=request.folds or folds,
        rounds=request.rounds or rounds,
        epochs=request.epochs or epochs,
        batch=_batch(rows, size.features),
        weight_decay=0.1 if small else 0.02,
        rates=RATES_BY_EFFORT[effort],
        margin=margin,
        retain=request.retain,
        level=request.level,
        rule=request.rule,
        directions=way.directions,
        init=request.init,
        boosting_rows=BOOSTING_ROWS_BY_EFFORT[effort],
        boosting_trees=max(20, min(100, BOOSTING_HISTOGRAMS // histograms)) if effort != "thorough" else 100,
    )


def cut(plan: Plan, times_over: float, keep: frozenset[str], most: float = 1.0) -> Plan:
    """Make a plan cheaper that is ``times_over`` times its budget: rounds, rates, densities, methods.

    Folds stay: networks that learn from fewer rows flatter small ones.

    Args:
        plan: the plan.
        times_over: estimated seconds over budgeted ones.
        keep: names of fields the user gave, which stay.
        most: how many times its budget the plan may be.

    >>> plan = make_plan(Request("standard"), Size(1437, 64, 10, 84_480, 84_480), 360)
    >>> cut(plan, 1.5, frozenset()).rounds, cut(plan, 1.5, frozenset({"rounds"})).rounds
    (3, 5)
    """
    if times_over <= most:
        return plan
    if "rounds" not in keep and plan.rounds > 3:
        plan, times_over = replace(plan, rounds=3), times_over * 3 / plan.rounds
    if times_over > most and plan.rates > 1:
        plan, times_over = replace(plan, rates=1), times_over / (1 + TUNING * plan.rates)
    if times_over > most and "densities" not in keep and len(plan.densities) > 3:
        plan, times_over = replace(plan, densities=tuple(plan.densities[1::2])), times_over / 2
    for fewer in (2, 1):
        if times_over > most and "methods" not in keep and len(plan.methods) > fewer:
            times_over *= (fewer + 1) / (len(plan.methods) + 1)
            plan = replace(plan, methods=plan.methods[:fewer])
    return plan


def share_of_budget(plan: Plan, size: Size, slower: float = 1.0) -> float:
    """Return how many times its budget a plan needs on two workers, each ``slower`` times the model's seconds.

    Two, however many there are: the plan, and with it the result, must not depend on the number of workers.
    """
    return total_cost(plan, size) * slower / 2 / BUDGET_BY_EFFORT[plan.effort]


def cost(plan: Plan, candidate: Candidate, size: Size) -> float:
    """Return the seconds one run should take on one thread of an ordinary machine."""
    rows = max(1, round(size.rows * (1 - 1 / plan.folds)))
    if candidate.kind == "linear":
        return 2e-9 * rows * size.features * max(1, size.outputs) * 60 * (1 + TUNING * _tries(plan)) + 0.01
    if candidate.kind == "boosting":
        used = min(rows, plan.boosting_rows or rows)
        return 0.3 + plan.boosting_trees * size.outputs * (1e-3 + 6e-5 * size.features + 4e-9 * used * size.features)
    training = plan.training(candidate)
    share = (candidate.density or 1.0) if candidate.kind == "narrow" else 1.0
    steps = training.epochs * math.ceil(rows / plan.batch)
    per_step = PER_STEP + share * (PER_UPDATE * size.weights + PER_MULTIPLY_ADD * size.work * min(plan.batch, rows))
    per_step *= learner(training.rule).cost
    if candidate.kind == "sparse":
        per_step *= 1.7
    return steps * per_step * (1 + TUNING * _tries(plan))


def total_cost(plan: Plan, size: Size) -> float:
    """Return the seconds of everything the plan may train, on one thread."""
    return sum(cost(plan, c, size) * plan.folds * plan.rounds_of(c) for c in everyone(plan))


def everyone(plan: Plan) -> list[Candidate]:
    """Return all candidates, yardsticks first, each once."""
    walked = [c for chain in plan.chains.values() for c in chain if c != LINEAR]
    return [*plan.yardsticks(), BOOSTING, *walked]


def rows_of_plan(plan: Plan, size: Size, workers: int) -> list[dict[str, Any]]:
    """Return the table shown before training: who, at which densities, how many runs, about how long."""
    per = plan.folds
    seconds_of = {c.id: cost(plan, c, size) * per * plan.rounds_of(c) for c in everyone(plan)}
    fixed = [*plan.yardsticks(), BOOSTING]
    table = [
        {
            "candidates": ", ".join(c.id for c in fixed),
            "densities": "–",
            "runs": sum(per * plan.rounds_of(c) for c in fixed),
            "seconds": sum(seconds_of[c.id] for c in fixed) / workers,
        }
    ]
    for name, chain in plan.chains.items():
        if name == "linear":
            continue
        table.append(
            {
                "candidates": "narrow dense" if name == "narrow" else name,
                "densities": "same numbers of weights"
                if name == "narrow"
                else " ".join(f"{c.density:g}" for c in chain),
                "runs": per * plan.rounds * len(chain),
                "seconds": sum(seconds_of[c.id] for c in chain) / workers,
            }
        )
    return table


def _tries(plan: Plan) -> int:
    return plan.rates if plan.rates > 1 else 0


def _batch(rows: int, features: int) -> int:
    if rows < 1000:
        return max(8, 2 ** round(math.log2(max(1, rows / 16))))
    if rows < 3000:
        return 64
    return 256 if rows > 20_000 and features < 200 else 128
