"""Which of many small networks may be called not worse than the dense one: gate, walk, test, verdict.

Pure arrays: the caller trains, this file decides. One margin and one level are fixed before any score is seen. The
gate comes first, so it costs no level; then each of m methods is walked from dense to sparse at level/m until its
first failure; the smallest passer is tested once on untouched rows at the full level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from sparsefire.errors import UserError
from sparsefire.statistics.crossed import CrossedBound, crossed_bound, crossed_bound_auc, r2_differences
from sparsefire.statistics.paired import PairedTest, accuracy_difference, delong, r2_difference
from sparsefire.statistics.scores import correctness, known

Outcome = Literal["passed", "stopped", "not-tested"]
State = Literal["confirmed", "not-confirmable", "not-confirmed", "contradicted", "nothing-passed", "no-network-needed"]


@dataclass(frozen=True)
class Candidate:
    """A network that might do.

    Attributes:
        name: unique, such as ``"gmp@0.05"``.
        chain: the method it belongs to; a chain is walked from dense to sparse.
        density: fraction of weights kept in (0, 1], or ``None`` (linear).
        weights: number of weights that are not zero, or ``None`` if only training will tell.
    """

    name: str
    chain: str
    density: float | None = None
    weights: int | None = None


@dataclass(frozen=True)
class Gate:
    """Whether the dense network is clearly better than a constant: lower > threshold."""

    passed: bool
    estimate: float
    lower: float
    threshold: float
    warnings: tuple[str, ...] = ()


def default_margin(test_rows: int) -> float:
    """Return the margin used where none was given: 0.01, or two test rows if that is more.

    Args:
        test_rows: number of test rows, at least 1.

    >>> default_margin(1000), default_margin(50)
    (0.01, 0.04)
    """
    if test_rows < 1:
        raise UserError("there are no test rows.", came=str(test_rows), expected="at least 1")
    return max(0.01, 2 / test_rows)


def retained_margin(retain: float, dense: float, constant: float) -> float:
    """Return the margin that keeps the fraction ``retain`` of what the dense network gains over a constant.

    Args:
        retain: fraction to keep, in (0, 1); it must be stated before any score is seen.
        dense: development score of the dense network (mean over out-of-fold rounds).
        constant: development score of the constant predictor on the same rows.

    The gain is estimated from the rows that decide, so this margin depends on data and the levels of the walk and of
    the test are
    approximate: say so beside the result. A gain below 0 counts as 0; then the gate fails and no margin is needed.

    >>> round(retained_margin(0.95, 0.90, 0.60), 3)
    0.015
    """
    if not 0 < retain < 1:
        raise UserError(
            f"retain is {retain!r}.", came=repr(retain), expected="a fraction between 0 and 1, such as 0.95"
        )
    return (1 - retain) * max(dense - constant, 0.0)


def constant_prediction(score: str, target: Any) -> float:
    """Return the best constant for a score: the most frequent class code, the share of class 1, or the mean.

    Args:
        score: ``"accuracy"``, ``"auc"`` or ``"r2"``.
        target: true values of the training rows of a fold [n]. For the AUC use one constant for all folds (pooled
            constants that differ by fold have an AUC below one half).

    >>> constant_prediction("accuracy", [2, 0, 2])
    2.0
    """
    values = np.asarray(target)
    if known(score) == "accuracy":
        names, counts = np.unique(values, return_counts=True)
        return float(names[counts.argmax()])
    return float(values.mean())


def bound_of(
    score: str,
    target: Any,
    chosen: Any,
    dense: Any,
    *,
    level: float,
    factor: float = 1.5,
    clusters: Any = None,
    folds: int | None = None,
) -> CrossedBound:
    """Return the crossed bound on score(chosen) − score(dense) from out-of-fold predictions.

    Args:
        score: ``"accuracy"`` (predictions are class codes), ``"auc"`` (probabilities of class 1) or ``"r2"`` (values).
        target: true values [n].
        chosen: out-of-fold predictions, one per row and round, [n, M].
        dense: the same for the dense network, with the same folds [n, M].
        level: one-sided error level of this bound (α/m inside a walk).
        factor, clusters, folds: see :func:`sparsefire.statistics.crossed_bound`.

    >>> y = np.arange(200) % 2
    >>> bound = bound_of("accuracy", y, np.tile(y[:, None], 5), np.tile(y[:, None], 5), level=0.05)
    >>> bound.passes(0.02)
    True
    """
    options: dict[str, Any] = {"level": level, "factor": factor, "clusters": clusters, "folds": folds}
    if known(score) == "auc":
        return crossed_bound_auc(target, chosen, dense, **options)
    if score == "r2":
        return crossed_bound(r2_differences(target, chosen, dense), **options)
    return crossed_bound(correctness(target, chosen) - correctness(target, dense), **options)


def gate(
    score: str,
    target: Any,
    dense: Any,
    constant: Any,
    *,
    margin: float,
    level: float = 0.05,
    clusters: Any = None,
    folds: int | None = None,
) -> Gate:
    """Ask whether the dense network beats a constant by more than the margin; else "not worse" would mean nothing.

    Args:
        score: as in :func:`bound_of`.
        target: true values [n].
        dense: out-of-fold predictions of the dense network [n, M].
        constant: predictions of the constant [n, M], [n, 1] or [n].
        margin: the margin of the walk.
        level: one-sided error level, in full: the gate comes before the walk in a fixed order.
        clusters, folds: as in :func:`bound_of`.

    >>> y = np.arange(200) % 2
    >>> gate("accuracy", y, np.tile(y[:, None], 5), np.zeros(200), margin=0.02).passed
    True
    """
    flat = np.asarray(constant)
    shape = np.asarray(dense).shape
    if len(shape) != 2 or flat.shape not in (shape, (shape[0], 1), shape[:1]):
        raise UserError(
            "dense and constant do not belong together.",
            came=f"shapes {shape} and {flat.shape}",
            expected="[n, rounds] both",
        )
    wide = np.broadcast_to(flat[:, None] if flat.ndim == 1 else flat, shape)
    bound = bound_of(score, target, dense, wide, level=level, clusters=clusters, folds=folds)
    threshold = margin
    passed = not bound.no_verdict and bound.lower > threshold
    return Gate(bool(passed), bound.estimate, bound.lower, threshold, bound.warnings)


class Walk:
    """A walk from dense to sparse along each method; a method stops at its first failure, so no more need be trained.

    Args:
        chains: method → candidates from dense to sparse (weights must not rise along a chain).
        margin: loss to be excluded, in units of the score, above 0.
        level: familywise level α; each bound is taken at ``level_each`` = α / number of methods.

    Within a method no correction is needed, because the sequence is fixed; between methods it is. There is no
    skipping, no
    second try and no adding of rounds after seeing a bound: recording twice or out of order raises.

    >>> chain = [Candidate("gmp@0.5", "gmp", 0.5, 500), Candidate("gmp@0.1", "gmp", 0.1, 100)]
    >>> walk = Walk({"gmp": chain}, margin=0.02)
    >>> same = crossed_bound(np.zeros((400, 5)), level=walk.level_each)
    >>> while walk.pending():
    ...     for candidate in walk.pending().values():
    ...         _ = walk.record(candidate.name, same)
    >>> walk.winner().name
    'gmp@0.1'
    """

    def __init__(self, chains: Mapping[str, Sequence[Candidate]], margin: float, level: float = 0.05) -> None:
        if not chains or not all(chains.values()):
            raise UserError(
                "there is nothing to walk.", came="no method, or one without candidates", expected="candidates"
            )
        if not margin > 0 or not np.isfinite(margin):
            raise UserError(f"margin is {margin!r}.", came=repr(margin), expected="a loss above 0, such as 0.01")
        names = [candidate.name for chain in chains.values() for candidate in chain]
        if len(set(names)) != len(names):
            raise UserError("two candidates have one name.", came=", ".join(names), expected="names that differ")
        for method, chain in chains.items():
            sizes = [candidate.weights for candidate in chain if candidate.weights is not None]
            if any(later > earlier for earlier, later in pairwise(sizes)):
                raise UserError(
                    f"the candidates of {method} are out of order.",
                    came=f"weights {sizes}",
                    expected="from dense to sparse",
                )
        self.chains = {method: tuple(chain) for method, chain in chains.items()}
        self.margin = float(margin)
        self.level = float(level)
        self.level_each = float(level) / len(self.chains)
        self.bounds: dict[str, CrossedBound] = {}
        self.weights = {candidate.name: candidate.weights for chain in self.chains.values() for candidate in chain}

    def pending(self) -> dict[str, Candidate]:
        """Return, for each method that is still alive, the one candidate to be trained next."""
        following = {}
        for method, chain in self.chains.items():
            for candidate in chain:
                if candidate.name not in self.bounds:
                    following[method] = candidate
                    break
                if not self.bounds[candidate.name].passes(self.margin):
                    break
        return following

    def record(self, name: str, bound: CrossedBound, *, weights: int | None = None) -> Outcome:
        """Take the bound of a pending candidate and return its outcome.

        Args:
            name: the candidate.
            bound: its bound at ``level_each``.
            weights: number of weights, if it was not known before.

        Raises:
            UserError: if the candidate is not pending, or the bound was taken at another level.
        """
        due = [candidate.name for candidate in self.pending().values()]
        if name not in due:
            reason = "already recorded" if name in self.bounds else "not due" if name in self.weights else "unknown"
            raise UserError(
                f"{name} is {reason}.", came=name, expected="one of " + (", ".join(due) or "none: the walk is over")
            )
        if not np.isclose(bound.level, self.level_each, rtol=1e-9, atol=0):
            raise UserError(
                f"the bound of {name} has another level.",
                came=f"{bound.level:g}",
                expected=f"{self.level_each:g}, level / methods",
            )
        if weights is not None:
            self.weights[name] = int(weights)
        if self.weights[name] is None:
            raise UserError(
                f"the weights of {name} are not known.", came="None", expected="record(name, bound, weights=...)"
            )
        self.bounds[name] = bound
        return self.outcome(name)

    def outcome(self, name: str) -> Outcome:
        """Return ``"passed"``, ``"stopped"`` (its bound failed), or ``"not-tested"`` (not reached, or not yet)."""
        if name not in self.weights:
            raise UserError(f"{name} is unknown.", came=name, expected="one of " + ", ".join(self.weights))
        if name not in self.bounds:
            return "not-tested"
        return "passed" if self.bounds[name].passes(self.margin) else "stopped"

    def winner(self) -> Candidate | None:
        """Return the passer with the fewest weights (a tie goes to the larger lower bound), or ``None``."""
        passers = [
            candidate
            for chain in self.chains.values()
            for candidate in chain
            if self.outcome(candidate.name) == "passed"
        ]
        if not passers:
            return None
        return min(passers, key=lambda candidate: (self.weights[candidate.name], -self.bounds[candidate.name].lower))


def confirm(
    score: str, target: Any, chosen: Any, dense: Any, *, margin: float, level: float = 0.05, clusters: Any = None
) -> PairedTest:
    """Test the two refitted networks once on untouched rows at the full level.

    Args:
        score: ``"accuracy"`` (class codes; Tango), ``"auc"`` (probabilities; corrected DeLong) or ``"r2"`` (values;
            delta method).
        target: true values of the test rows [n].
        chosen, dense: predictions of the two fitted networks [n].
        margin, level: as fixed before.
        clusters: a label per row [n] if rows come in groups.

    >>> y = np.arange(400) % 2
    >>> confirm("accuracy", y, y, y, margin=0.01).passed
    True
    """
    if known(score) == "auc":
        return delong(target, chosen, dense, margin=margin, level=level, clusters=clusters)
    if score == "r2":
        return r2_difference(target, chosen, dense, margin=margin, level=level, clusters=clusters)
    truth = np.asarray(target)
    return accuracy_difference(
        correctness(truth, chosen), correctness(truth, dense), margin=margin, level=level, clusters=clusters
    )


def state_of(gate: Gate, winner: Candidate | None, confirmation: PairedTest | None) -> State:
    """Return the state of the verdict.

    Args:
        gate: result of :func:`gate`.
        winner: result of :meth:`Walk.winner`, or another candidate that was selected (linear, narrow).
        confirmation: the test on untouched rows, or ``None`` if there are no test rows.

    A test that may give no verdict (too few positives or groups), or fails with fewer rows than equal networks would
    need, is *not confirmable*; one that fails with enough rows is *not confirmed*; one whose upper end lies below
    −margin *contradicts* the selection.

    >>> state_of(Gate(False, 0.0, -0.1, 0.01), None, None)
    'no-network-needed'
    """
    if not gate.passed:
        return "no-network-needed"
    if winner is None:
        return "nothing-passed"
    if confirmation is None or confirmation.no_verdict:
        return "not-confirmable"
    if confirmation.passed:
        return "confirmed"
    if confirmation.upper < -confirmation.margin:
        return "contradicted"
    needed = confirmation.rows_needed
    return "not-confirmable" if needed is None or confirmation.rows < needed else "not-confirmed"


def why_not(gate: Gate, winner: Candidate | None, confirmation: PairedTest | None) -> str | None:
    """Return the reason why the state is not ``"confirmed"``, in one sentence, or ``None``.

    >>> why_not(Gate(False, 0.0, -0.1, 0.01), None, None)
    'The dense network is not clearly better than a constant here, so "not worse than dense" would mean nothing.'
    """
    state = state_of(gate, winner, confirmation)
    if state == "confirmed":
        return None
    if state == "no-network-needed":
        return (
            "The dense network is not clearly better than a constant here, "
            'so "not worse than dense" would mean nothing.'
        )
    if state == "nothing-passed":
        return "No bound cleared the margin. This is no evidence that small is worse."
    if confirmation is None:
        return "There are no test rows."
    if confirmation.no_verdict:
        return confirmation.no_verdict
    if state == "contradicted":
        return "On the test rows the whole interval lies below the margin. Do not use it as a replacement."
    if state == "not-confirmed":
        return (
            f"The test interval still includes a loss of {confirmation.margin:g}, "
            f"and {confirmation.rows:,} rows were enough."
        )
    chance = (
        "" if confirmation.power is None else f"; the chance to confirm an equal network was {confirmation.power:.0%}"
    )
    return f"{confirmation.rows:,} test rows are too few to exclude a loss of {confirmation.margin:g}{chance}."
