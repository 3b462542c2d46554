"""Before anything is trained: which of the candidates can learn at all."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire import randomness
from sparsefire.errors import UserError
from sparsefire.propagation import diagnose
from sparsefire.search.candidates import DENSE, Candidate, describe
from sparsefire.search.plan import Plan
from sparsefire.search.runs import Study
from sparsefire.sparsity import sparsify
from sparsefire.train.loop import INITIALISERS
from sparsefire.train.networks import build

SPARSE_FROM_THE_START = ("static", "sign-in", "rigl")
DOOMED = 0.2


def foretell(study: Study, rows: np.ndarray, outputs: int) -> list[dict[str, Any]]:
    """Return the chance that networks learn, as they are before the first step, dense first.

    Methods that begin dense (gradual pruning, rewinding) share the fate of dense. The networks are drawn as those of
    the study, with weights of their own.

    Args:
        study: architecture and plan.
        rows: prepared inputs [rows, ...], 2 or more.
        outputs: of the networks.

    Returns:
        ``candidate`` (id), ``chance`` and ``text`` (the verdict) for each; none for a network of your own that cannot
        be looked at.
    """
    plan, found = study.plan, []
    starts = [c for chain in plan.chains.values() for c in chain if c.training_method in SPARSE_FROM_THE_START]
    for candidate in (DENSE, *starts):
        try:
            net = _at_start(study, plan, candidate, rows.shape[1:], outputs)
            d = diagnose(net, rows, redraws=0, rng=randomness.integer(study.rng, "diagnosis"))
        except UserError:  # a network of one's own whose layers are not met in one pass; a mask it does not allow
            continue
        found.append({"candidate": candidate.id, "chance": round(d.probability_of_learning, 4), "text": d.verdict})
    return found


def doomed(foretold: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those that are unlikely to learn.

    >>> doomed([{"candidate": "dense", "chance": 0.9, "text": ""}, {"candidate": "a", "chance": 0.1, "text": ""}])
    [{'candidate': 'a', 'chance': 0.1, 'text': ''}]
    """
    return [one for one in foretold if one["chance"] <= DOOMED]


def _at_start(study: Study, plan: Plan, candidate: Candidate, shape: tuple[int, ...], outputs: int) -> Any:
    net = build(describe(study.base, shape, outputs), randomness.integer(study.rng, "foretelling"), study.factory)
    training = plan.training(candidate)
    if candidate.training_method != "dense":
        sparsify(net, training.density, "static", training.layout or "erk", rng=study.rng)
    if training.init != "own":
        INITIALISERS[training.init](net, rng=study.rng)
    return net
