"""The main job: train candidates until each walk stops, choose the smallest that is not worse, confirm it once.

:func:`search` leaves everything in one folder, from which the report is drawn. It can be killed at any moment and
repeated.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sparsefire import randomness
from sparsefire.data import Problem
from sparsefire.errors import UserError
from sparsefire.parallel import checked_workers
from sparsefire.search import selection
from sparsefire.search.candidates import (
    BOOSTING,
    DENSE,
    LINEAR,
    Candidate,
    architecture,
    describe,
    target_weights,
)
from sparsefire.search.evidence import Evidence, gather
from sparsefire.search.folder import asked_for, check_folder, write_settings
from sparsefire.search.plan import (
    BUDGET_BY_EFFORT,
    PATIENCE,
    Plan,
    cost,
    cut,
    everyone,
    make_plan,
    rows_of_plan,
    total_cost,
)
from sparsefire.search.request import Request
from sparsefire.search.runs import FINAL, Job, Study, fold_rows, prepare, settings_of, test_split
from sparsefire.search.verdict import make_verdict, write_outcome
from sparsefire.search.worker import Listener, Worker
from sparsefire.statistics.power import planned_power
from sparsefire.studies import Store, key_of
from sparsefire.train import weight_count
from sparsefire.train.loop import outputs_of
from sparsefire.train.networks import Factory, build, can_be_narrow


def search(
    problem: Problem,
    request: Request,
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    factory: Factory | nn.Module | None = None,
    listen: Listener | None = None,
) -> dict[str, Any]:
    """Find the smallest network that is not worse than the dense one, and write the folder.

    Args:
        problem: the data, from :mod:`sparsefire.data`.
        request: what is asked for.
        out: folder to write: absent, empty, or of the same request (then finished runs are kept and the rest is done).
        workers: processes with one thread each; results do not depend on it.
        factory: the network behind ``request.model`` when it is neither mlp nor cnn.
        listen: called with ``("plan", …)`` once and ``("progress", …)`` after every run.

    Returns:
        The verdict, as written to ``verdict.json``.

    Raises:
        UserError: anything wrong with the request, the data or the folder; nothing is written then.
    """
    started = time.perf_counter()
    tell = listen or _silent
    workers = checked_workers(workers)
    study, keep = _study(problem, request, factory)
    folder = Path(out)
    asked = asked_for(study, request)
    stored_plan = check_folder(folder, asked)
    development, test = test_split(study)
    fold_rows(study, 0)  # raises before anything is written when the rows cannot be split so often
    x_shape, outputs = _prepared_shape(study, development)
    _try_network(study, x_shape, outputs)
    dense_weights = weight_count(describe(study.base, x_shape, outputs), study.factory)
    if stored_plan is not None:
        study = replace(study, plan=stored_plan)
    else:
        write_settings(folder, asked, None)  # first of all, so that what follows is known as ours if we are killed
    store = Store(folder / "runs")
    worker = Worker(study, store, workers, tell)
    if stored_plan is None:
        study = _after_pilot(study, worker, keep, len(development), x_shape, outputs, dense_weights)
        write_settings(folder, asked, study.plan)
        worker.study = study
    plan = study.plan
    in_fold = round(len(development) * (1 - 1 / plan.folds))
    expected = {c.id: cost(plan, c, in_fold, int(np.prod(x_shape)), outputs, dense_weights) for c in everyone(plan)}
    worker.begin(expected)
    tell("plan", _plan_event(study, expected, worker, development, test, workers))

    # Yardsticks first: the gate and the margin need them.
    fixed = [*plan.yardsticks(), BOOSTING]
    worker.run([Job(c, r, f) for c in fixed for r in range(plan.rounds_of(c)) for f in range(plan.folds)])
    evidence = gather(study, store)
    dense = evidence.predictions(DENSE)
    margin = plan.margin
    if margin is None:
        gain = evidence.score(dense), evidence.score(evidence.constant) if problem.score != "auc" else 0.5
        margin = max(selection.retained_margin(plan.retain or 0.95, *gain), 1e-6)  # no gain: the gate fails anyway
    gate = selection.gate(
        problem.score, evidence.target, dense, evidence.constant, margin=margin, level=plan.level,
        clusters=evidence.clusters, folds=plan.folds,
    )  # fmt: skip
    walk = _walk(plan, margin, dense_weights, int(np.prod(x_shape)), outputs)
    if gate.passed:
        _walk_down(walk, plan, worker, evidence, dense)
    winner = walk.winner() if gate.passed else None

    by_id = {c.id: c for c in everyone(plan)}
    handed = by_id[winner.name] if winner else (DENSE if gate.passed else LINEAR)
    finals = {c.id: c for c in (DENSE, LINEAR, BOOSTING, handed)}
    worker.run([Job(c, FINAL, 0) for c in finals.values()])
    verdict = make_verdict(evidence, walk, gate, margin, winner, handed, request, workers)
    verdict["timing"] = {
        "seconds": round(time.perf_counter() - started, 1),
        "runs": worker.done,
        "resumed": worker.resumed,
    }
    write_outcome(folder, evidence, verdict, handed)
    return verdict


def _silent(event: str, details: dict[str, Any]) -> None:
    return None


def _study(problem: Problem, request: Request, factory: Factory | nn.Module | None) -> tuple[Study, frozenset[str]]:
    rng = randomness.entropy(request.rng)
    first = Study(problem, make_plan(request, 1, 1, 1), {"kind": "mlp", "hidden": []}, rng, factory)
    development, test = test_split(first)
    shape, outputs = _prepared_shape(first, development)
    base = architecture(request.model, len(development), shape, request.hidden, request.rule)
    if base["kind"] == "factory" and factory is None:
        raise UserError(
            f"there is no model {request.model!r}.", came=request.model, expected="mlp, cnn or package.module:factory"
        )
    if base["kind"] == "factory":  # one name may stand for different networks
        made = build(describe(base, shape, outputs), rng=0, factory=factory)
        base = {**base, "made": hashlib.sha256(repr(made).encode()).hexdigest()[:16]}
    plan = make_plan(
        request,
        len(development),
        int(np.prod(shape)),
        len(test),
        outputs=outputs if outputs > 2 else 1,
        narrow=can_be_narrow(base, factory),
    )
    study = Study(problem, plan, base, rng, factory)
    folds = len(fold_rows(study, 0))  # sites decide their own number
    given = [name for name in ("folds", "rounds", "densities") if getattr(request, name) is not None]
    return replace(study, plan=replace(plan, folds=folds)), frozenset(given)


def _try_network(study: Study, shape: tuple[int, ...], outputs: int) -> None:
    """Build the dense network once and show it two empty rows, before anything is written or trained."""
    network = build(describe(study.base, shape, outputs), rng=0, factory=study.factory)
    own = study.base["kind"] == "factory"
    expected = f"a network that takes [rows, {', '.join(map(str, shape))}] and returns [rows, {outputs}]"
    try:
        found = outputs_of(network, np.zeros((2, *shape), np.float32)).shape
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(
            "the network cannot take the prepared rows.", came=str(error).splitlines()[0], expected=expected
        ) from error
    if own and found != (2, outputs):
        raise UserError(
            "the network does not return what the target needs.", came=f"[rows, {found[1]}]", expected=expected
        )


def _prepared_shape(study: Study, development: np.ndarray) -> tuple[tuple[int, ...], int]:
    problem = study.problem
    sample = development[: min(len(development), 20_000)]
    preparation = prepare(problem, sample)
    shape = preparation.transform(problem.select(sample[:1])).shape[1:]
    return shape, len(problem.classes) if problem.task == "classification" else 1


def _after_pilot(
    study: Study,
    worker: Worker,
    keep: frozenset[str],
    rows: int,
    shape: tuple[int, ...],
    outputs: int,
    dense_weights: int,
) -> Study:
    """Do the first run of dense; cut the plan if two workers on this machine would need several times the budget.

    Two, however many there are: the plan, and with it the result, must not depend on the number of workers.
    """
    plan, features = study.plan, int(np.prod(shape))
    in_fold = round(rows * (1 - 1 / plan.folds))
    pilot = Job(DENSE, 0, 0)
    worker.run([pilot])
    measured = worker.store.read(key_of(settings_of(study, pilot))).result["seconds"]
    model = cost(plan, DENSE, in_fold, features, outputs, dense_weights)
    total = total_cost(plan, rows, features, outputs, dense_weights)
    # Only a machine that is much slower than the model of costs counts: small runs start with overheads of their own.
    slower = measured / model if measured > 4 * model + 2 else 1.0
    worker.done = 0
    return replace(study, plan=cut(plan, total * slower / 2 / BUDGET_BY_EFFORT[plan.effort], keep))


def _plan_event(
    study: Study,
    expected: dict[str, float],
    worker: Worker,
    development: np.ndarray,
    test: np.ndarray,
    workers: int,
) -> dict[str, Any]:
    plan = study.plan
    seconds = {c.id: expected[c.id] * plan.folds * plan.rounds_of(c) for c in everyone(plan)}
    return {
        "effort": plan.effort,
        "margin": plan.margin,
        "retain": plan.retain,
        "score": study.problem.score,
        "folds": plan.folds,
        "rounds": plan.rounds,
        "rows": rows_of_plan(plan, seconds, workers),
        "runs": worker.total,
        "seconds": sum(seconds.values()) / workers,
        "workers": workers,
        "over_budget": sum(seconds.values()) / workers > PATIENCE * BUDGET_BY_EFFORT[plan.effort],
        "power": power_text(study.problem, plan, len(test)),
        "rows_development": len(development),
        "rows_test": len(test),
        "rates": plan.rates,
    }


def power_text(problem: Problem, plan: Plan, rows: int) -> dict[str, Any]:
    """Return what the test set can confirm, said before anything is trained."""
    if plan.margin is None:
        return {"text": "The margin follows from dense, so the power of the test is known only then.", "low": False}
    if problem.score != "accuracy":
        words = {"auc": "of ranks between the two", "r2": "of errors between the two"}[problem.score]
        return {
            "text": f"Power on {rows:,} test rows depends on the correlation {words}; it is not planned.",
            "low": False,
        }
    power = planned_power(rows, plan.margin, plan.level)
    return {
        "text": power.text,
        "low": power.low,
        "discordance": list(power.discordance),
        "power": [round(float(p), 4) for p in power.power],
        "needed": list(power.needed),
    }


def _walk(plan: Plan, margin: float, dense_weights: int, features: int, outputs: int) -> selection.Walk:
    def weights(candidate: Candidate) -> int:
        if candidate.kind == "linear":
            return features * (1 if outputs == 2 else outputs)
        return target_weights(dense_weights, candidate)

    return selection.Walk(
        {
            name: [selection.Candidate(c.id, name, c.density, weights(c)) for c in chain]
            for name, chain in plan.chains.items()
        },
        margin,
        plan.level,
    )


def _walk_down(walk: selection.Walk, plan: Plan, worker: Worker, evidence: Evidence, dense: np.ndarray) -> None:
    by_id = {c.id: c for chain in plan.chains.values() for c in chain}
    while pending := walk.pending():
        due = [by_id[c.name] for c in pending.values()]
        worker.run([Job(c, r, f) for c in due if c != LINEAR for r in range(plan.rounds) for f in range(plan.folds)])
        for candidate in due:
            bound = evidence.bound(evidence.predictions(candidate), dense, walk.level_each)
            outcome = walk.record(candidate.id, bound)
            if outcome == "stopped":
                chain = next(chain for chain in plan.chains.values() if candidate in chain)
                worker.drop(chain[chain.index(candidate) + 1 :])
        smallest = walk.winner()
        worker.smallest = f"{smallest.name}, {walk.weights[smallest.name]:,} weights" if smallest else None
