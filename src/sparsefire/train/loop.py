"""The training loop: network + rule + optimizer + topology → trained network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.errors import UserError
from sparsefire.propagation import init
from sparsefire.rules import RULES, MeZO, ReplaySGD, Rule
from sparsefire.sparsity import METHODS, recipe, sparsify
from sparsefire.sparsity.parameterisation.choices import DEEP
from sparsefire.sparsity.steps import SAM, needs_closure
from sparsefire.train.learners import LEARNERS, learner
from sparsefire.train.networks import initialise_

WARM_UP = 0.05  # share of a schedule in which the rate rises
CHUNK = 4096  # rows evaluated at once
LOOK = 512  # rows that scores look at
SHORT = 16  # classes below which torch takes a row number by number


def _he(net: nn.Module, rng: Any) -> nn.Module:
    initialise_(net, rng)
    return net


INITIALISERS: dict[str, Callable[..., nn.Module]] = {
    "own": lambda net, rng: net,
    "he": _he,
    "in-degree": init.in_degree_,
    "signs": init.signs_,
    "typical": init.typical_,
    "typical-signs": partial(init.typical_, weights="sign"),
}
"""First weights by name, as on the command line; but for He's they see the masks that training starts with."""


@dataclass(frozen=True)
class Training:
    """How one network is trained.

    Attributes:
        method: ``"dense"`` or what :func:`sparsefire.sparsity.recipe` knows.
        density: share of weights kept; 1 for dense.
        layout: how it is shared out; None takes the method's own.
        rate: highest learning rate of AdamW (warm-up over 5% of the steps, then half a cosine to zero).
        epochs: passes over the rows; ``lrr`` divides them evenly among its levels.
        batch: rows per step.
        weight_decay: decoupled, on weights.
        rule: how it learns, a name in :data:`sparsefire.train.learners.LEARNERS`.
        directions: queried per step by rules that have them; None takes the rule's own number.
        init: a name in ``INITIALISERS``; ``"own"`` leaves the network as it comes
            (He normal for mlp and cnn).
    """

    method: str = "dense"
    density: float = 1.0
    layout: str | None = None
    rate: float = 3e-3
    epochs: int = 20
    batch: int = 64
    weight_decay: float = 0.02
    rule: str = "backprop"
    directions: int | None = None
    init: str = "own"


def train(
    net: nn.Module,
    x: np.ndarray,
    y: np.ndarray,
    training: Training,
    *,
    task: str,
    rng: Any = None,
    watch: Callable[[int, nn.Module, float], None] | None = None,
    rule: Rule | None = None,
) -> nn.Module:
    """Train a network on prepared rows, in place, and return it as a plain module with exact zeros.

    Args:
        net: freshly initialised; C outputs for C classes, or one for regression.
        x: float32, [rows, ...].
        y: int64 class codes [rows], or float targets [rows] in standardised units.
        training: method, density, rate, epochs, …
        task: ``"classification"`` (cross-entropy) or ``"regression"`` (squared error).
        rng: masks, batch order, dropout and directions; see :func:`sparsefire.randomness.entropy`.
        watch: called after each epoch with its number from 1, the network, and the mean training loss.
        rule: an object in place of the rule that ``training`` names, such as one whose budget is to be read.

    Raises:
        UserError: no rows, or a rule and a method that do not go together.

    >>> from sparsefire.train.networks import build
    >>> net = build({"kind": "mlp", "widths": [2, 16, 2]})
    >>> x = np.random.default_rng(0).normal(size=(200, 2)).astype("float32"); y = (x[:, 0] > 0).astype(int)
    >>> net = train(net, x, y, Training("gmp", 0.5), task="classification", rng=0)
    >>> masks.density(net)
    0.5
    """
    if not len(x):
        raise UserError("there are no rows to train on.")
    rows, targets = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(np.ascontiguousarray(y))
    if rule is None:
        rule = rule_of(training, rng)
    else:
        check_rule(rule, training.method)
    loss_fn = loss_of(task, rule.per_example)
    if task == "regression":
        targets = targets.to(rows.dtype)
    batches = _Batches(len(rows), training.batch)
    steps = steps_of(training, len(rows))
    optimizer = _optimizer(net, training, rule)
    chosen = None if training.method == "dense" else recipe(training.method)
    if chosen is not None and "closure" in chosen.needs:
        optimizer = SAM(optimizer)
    parts = 1 if chosen is None else chosen.moves.schedules(training.density, **chosen.options)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule(max(1, steps // parts)))
    topology = None
    if training.method != "dense":
        where = randomness.integer(rng, "masks")
        look = torch.from_numpy(randomness.stream(rng, "rows to look at").permutation(len(rows))[:LOOK])
        topology = sparsify(
            net, training.density, training.method, training.layout, optimizer, scheduler, steps,
            data=(rows[look], targets[look]), loss=loss_of(task), rng=where,
        )  # fmt: skip
    if training.init != "own":
        INITIALISERS[training.init](net, rng=randomness.integer(rng, "initial weights"))
        if topology is not None:
            topology.begin()
    order = randomness.stream(rng, "batches")
    with torch.random.fork_rng(devices=[]):  # dropout draws from the global generator: lend it a copy
        torch.random.default_generator.manual_seed(randomness.integer(rng, "dropout"))
        for epoch in range(1, training.epochs + 1):
            net.train()
            total, seen = 0.0, 0
            for block in batches.of(order):
                again = partial(rule, net, loss_fn, rows[block], targets[block])
                loss = again()
                _ = optimizer.step(again) if needs_closure(optimizer) else optimizer.step()  # type: ignore[arg-type]
                scheduler.step()
                if topology is not None:
                    topology.step()
                optimizer.zero_grad(set_to_none=True)
                total += float(loss) * len(block)
                seen += len(block)
            if watch is not None:
                watch(epoch, net, total / seen)
    net.eval()
    return masks.bake(net)


def steps_of(training: Training, rows: int) -> int:
    """Return the optimizer steps of a training on so many rows.

    >>> steps_of(Training(epochs=2, batch=64), 130)
    6
    """
    return training.epochs * len(_Batches(rows, min(training.batch, rows)))


def serves(rule: str | Rule, method: str) -> bool:
    """Say whether a rule gives what a method asks for.

    Some methods grow by the gradient of absent weights; some draw noise in every pass (gates, noisy weights), which
    rules that ask about a batch again and again cannot hold still; some change gradients or steps (factors,
    penalties, HAM, SAM), and rules that replay their noise leave no ``.grad``.

    >>> serves("forward-gradient", "gmp"), serves("forward-gradient", "rigl"), serves("mezo", "spred")
    (True, False, False)
    """
    return not _refusal(rule, method)


def check_rule(rule: str | Rule, method: str) -> None:
    """Raise when there is no such rule, or it does not go with a method.

    >>> check_rule("backprop", "rigl")
    """
    if isinstance(rule, str):
        learner(rule)
    reason = _refusal(rule, method)
    if reason:
        able = [name for name in METHODS if serves(rule, name)]
        raise UserError(
            f"method {method!r} {reason}",
            came=f"--methods {method} with --rule {_name_of(rule)}",
            expected=f"a method that goes with it: {', '.join(able)}",
        )


def _name_of(rule: str | Rule) -> str:
    if isinstance(rule, str):
        return rule
    return next((name for name, kind in RULES.items() if type(rule) is kind), "of your own")


def _refusal(rule: str | Rule, method: str) -> str:
    """Return what a method needs that a rule does not give; empty if nothing."""
    if method == "dense":
        return ""
    name, chosen = _name_of(rule), recipe(method)
    made = LEARNERS[rule].make(0, 1) if isinstance(rule, str) else rule
    if "dense gradient" in chosen.needs and not made.dense_gradients:
        return f"grows where the gradient of absent weights is large, which rule {name!r} does not see."
    if getattr(made, "replays", False) and (chosen.parameterisation is not None or chosen.optimizer_steps):
        return f"changes gradients or steps, and rule {name!r} leaves no gradient."
    weights = chosen.parameterisation
    noisy = weights is not None and weights.draws and weights is not DEEP  # deep factors draw their start alone
    if noisy and name in LEARNERS and not LEARNERS[name].one_pass:
        return f"draws noise in every pass, and rule {name!r} asks about a batch more than once."
    return ""


@torch.no_grad()
def outputs_of(net: nn.Module, x: np.ndarray) -> np.ndarray:
    """Return the raw outputs (logits, or standardised predictions) for prepared rows, [rows, outputs] float64.

    Rows go through in blocks; values that are not finite (a diverged network) become 0.

    >>> from sparsefire.train.networks import build
    >>> outputs_of(build({"kind": "mlp", "widths": [4, 3]}), np.zeros((5, 4), "float32")).shape
    (5, 3)
    """
    training = net.training
    net.eval()
    rows = torch.from_numpy(np.ascontiguousarray(x))
    out = (
        torch.cat([net(block).reshape(len(block), -1) for block in rows.split(CHUNK)])
        if len(rows)
        else torch.empty(0, 1)
    )
    net.train(training)
    return np.nan_to_num(out.double().numpy(), nan=0.0, posinf=1e30, neginf=-1e30)


def loss_of(task: str, per_row: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of a task, of the batch or of each row.

    >>> loss_of("regression", per_row=True)(torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 0.0])).tolist()
    [1.0, 9.0]
    """
    if task == "classification":
        return _cross_entropies if per_row else nn.functional.cross_entropy
    reduction = "none" if per_row else "mean"
    return lambda output, target: nn.functional.mse_loss(output.reshape(target.shape), target, reduction=reduction)


def _cross_entropies(output: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy of each row, along the rows where these are short: 6 times faster at 10 classes."""
    if output.ndim != 2 or output.shape[1] >= SHORT:
        return nn.functional.cross_entropy(output, target, reduction="none")
    return nn.functional.nll_loss(nn.functional.log_softmax(output.T.contiguous(), 0).T, target, reduction="none")


def _optimizer(net: nn.Module, training: Training, rule: Rule) -> torch.optim.Optimizer:
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if isinstance(rule, MeZO):
        return ReplaySGD(groups, rule, lr=training.rate)
    return torch.optim.AdamW(groups, lr=training.rate, fused=True)


def schedule(steps: int) -> Callable[[int], float]:
    """Return the factor of the highest rate by step: warm-up over 5% of the steps, then half a cosine to zero.

    >>> [round(schedule(100)(step), 2) for step in (0, 5, 100)]
    [0.17, 1.0, 0.0]
    """
    warm = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))

    return factor


def rule_of(training: Training, rng: Any) -> Rule:
    """Return the rule that a training names, which draws from its own stream of ``rng``.

    Raises:
        UserError: no such rule, or one that does not go with the method.

    >>> type(rule_of(Training(rule="two-query"), 0)).__name__
    'TwoQuery'
    """
    check_rule(training.rule, training.method)
    way = LEARNERS[training.rule]
    return way.make(randomness.integer(rng, "directions"), training.directions or way.directions)


@dataclass(frozen=True)
class _Batches:
    """Row numbers in random order, cut into batches; a last batch of one row, without batch statistics, is left out."""

    rows: int
    size: int

    def __len__(self) -> int:
        full, rest = divmod(self.rows, self.size)
        return max(1, full + (rest > 1))

    def of(self, order: np.random.Generator) -> Iterator[Tensor]:
        blocks = torch.from_numpy(order.permutation(self.rows)).split(self.size)
        yield from blocks[: len(self)]
