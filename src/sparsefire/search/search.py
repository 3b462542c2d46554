"""The main job: train candidates until each walk stops, choose the smallest that is not worse, confirm it once.

:func:`search` leaves everything in one folder, from which the report is drawn. It can be killed at any moment and
repeated.
"""

from __future__ import annotations

import functools
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sparsefire.data import Problem
from sparsefire.parallel import checked_workers, run_all
from sparsefire.search import selection
from sparsefire.search.candidates import BOOSTING, DENSE, LINEAR
from sparsefire.search.evidence import Evidence, gather
from sparsefire.search.folder import asked_for, check_folder, earlier_timing, write_settings
from sparsefire.search.foretell import doomed
from sparsefire.search.plan import (
    BUDGET_BY_EFFORT,
    PATIENCE,
    Plan,
    cost,
    cut,
    everyone,
    rows_of_plan,
    share_of_budget,
    total_cost,
)
from sparsefire.search.request import Request
from sparsefire.search.runs import FINAL, Job, execute, settings_of
from sparsefire.search.setup import Setup, power_text, set_up
from sparsefire.search.verdict import make_verdict, write_outcome
from sparsefire.search.worker import Listener, Worker
from sparsefire.studies import Store, key_of
from sparsefire.train.networks import Factory


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
        listen: called with ``("plan", …)`` before anything is trained, again if the pilot run cuts the plan, and
            with ``("progress", …)`` after every run.

    Returns:
        The verdict, as written to ``verdict.json``.

    Raises:
        UserError: anything wrong with the request, the data or the folder; nothing is written then.
    """
    started = time.perf_counter()
    tell = listen or _silent
    workers = checked_workers(workers)
    setup = set_up(problem, request, factory)
    folder = Path(out)
    asked = asked_for(setup.study, request)
    times_over = check_folder(folder, asked)
    tell("plan", _plan_event(setup, workers))
    if listen is None:
        for one in doomed(setup.foretold):
            warnings.warn(f"{one['candidate']}: {one['text']}", UserWarning, stacklevel=3)
    if times_over is None:  # first of all, so that what follows is known as ours if we are killed
        write_settings(folder, asked, setup.study.plan, None)
    store = Store(folder / "runs")
    before = frozenset(store.keys())
    if times_over is None:
        times_over = _pilot(setup, store)
    plan = cut(setup.study.plan, times_over, setup.given, PATIENCE)
    write_settings(folder, asked, plan, times_over)
    if plan != setup.study.plan:
        setup = replace(setup, study=replace(setup.study, plan=plan))
        tell("plan", _plan_event(setup, workers))
    study = setup.study
    worker = Worker(study, store, workers, tell, {c.id: cost(plan, c, setup.size) for c in everyone(plan)}, before)

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
    walk = _walk(setup, margin)
    if gate.passed:
        _walk_down(walk, plan, worker, evidence, dense)
    winner = walk.winner() if gate.passed else None

    by_id = {c.id: c for c in everyone(plan)}
    handed = by_id[winner.name] if winner else (DENSE if gate.passed else LINEAR)
    finals = {c.id: c for c in (DENSE, LINEAR, BOOSTING, handed)}
    worker.run([Job(c, FINAL, 0) for c in finals.values()])
    verdict = make_verdict(
        evidence, walk, gate, margin, winner, handed, request, workers, power_text(problem, plan, len(setup.test))
    )
    seconds = round(time.perf_counter() - started, 1)
    timing = {"seconds": seconds, "runs": worker.done, "resumed": worker.resumed}
    verdict["foretold"] = setup.foretold
    verdict["timing"] = (earlier_timing(folder) if worker.done == worker.resumed else None) or timing
    write_outcome(folder, evidence, verdict, handed)
    return verdict


def _silent(event: str, details: dict[str, Any]) -> None:
    return None


def _pilot(setup: Setup, store: Store) -> float:
    """Do the first run of dense; return how many times the budget two workers on this machine would need."""
    study, plan = setup.study, setup.study.plan
    pilot = Job(DENSE, 0, 0)
    key = key_of(settings_of(study, pilot))
    if not store.finished(key):
        list(run_all(functools.partial(execute, study, store=store), [pilot], workers=1))
    measured = store.read(key).result["seconds"]
    model = cost(plan, DENSE, setup.size)
    # Only a machine that is much slower than the model of costs counts: small runs start with overheads of their own.
    slower = measured / model if measured > 4 * model + 2 else 1.0
    return share_of_budget(plan, setup.size, slower)


def _plan_event(setup: Setup, workers: int) -> dict[str, Any]:
    study, plan = setup.study, setup.study.plan
    seconds = total_cost(plan, setup.size) / workers
    return {
        "effort": plan.effort,
        "margin": plan.margin,
        "retain": plan.retain,
        "score": study.problem.score,
        "folds": plan.folds,
        "rounds": plan.rounds,
        "rows": rows_of_plan(plan, setup.size, workers),
        "runs": sum(plan.folds * plan.rounds_of(c) for c in everyone(plan)),
        "seconds": seconds,
        "workers": workers,
        "over_budget": seconds > PATIENCE * BUDGET_BY_EFFORT[plan.effort],
        "power": power_text(study.problem, plan, len(setup.test)),
        "rows_development": len(setup.development),
        "rows_test": len(setup.test),
        "rates": plan.rates,
        "doomed": doomed(setup.foretold),
    }


def _walk(setup: Setup, margin: float) -> selection.Walk:
    plan = setup.study.plan
    chains = {
        name: [selection.Candidate(c.id, name, c.density, setup.weights(c)) for c in chain]
        for name, chain in plan.chains.items()
    }
    return selection.Walk(chains, margin, plan.level)


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
