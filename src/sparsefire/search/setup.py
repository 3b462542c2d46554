"""Before anything is trained: splits, architecture and plan are settled, and what would fail later is refused now."""

from __future__ import annotations

import copy
import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from sparsefire import masks, randomness
from sparsefire.data import Problem
from sparsefire.errors import UserError
from sparsefire.evaluate import macs
from sparsefire.search.candidates import architecture, describe, narrow_networks, target_weights
from sparsefire.search.foretell import foretell
from sparsefire.search.plan import CONVOLUTION, Plan, Size, cut, make_plan, share_of_budget
from sparsefire.search.request import Request
from sparsefire.search.runs import Study, fold_rows, prepare, test_split
from sparsefire.sparsity.amounts import CRITICAL, smallest_density
from sparsefire.sparsity.methods import check_sparse
from sparsefire.statistics.power import planned_power
from sparsefire.train import weight_count
from sparsefire.train.learners import learner
from sparsefire.train.loop import loss_of, outputs_of, steps_of
from sparsefire.train.networks import Factory, build

ROWS = 64  # prepared to look at networks with


@dataclass(frozen=True)
class Setup:
    """What a search knows before it trains.

    Attributes:
        study: what all runs share, the plan included.
        development, test: row numbers.
        size: of the problem, for the model of costs.
        given: names of the plan's fields that were asked for, which are never cut.
        narrow: density → weights of the narrow networks.
        foretold: who can learn, before training (:func:`sparsefire.search.foretell.foretell`).
    """

    study: Study
    development: np.ndarray
    test: np.ndarray
    size: Size
    given: frozenset[str]
    narrow: dict[float, int]
    foretold: list[dict[str, Any]]

    def weights(self, candidate: Any) -> int:
        """Return how many weights a candidate of a walk will have."""
        if candidate.kind == "linear":
            return self.size.features * (1 if self.size.outputs == 2 else self.size.outputs)
        if candidate.kind == "narrow":
            return self.narrow[candidate.density]
        return target_weights(self.size.weights, candidate)


def set_up(problem: Problem, request: Request, factory: Factory | nn.Module | None = None) -> Setup:
    """Settle splits, architecture and plan for a request.

    Raises:
        UserError: rows that cannot be split so often, a network that cannot take them, densities that leave a layer
            without weights: whatever can be known before training.
    """
    rng = randomness.entropy(request.rng)
    first = Study(problem, make_plan(request, Size(1, 1, 1, 1, 1), 1), {"kind": "mlp", "hidden": []}, rng, factory)
    development, test = test_split(first)
    sample, outputs = _prepared_sample(problem, development)
    shape = sample.shape[1:]
    base = architecture(request.model, len(development), shape, request.hidden, request.rule)
    if base["kind"] == "factory" and factory is None:
        raise UserError(
            f"there is no model {request.model!r}.", came=request.model,
            expected="mlp, spiking, cnn or package.module:factory",
        )  # fmt: skip
    description = describe(base, shape, outputs)
    network = build(description, rng=0, factory=factory)
    _try_network(network, shape, outputs, own=base["kind"] == "factory")
    _try_rule(request.rule, network, shape, problem.task)
    if base["kind"] == "factory":
        base = {**base, "made": _digest(network, shape)}
    size = Size(
        len(development), int(np.prod(shape)), outputs, weight_count(description, factory), _work(network, shape)
    )
    plan = make_plan(request, size, len(test))
    narrow = narrow_networks(description, plan.densities, factory)
    plan = replace(plan, narrow=tuple(narrow), feasible=_feasible(plan, network))
    study = Study(problem, plan, base, rng, factory)
    folds = len(fold_rows(study, 0))  # sites decide their own number
    plan = replace(plan, folds=folds)
    given = frozenset(name for name in ("rounds", "densities", "methods") if getattr(request, name) is not None)
    plan = cut(plan, share_of_budget(plan, size), given)
    _check_sparse(plan, network, size.rows)
    study = replace(study, plan=plan)
    return Setup(study, development, test, size, given, narrow, foretell(study, sample, outputs))


def _feasible(plan: Plan, network: nn.Module) -> float:
    """Return the smallest density of the critical layout, if a method uses it, or raise where no density is left."""
    used = {layout for method in plan.methods if (layout := method.partition("/")[2]) in CRITICAL}
    if not used:
        return 0.0
    shapes: list[Any] = [tuple(layer.weight.shape) for layer in masks.maskable(network).values()]  # type: ignore[arg-type]
    least = max(smallest_density(shapes, layout) for layout in used)
    if max(plan.densities) < least:
        raise UserError(
            "no density is feasible for the critical layout.",
            came=f"densities {', '.join(f'{d:g}' for d in plan.densities)}",
            expected=f"{math.ceil(1e4 * least) / 1e4:g} or more for this network",
            attempt="--layout critical-signs --init signs, wider layers, or another layout",
        )
    return least


def power_text(problem: Problem, plan: Plan, rows: int) -> dict[str, Any]:
    """Return what the test set can confirm, said before anything is trained."""
    if plan.margin is None:
        return {"text": "The margin follows from dense, so the power of the test is known only then.", "low": False}
    if problem.cluster is not None:
        text = f"Power on {rows:,} test rows depends on how alike rows of one {problem.cluster_name} are; "
        return {"text": f"{text}it is not planned.", "low": False}
    if problem.score != "accuracy":
        words = {"auc": "of ranks between the two", "r2": "of errors between the two"}[problem.score]
        text = f"Power on {rows:,} test rows depends on the correlation {words}; it is not planned."
        return {"text": text, "low": False}
    power = planned_power(rows, plan.margin, plan.level)
    return {
        "text": power.text,
        "low": power.low,
        "discordance": list(power.discordance),
        "power": [round(float(p), 4) for p in power.power],
        "needed": list(power.needed),
    }


def _prepared_sample(problem: Problem, development: np.ndarray) -> tuple[np.ndarray, int]:
    sample = development[: min(len(development), 20_000)]
    rows = prepare(problem, sample).transform(problem.select(sample[:ROWS]))
    return rows, len(problem.classes) if problem.task == "classification" else 1


def _try_network(network: nn.Module, shape: tuple[int, ...], outputs: int, *, own: bool) -> None:
    """Show the dense network two empty rows."""
    expected = f"a network that takes [rows, {', '.join(map(str, shape))}] and returns [rows, {outputs}]"
    try:
        found = outputs_of(network, np.zeros((2, *shape), np.float32)).shape
    except Exception as error:  # whatever the user's own network raises
        raise UserError(
            "the network cannot take the prepared rows.",
            came=(str(error) or type(error).__name__).splitlines()[0],
            expected=expected,
        ) from error
    if own and found != (2, outputs):
        raise UserError(
            "the network does not return what the target needs.", came=f"[rows, {found[1]}]", expected=expected
        )


def _try_rule(name: str, network: nn.Module, shape: tuple[int, ...], task: str) -> None:
    """Let a rule see a copy of the dense network once: some serve certain structures alone."""
    if name in ("backprop", "coordinates"):  # the first serves all, the second would ask thousands of times
        return
    twin, rule = copy.deepcopy(network).train(), learner(name).make(0, 1)
    x = torch.randn((4, *shape), generator=torch.Generator().manual_seed(0))
    y = torch.zeros(4, dtype=torch.int64 if task == "classification" else torch.float32)
    try:
        with torch.random.fork_rng(devices=[]):
            rule(twin, loss_of(task, rule.per_example), x, y)
    except UserError as error:
        raise UserError(
            f"rule {name!r} cannot train this network: {error.message}",
            came=error.came,
            expected=error.expected,
            attempt=error.attempt or "another rule, or another model",
        ) from error


def _work(network: nn.Module, shape: tuple[int, ...]) -> int:
    linear = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Linear))
    return linear + CONVOLUTION * max(0, macs(network, shape) - linear)


def _digest(network: nn.Module, shape: tuple[int, ...]) -> str:
    """Return a hash of what a network is, starts from and computes: one name may stand for different networks."""
    probe = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    found = hashlib.sha256(repr(network).encode())
    for name, value in network.state_dict().items():
        found.update(name.encode() + value.detach().cpu().numpy().tobytes())
    found.update(outputs_of(network, probe).astype(np.float32).round(4).tobytes())
    return found.hexdigest()[:16]


def _check_sparse(plan: Plan, network: nn.Module, rows: int) -> None:
    for chain in plan.chains.values():
        for candidate in chain:
            if candidate.kind == "sparse":
                training = plan.training(candidate)
                steps = steps_of(training, round(rows * (1 - 1 / plan.folds) * 0.8))  # a rate is tried on fewer rows
                try:
                    check_sparse(network, training.density, training.method, training.layout, steps)
                except UserError as error:
                    raise UserError(
                        f"{candidate.id}: {error.message}", came=error.came, expected=error.expected,
                        attempt=error.attempt or "other --methods, or --densities that all of them can have",
                    ) from None  # fmt: skip
