"""The verdict as one dictionary, and the files of the run folder that carry it."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sparsefire.data import describe, describe_split, from_stored
from sparsefire.deploy import save_model
from sparsefire.deploy.runner import fastest
from sparsefire.errors import UserError
from sparsefire.evaluate import by_group, latency, macs, stored_bytes
from sparsefire.search import selection
from sparsefire.search.candidates import BOOSTING, DENSE, LINEAR, Candidate
from sparsefire.search.evidence import Evidence
from sparsefire.search.plan import everyone
from sparsefire.search.runs import FINAL, Job, prediction_name, test_split
from sparsefire.search.wording import words
from sparsefire.statistics import score_interval
from sparsefire.studies.files import plain, replace_file
from sparsefire.studies.parquet import write_parquet
from sparsefire.train.loop import outputs_of
from sparsefire.train.networks import build

SHOWN_RESIDUALS = 500
_SCORES = {"accuracy": "label", "auc": "probability", "r2": "value"}


def make_verdict(
    evidence: Evidence,
    walk: selection.Walk,
    gate: selection.Gate,
    margin: float,
    winner: selection.Candidate | None,
    handed: Candidate,
    request: Any,
    workers: int,
    planned_power: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the verdict: what was selected, whether it was confirmed, and everything the report shows.

    Args:
        evidence: out-of-fold predictions and the store they come from; the refits must be in it.
        walk, gate, margin, winner: the decision.
        handed: the candidate whose refit is handed over (the winner, or dense, or linear).
        request: the request, for the words that repeat it.
        planned_power: what the test set was said to be able to confirm before anything was trained.
    """
    study = evidence.study
    problem, plan = study.problem, study.plan
    development, test = test_split(study)
    name = prediction_name(problem.score)
    refits = {c.id: evidence.stored(Job(c, FINAL, 0)) for c in {DENSE, LINEAR, BOOSTING, handed}}
    truth = problem.target[test]
    clusters = None if problem.cluster is None else problem.cluster[test]
    chosen, dense = refits[handed.id].arrays[name], refits[DENSE.id].arrays[name]
    test_options: dict[str, Any] = {"margin": margin, "level": plan.level, "clusters": clusters}
    confirmation, undefined = None, None
    if winner and len(test):
        confirmation, undefined = _defined(selection.confirm, problem.score, truth, chosen, dense, **test_options)
    state = selection.state_of(gate, winner, confirmation)
    candidates = _candidates(evidence, walk, winner, refits, handed)
    dense_weights = refits[DENSE.id].result["weights"]
    chosen_weights = refits[handed.id].result["weights"]
    verdict: dict[str, Any] = {
        "format": 1,
        "sparsefire": _version("sparsefire"),
        "state": state,
        "kind": handed.kind if winner else None,
        "data": _data(evidence, development, test),
        "plan": {**_plan(study, walk, margin, request, workers), "planned_power": planned_power},
        "margin": margin,
        "selected": {
            "candidate": handed.id,
            "method": handed.method,
            "density": handed.density,
            "weights": chosen_weights,
            "dense_weights": dense_weights,
        }
        if winner
        else None,
        "handed_over": handed.id,
        "confirmed": state == "confirmed",
        "why_not": undefined or selection.why_not(gate, winner, confirmation),
        "gate": {
            "passed": gate.passed,
            "estimate": gate.estimate,
            "lower": gate.lower,
            "threshold": gate.threshold,
            "against": "constant",
        },
        "confirmation": None
        if confirmation is None
        else {
            "method": confirmation.method,
            "rows": len(test),
            "score_chosen": refits[handed.id].result["score"],
            "score_dense": refits[DENSE.id].result["score"],
            "difference": confirmation.estimate,
            "lower": confirmation.lower,
            "upper": confirmation.upper,
            "level": plan.level,
            "passed": confirmation.passed,
            "only_dense": confirmation.only_dense,
            "only_chosen": confirmation.only_chosen,
            "rows_needed": confirmation.rows_needed,
            "power": confirmation.power,
            "warnings": list(confirmation.warnings),
        },
        "candidates": candidates,
        "test_scores": {
            who: _scores(problem, truth, refits[c.id].arrays, clusters)
            for who, c in (("dense", DENSE), ("chosen", handed), ("linear", LINEAR), ("boosting", BOOSTING))
        },
        "better_than_both": _better(problem.score, truth, refits, handed, test_options) if len(test) else None,
        "errors": _errors(problem, truth, refits[handed.id].arrays) if len(test) else None,
        "groups": _groups(evidence, test, chosen, dense, margin, clusters),
        "warnings": _warnings(walk, gate, winner, undefined, confirmation),
        "versions": {
            "sparsefire": _version("sparsefire"),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": _version("scikit-learn"),
        },
    }
    return {**plain(verdict), **words(verdict)}


def write_outcome(folder: Path, evidence: Evidence, verdict: dict[str, Any], handed: Candidate) -> None:
    """Write the model, ``results.parquet`` and, last, ``verdict.json``; each appears whole or not at all."""
    study = evidence.study
    problem = study.problem
    stored = evidence.stored(Job(handed, FINAL, 0))
    preparation = {name[5:]: value for name, value in stored.arrays.items() if name.startswith("prep.")}
    save_model(
        folder,
        description=stored.result["description"],
        network=network_of(evidence, stored),
        preparation=from_stored(preparation, stored.result["preparation"]),
        schema=problem.schema(),
        target_scale=tuple(stored.result["scale"]) if stored.result["scale"] else None,
        extra={"candidate": handed.id, "headline": verdict["headline"]},
    )
    write_parquet(folder / "results.parquet", _result_rows(evidence))
    text = json.dumps(verdict, indent=1, ensure_ascii=False, allow_nan=False)
    replace_file(folder / "verdict.json", text.encode())


def network_of(evidence: Evidence, stored: Any) -> nn.Module:
    """Return the network of a stored run that kept its state."""
    net = build(stored.result["description"], factory=evidence.study.factory)
    state = {k[6:]: torch.from_numpy(v.copy()) for k, v in stored.arrays.items() if k.startswith("state.")}
    net.load_state_dict(state)
    return net.eval()


def _result_rows(evidence: Evidence) -> list[dict[str, Any]]:
    plan = evidence.study.plan
    rows = []
    for candidate in everyone(plan):
        places = [(number, fold) for number in range(plan.rounds_of(candidate)) for fold in range(plan.folds)]
        for number, fold in [*places, (FINAL, 0)]:  # the refit stands at round -1, scored on the test rows
            try:
                stored = evidence.stored(Job(candidate, number, fold))
            except KeyError:
                continue
            result = stored.result
            rows.append(
                {
                    "key": stored.key,
                    "candidate": candidate.id,
                    "kind": candidate.kind,
                    "method": candidate.method,
                    "density": candidate.density,
                    "round": number,
                    "fold": fold,
                    **{name: result[name] for name in ("rows_train", "rows_held_out", "score", "weights")},
                    **{name: result[name] for name in ("rate", "epochs", "seconds")},
                    "queries": result.get("queries"),
                    "curve": [float("nan") if m["score"] is None else float(m["score"]) for m in stored.metrics],
                    "losses_read": [m["queries"] for m in stored.metrics if "queries" in m],
                }
            )
    return rows


def _candidates(
    evidence: Evidence,
    walk: selection.Walk,
    winner: selection.Candidate | None,
    refits: Mapping[str, Any],
    handed: Candidate,
) -> list[dict[str, Any]]:
    plan = evidence.study.plan
    dense = evidence.predictions(DENSE)
    table = []
    for candidate in everyone(plan):
        row: dict[str, Any] = {
            "id": candidate.id,
            "kind": candidate.kind,
            "method": candidate.method,
            "density": candidate.density,
            "weights": walk.weights.get(candidate.id),
            "macs": None,
            "bytes": None,
            "latency_us": None,
            "score": None,
            "score_low": None,
            "score_high": None,
            "difference": None,
            "lower": None,
            "upper": None,
            "walk": _walked(walk, candidate, winner),
            "share_initialisation": None,
            "queries": None,
        }
        try:
            predictions = evidence.predictions(candidate)
        except KeyError:  # not trained: its walk had stopped
            table.append(row)
            continue
        row["score"], row["score_low"], row["score_high"] = evidence.interval(predictions)
        row["queries"] = evidence.stored(Job(candidate, 0, 0)).result.get("queries")
        stored = refits.get(candidate.id) or evidence.stored(Job(candidate, 0, 0))
        row |= _costs(evidence, candidate, stored)
        if candidate.id in walk.bounds:
            bound = walk.bounds[candidate.id]
            row |= {"difference": bound.estimate, "lower": bound.lower, "upper": bound.upper}
            row["share_initialisation"] = bound.share_initialisation
        elif candidate.kind == "dense":
            row |= {"difference": 0.0, "lower": 0.0, "upper": 0.0}
        elif predictions.shape[1] > 1:
            bound = evidence.bound(predictions, dense, walk.level_each)
            row |= {"difference": bound.estimate, "lower": bound.lower, "upper": bound.upper}
        else:
            name = evidence.study.problem.score
            pair = selection.confirm(
                name, evidence.target, predictions[:, 0], dense[:, 0], margin=walk.margin, level=walk.level_each,
                clusters=evidence.clusters,
            )  # fmt: skip
            row |= {"difference": pair.estimate, "lower": pair.lower, "upper": pair.upper}
        table.append(row)
    return table


def _walked(walk: selection.Walk, candidate: Candidate, winner: selection.Candidate | None) -> str:
    if candidate.kind == "dense":
        return "reference"
    if candidate.kind in ("boosting", "backprop"):
        return "yardstick"
    if winner is not None and candidate.id == winner.name:
        return "chosen"
    outcome = walk.outcome(candidate.id)
    return "fell-short" if outcome == "stopped" and candidate.kind == "linear" else outcome


def _costs(evidence: Evidence, candidate: Candidate, stored: Any) -> dict[str, Any]:
    """Return weights, multiply–adds, bytes and the time for one row, measured here and now on one thread."""
    if candidate.kind == "boosting":
        return {"bytes": stored.result["bytes"]}
    net = network_of(evidence, stored)
    shape = tuple(stored.result["shape"])
    row = np.zeros((1, *shape), dtype=np.float32)
    row[:] = np.random.default_rng(0).standard_normal(row.shape)
    description = stored.result["description"]
    if description["kind"] == "mlp":
        linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
        run = fastest([(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in linear], seconds=0.004)
        flat = row.reshape(1, -1)
        time = latency(run, flat, seconds=0.05)[0]
    else:
        time = latency(lambda one: outputs_of(net, one), row, seconds=0.05)[0]
    return {
        "weights": stored.result["weights"],
        "macs": macs(net, shape),
        "bytes": stored_bytes(net),
        "latency_us": round(time, 1),
    }


def _data(evidence: Evidence, development: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    problem = evidence.study.problem
    stored = evidence.stored(Job(DENSE, FINAL, 0))
    return {
        "name": problem.name,
        "rows": problem.rows,
        "inputs": problem.width,
        "features": int(np.prod(stored.result["shape"])),
        "classes": list(problem.classes),
        "target": problem.target_name,
        "task": problem.task,
        "score": problem.score,
        "sha256": problem.sha256,
        "notes": list(problem.notes),
        "split": describe_split(problem, test),
        "rows_development": len(development),
        "rows_compared": len(evidence.rows),
        "rows_test": len(test),
        "clusters": None if problem.cluster is None else len(np.unique(problem.cluster[development])),
        "table": [list(pair) for pair in describe(problem, development, test)],
    }


def _plan(study: Any, walk: selection.Walk, margin: float, request: Any, workers: int) -> dict[str, Any]:
    return {
        **study.plan.settings(),
        "margin": margin,
        "margin_given": request.margin is not None,
        "level_each": walk.level_each,
        "chains": len(walk.chains),
        "workers": workers,
        "rng": study.rng,
        "model": request.model,
        "architecture": study.base,
        "command": request.command,
    }


def _scores(problem: Any, truth: np.ndarray, arrays: Mapping[str, np.ndarray], clusters: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for score, name in _SCORES.items():
        if name in arrays and len(truth):
            interval, _ = _defined(score_interval, score, truth, arrays[name], 0.95, clusters)
            found |= {} if interval is None else {score: list(interval)}
    return found


def _defined(statistic: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any | None, str | None]:
    """Return a statistic, or None and why these rows do not define it: one class, one cluster, a constant target."""
    try:
        return statistic(*arguments, **options), None
    except UserError as error:
        return None, error.message[:1].upper() + error.message[1:]


def _better(
    score: str, truth: np.ndarray, refits: Mapping[str, Any], handed: Candidate, options: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return boosting's lead when it is above dense and the chosen model on the test rows, intervals excluding 0."""
    name = prediction_name(score)
    boosting, options = refits[BOOSTING.id].arrays[name], {**options, "level": 0.025}
    first, second = (
        _defined(selection.confirm, score, truth, boosting, refits[other].arrays[name], **options)[0]
        for other in (DENSE.id, handed.id)
    )
    if first is None or second is None or min(first.lower, second.lower) <= 0:
        return None
    return {"score": refits[BOOSTING.id].result["score"], "difference": first.estimate, "lower": first.lower}


def _errors(problem: Any, truth: np.ndarray, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    if problem.task == "classification":
        size = len(problem.classes)
        counts = np.bincount(truth * size + arrays["label"], minlength=size * size)
        return {"confusion": counts.reshape(size, size).tolist()}
    shown = np.linspace(0, len(truth) - 1, min(SHOWN_RESIDUALS, len(truth))).astype(int)
    value = arrays["value"][shown]
    return {"residuals": {"prediction": value.tolist(), "residual": (truth[shown] - value).tolist()}}


def _groups(
    evidence: Evidence, test: np.ndarray, chosen: np.ndarray, dense: np.ndarray, margin: float, clusters: Any
) -> list[dict[str, Any]]:
    problem = evidence.study.problem
    if not problem.groups or not len(test):
        return []
    tables = by_group(
        {column: levels[test] for column, levels in problem.groups.items()},
        problem.target[test],
        chosen,
        dense,
        task=problem.task,
        score=problem.score,
        margin=margin,
        level=evidence.study.plan.level,
        clusters=clusters,
        classes=len(problem.classes),
    )
    return [{**table, "all": table["rows"][0], "rows": table["rows"][1:]} for table in tables]


def _warnings(
    walk: selection.Walk, gate: selection.Gate, winner: selection.Candidate | None, undefined: str | None, test: Any
) -> list[str]:
    found = list(gate.warnings) if winner is None else list(walk.bounds[winner.name].warnings)
    on_test_rows = [undefined] if undefined else [] if test is None else test.warnings
    return [*found, *(f"On the test rows: {text}" for text in on_test_rows)]


def _version(package: str) -> str:
    return version(package)
