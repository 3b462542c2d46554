"""Advice: how many samples or queries a risk needs, what risk a budget allows, and with which schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numba
import numpy as np
from scipy import optimize

from sparsefire.convergence._inputs import within
from sparsefire.convergence.bounds import fisher
from sparsefire.convergence.bounds.references import Reference, parametric
from sparsefire.convergence.exact._dynamics import RISKS
from sparsefire.convergence.exact.constants import ScalarRisk, scalar_risk
from sparsefire.convergence.exact.risk import exact_risk
from sparsefire.convergence.exact.stability import best_step_sizes, stability_limit
from sparsefire.convergence.problem import LinearRegression, count, one_of
from sparsefire.convergence.schedules import harmonic
from sparsefire.convergence.update import Update, read
from sparsefire.errors import UserError

SCHEDULES = ("harmonic", "oracle")
MOST = 10**8  # samples: half a second of the scalar recursion
MOST_KEPT = 10**7  # samples where the whole path of risks has to be held
FACTORS = (0.55, 64.0)  # of c/(k + k₀), times the smallest variance of inputs
USUAL, FAST = 1.1, 16.0  # tried first: where noise matters, and where it does not


READS = {"sgd": "gradients", "two-query": "losses", "one-query": "losses", "hebbian": "losses"}  # others: slopes


@dataclass(frozen=True)
class Change:
    """Another way to the same risk.

    Attributes:
        what: is done otherwise.
        samples: (X, Y) pairs it takes.
        queries: of its kind that are read in all.
        reads: the kind: a ``"gradients"`` query gives all d coordinates of the gradient, a ``"slopes"`` query the slope
            along one direction, a ``"losses"`` query one number. They cost differently: do not add or compare them.
    """

    what: str
    samples: int
    queries: int
    reads: str

    def __str__(self) -> str:
        return f"{self.what:<34}{self.samples:>14,} samples{self.queries:>14,} {self.reads}"


@dataclass(frozen=True, eq=False)
class Plan:
    """How to reach a risk.

    Attributes:
        problem, update: what is learnt, and how.
        risk: that is asked for, or that the budget allows.
        samples: (X, Y) pairs it takes.
        schedule: ``"harmonic"`` or ``"oracle"``.
        factor, offset: c and k₀ of α_k = c/(k + k₀); NaN for the oracle, whose steps follow the risk itself.
        of: ``"parameters"`` or ``"prediction"``.
        exact: whether the recursion is exact; for ``one-query`` fourth moments of the error are those of a normal law.
        reference: the least risk by theory, over samples.
    """

    problem: LinearRegression
    update: Update
    risk: float
    samples: int
    schedule: str
    factor: float
    offset: float
    of: str
    exact: bool
    reference: Reference | None
    most: int = field(repr=False)

    @property
    def queries(self) -> int:
        """Of its kind (:attr:`reads`) that are read in all."""
        return self.samples * self.update.queries

    @property
    def reads(self) -> str:
        """What a query gives: ``"gradients"`` (``sgd``), ``"slopes"`` along a direction, or ``"losses"``."""
        return READS.get(self.update.rule, "slopes")

    @property
    def ratio(self) -> float:
        """Samples over those at which the reference allows this risk; ∞ where it allows it at once, NaN without one."""
        if self.reference is None:
            return math.nan
        least = self.reference(1.0) / self.risk  # the references of a plan are constant/k
        return self.samples / least if least > 0 else math.inf

    def step_size(self) -> Callable[[Any], Any] | np.ndarray:
        """Return the steps, as ``exact_risk`` and ``simulate_risk`` take them."""
        if self.schedule == "harmonic":
            return harmonic(self.factor, self.offset)
        if self.update.reads_one_loss:
            return _oracle_steps(scalar_risk(self.problem, self.update), _start(self.problem), self.samples)
        return best_step_sizes(self.update, self.problem, steps=self.samples, of=self.of)[0]

    def changes(self) -> tuple[Change, ...]:
        """Return what else one might do for the same risk. Each is a plan of its own: this may take many seconds.

        Gradients by backprop; ±1 directions; d directions and d repeats per sample; a mask on the active coordinates; a
        baseline. c is tuned for each where that is quick, else 1.1/λ. Those that cannot be told or take more than
        ``most`` samples are left out.

        >>> for change in plan(risk=0.1, dimension=4, rule="two-query").changes()[:2]:
        ...     print(change)
        sgd: gradients are seen                       49 samples            49 gradients
        law='rademacher'                             201 samples           402 losses
        """
        found = []
        for what, update in _variants(self.problem, self.update):
            try:
                other = _to_risk(self.problem, update, self.risk, self.schedule, self.of, self.most, quick=True)
            except UserError:
                continue
            found.append(Change(what, other.samples, other.queries, other.reads))
        return tuple(found)

    def __str__(self) -> str:
        kind = "exact" if self.exact else "leading order"
        per = self.update.queries
        lines = [
            f"{self.update.rule}, {_described(self.problem, self.update)}",
            f"  risk      {self.risk:.4g} of {self.of} (from {_start_of(self.problem, self.of):.4g}; {kind} recursion)",
            f"  samples   {self.samples:,}",
            f"  queries   {self.queries:,} {self.reads}" + (f" ({per} per sample)" if per > 1 else ""),
            f"  steps     {self._steps()}",
        ]
        if self.reference is not None:
            lines.append(
                f"  bound     {self.reference.name}, {self.reference.formula}: {self.ratio:.4g} times its samples"
            )
        return "\n".join(lines)

    def _steps(self) -> str:
        if self.schedule == "oracle":
            return "oracle: each makes the next risk smallest (step_size() gives them)"
        return f"α_k = {self.factor:.4g}/(k + {self.offset:.5g})"


def plan(
    *,
    rule: str | Update = "forward-gradient",
    problem: LinearRegression | None = None,
    risk: float | None = None,
    samples: int | None = None,
    queries: int | None = None,
    schedule: str = "harmonic",
    of: str = "parameters",
    most: int = MOST,
    **given: Any,
) -> Plan:
    """Return how many samples and queries a risk needs, or the risk that a budget allows.

    The risk is had from the exact recursion, run until it is there. Rules that read one loss have no closed recursion:
    theirs takes the error δ as normal in its fourth moments, which is exact in the limit k → ∞ and was within 10% of
    simulations for d ≥ 5 and starts of up to 4σ². With ``student`` inputs their mean risk does not exist, and with
    other heavy tails some run may diverge; plans then hold for typical runs.

    Args:
        rule: a name of :data:`~sparsefire.convergence.update.RULES`, or an ``Update``.
        problem: or keywords that describe it.
        risk: to be reached, above 0 and below that at the start. Give this, ``samples`` or ``queries``.
        samples: the budget, a whole number of at least 1.
        queries: the budget in losses (slopes, gradients) read, at least those of one sample.
        schedule: ``"harmonic"``: α_k = c/(k + k₀) that starts with half the stability limit, k₀ = 2c/limit, with the c
            that needs fewest samples (leaves least risk); ``"oracle"``: steps that make each next risk smallest. Those
            need the risk itself and are a reference.
        of: ``"parameters"``, E‖δ‖², or ``"prediction"``, E (X′δ)².
        most: samples at which a plan is given up, 1e8 (1e7 where Q ≠ I, some coordinates are masked, or ``repeats``).
        **given: fields of ``Update`` and ``LinearRegression``.

    Raises:
        UserError: a risk that is not between 0 and the start, no or several targets, more than ``most`` samples, a
            rule without recursion (``hebbian``).

    >>> advice = plan(risk=0.01, dimension=10, rule="forward-gradient")
    >>> round(advice.samples, -2), round(advice.ratio, 1)
    (12600, 12.6)
    >>> round(plan(samples=advice.samples, dimension=10).risk, 5)
    0.01
    """
    problem, update = read(rule, problem, given)
    one_of(schedule, "schedule", SCHEDULES)
    one_of(of, "of", RISKS)
    count(most, "most")
    targets = {"risk": risk, "samples": samples, "queries": queries}
    asked = [name for name, value in targets.items() if value is not None]
    if len(asked) != 1:
        raise UserError(
            "a plan has one target.", came=" and ".join(asked) or "none", expected="risk=, samples= or queries="
        )
    if risk is not None:
        return _to_risk(problem, update, _risk_checked(problem, risk, of), schedule, of, most)
    if queries is not None:
        samples = count(queries, "queries") // update.queries
        if not samples:
            raise UserError(
                "the queries do not suffice for one sample.", came=f"queries={queries}", expected=f"≥ {update.queries}"
            )
    budget = count(samples, "samples", most)
    return _with_budget(problem, update, budget, schedule, of, most)


def _to_risk(
    problem: LinearRegression, update: Update, risk: float, schedule: str, of: str, most: int, quick: bool = False
) -> Plan:
    recursion = _Recursion(problem, update, of)
    most = min(most, recursion.most)
    probes = [math.nan] if schedule == "oracle" else [USUAL, FAST]
    if quick and recursion.scalar is None:
        probes = probes[:1] if problem.noise > 0 else probes[-1:]
    samples, factor = min((recursion.passage(c, risk, most), c) for c in probes)
    if samples > most:
        raise UserError(
            "the risk is not reached.",
            came=f"risk={risk:g} within {most:,} samples with {update.rule}",
            expected="a larger risk, more samples (most=), or a rule that needs fewer",
        )
    if schedule == "harmonic" and (recursion.scalar is not None or not quick):
        longest = min(2 * samples, most)
        tuned = _tuned(lambda c: float(recursion.passage(c, risk, longest)))
        samples, factor = min((samples, factor), (recursion.passage(tuned, risk, longest), tuned))
    return recursion.plan(risk, samples, schedule, factor, most)


def _with_budget(problem: LinearRegression, update: Update, budget: int, schedule: str, of: str, most: int) -> Plan:
    recursion = _Recursion(problem, update, of)
    count(budget, "samples", recursion.most)
    if schedule == "oracle":
        return recursion.plan(recursion.after(math.nan, budget), budget, schedule, math.nan, most)
    factor = _tuned(lambda c: math.log(max(recursion.after(c, budget), 1e-300)))
    return recursion.plan(recursion.after(factor, budget), budget, schedule, factor, most)


class _Recursion:
    """The risk over the steps of c/(k + k₀) or, for c NaN, of the oracle: a scalar where it can be, else by path."""

    def __init__(self, problem: LinearRegression, update: Update, of: str) -> None:
        self.problem, self.update, self.of = problem, update, of
        self.start = _start_of(problem, of)
        self.scalar: ScalarRisk | None = None
        moving = update.mask or problem.dimension
        if update.reads_one_loss or (problem.isotropic and moving == problem.dimension and update.repeats == 1):
            self.scalar = scalar_risk(problem, update)
            self.least = 1.0
            self.limit = 2 / (self.scalar.linear + 2 * self.scalar.square * self.start)
        else:
            self.least = float(_variances(problem, update)[0]) * update.repeats
            self.limit = stability_limit(update, problem)
        self.most = MOST * 100 if self.scalar is not None else MOST_KEPT

    def offset(self, factor: float) -> float:
        return 2 * factor / (self.least * self.limit)

    def passage(self, factor: float, risk: float, most: int) -> int:
        """Return the first step at which the risk is reached; ``most + 1`` if it is not."""
        if self.scalar is not None:
            return int(_scalar_passage(self.start, *self._numbers(factor), risk, most)[0])
        horizon = 512
        while True:
            horizon = min(horizon * 2, most)
            reached = np.flatnonzero(self._path(factor, horizon) <= risk)
            if len(reached):
                return int(reached[0])
            if horizon == most:
                return most + 1

    def after(self, factor: float, samples: int) -> float:
        """Return the risk after that many samples."""
        if self.scalar is not None:
            return float(_scalar_passage(self.start, *self._numbers(factor), -1.0, samples)[1])
        return float(self._path(factor, samples)[-1])

    def plan(self, risk: float, samples: int, schedule: str, factor: float, most: int) -> Plan:
        exact = self.scalar is None or self.scalar.exact
        bound = reference(self.problem, self.update, self.of)
        steps = factor / self.least, self.offset(factor)
        return Plan(self.problem, self.update, risk, samples, schedule, *steps, self.of, exact, bound, most)

    def _numbers(self, factor: float) -> tuple[float, float, float, float, float]:
        scalar = self.scalar
        assert scalar is not None
        return scalar.noise, scalar.linear, scalar.square, factor, self.offset(factor)

    def _path(self, factor: float, samples: int) -> np.ndarray:
        if math.isnan(factor):
            return best_step_sizes(self.update, self.problem, steps=samples, of=self.of)[1]
        steps = harmonic(factor / self.least, self.offset(factor))
        return exact_risk(self.update, self.problem, steps=samples, step_size=steps, of=self.of)


def reference(problem: LinearRegression, update: Update, of: str = "parameters") -> Reference | None:
    """Return what a plan is compared with, over samples.

    Rules that read one loss: the bound of their own queries, :func:`~sparsefire.convergence.query_bound`, ``None``
    where it is not known. All others: what least squares on the moving coordinates has in the limit, mσ² Σ 1/λ (mσ² s
    for prediction), the bound of all that see samples where the noise is normal; ``None`` without noise.

    >>> reference(LinearRegression(10), Update("sgd"))(100)
    0.1
    """
    if update.reads_one_loss:
        try:
            constant = fisher.query_bound(problem, update.radius, update.law)
        except UserError:
            return None
        return parametric("one query, own Fisher bound", constant, source="Cramér–Rao")
    if problem.noise == 0:
        return None
    values = _variances(problem, update)
    total = float(len(values) if of == "prediction" else np.sum(1 / values))
    return parametric("least squares", problem.noise**2 * problem.outputs * total, source="Gauss–Markov")


@numba.njit(nogil=True, cache=True)
def _scalar_passage(risk, noise, linear, square, factor, offset, target, most):
    """Return the first step at which the risk is at most ``target`` (else most + 1), and the risk there."""
    greedy = np.isnan(factor)
    for k in range(1, most + 1):
        second = noise + risk * (linear + risk * square)
        alpha = risk / second if greedy else factor / (k + offset)
        risk += alpha * (alpha * second - 2.0 * risk)
        if risk <= target:
            return k, risk
        if not risk < 1e300:
            return most + 1, np.inf
    return most + 1, risk


def _oracle_steps(recursion: ScalarRisk, risk: float, samples: int) -> np.ndarray:
    alphas = np.empty(samples)
    for k in range(samples):
        second = recursion.second_moment(risk)
        alphas[k] = risk / second
        risk -= risk * alphas[k]
    return alphas


def _tuned(objective: Callable[[float], float]) -> float:
    """Return the c at which the objective is smallest; several starts, for it need not have one valley."""
    logs = np.linspace(np.log(FACTORS[0]), np.log(FACTORS[1]), 9)
    found = [objective(float(np.exp(x))) for x in logs]
    best = int(np.argmin(found))
    inside = (logs[max(best - 1, 0)], logs[min(best + 1, len(logs) - 1)])
    refined = optimize.minimize_scalar(
        lambda x: objective(float(np.exp(x))), bounds=inside, method="bounded", options={"xatol": 0.02}
    )
    return float(np.exp(refined.x if refined.fun <= found[best] else logs[best]))


def _variants(problem: LinearRegression, update: Update) -> list[tuple[str, Update]]:
    d = update.mask or problem.dimension
    found: list[tuple[str, Update]] = []
    if update.rule != "sgd":
        found.append(("sgd: gradients are seen", Update("sgd", mask=update.mask)))
    if update.law in ("normal", "uniform") and update.rule not in ("sgd", "hebbian"):
        found.append(("law='rademacher'", replace(update, law="rademacher")))
    if update.rule in ("forward-gradient", "two-query") and update.directions == update.repeats == 1 and d > 1:
        found.append((f"directions={d}", replace(update, directions=d)))
        found.append((f"repeats={d}", replace(update, repeats=d)))
    if problem.active is not None and problem.active < d and update.mask is None and not update.reads_one_loss:
        found.append((f"mask={problem.active}", replace(update, mask=problem.active)))
    if update.rule == "one-query":
        if update.baseline != "mean":
            found.append(("baseline='mean'", replace(update, baseline="mean")))
        kept = {f.name: getattr(update, f.name) for f in fields(update) if f.name in ("law", "radius", "mask")}
        found.append(("two-query, no baseline", Update("two-query", **kept)))
    return found


def _described(problem: LinearRegression, update: Update) -> str:
    said = [f"dimension {problem.dimension}", f"noise {problem.noise:g}"]
    if problem.outputs > 1:
        said.append(f"{problem.outputs} outputs")
    said += [f"{problem.design} inputs"] * (problem.design != "normal")
    said += [f"{problem.noise_law} noise"] * (problem.noise_law != "normal")
    said += [f"{update.law} directions"] * (update.rule != "sgd")
    for name in ("directions", "repeats"):
        said += [f"{name} {getattr(update, name)}"] * (getattr(update, name) > 1)
    said += [f"mask {update.mask}"] * (update.mask is not None)
    said += [f"baseline {update.baseline}"] * update.reads_one_loss
    return ", ".join(said)


def _variances(problem: LinearRegression, update: Update) -> np.ndarray:
    """Return the variances of the moving inputs that are not 0, ascending."""
    size = update.mask or problem.dimension
    values = np.linalg.eigvalsh(problem.matrix[:size, :size])
    return np.asarray(values[values > 1e-12 * values[-1]])


def _start(problem: LinearRegression) -> float:
    return float(np.sum(problem.error**2))


def _start_of(problem: LinearRegression, of: str) -> float:
    if of == "parameters":
        return _start(problem)
    error = problem.error.reshape(problem.dimension, -1)
    return float(np.sum(error * (problem.matrix @ error)))


def _risk_checked(problem: LinearRegression, risk: Any, of: str) -> float:
    start = _start_of(problem, of)
    return within(risk, "risk", 0.0, start, f"a number above 0, below the {start:g} at the start")
