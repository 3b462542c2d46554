"""What is trained for the claims: an arm says how, a replicate on which rows; each pair is trained once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from claims.places import PLACES, TUNING, split
from claims.training import Plan, train
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.sparsity import Recipe, recipe
from sparsefire.sparsity.parameterisation import Parameterisation
from sparsefire.sparsity.parameterisation.product import Product
from sparsefire.sparsity.topology.ac_dc import ACDC
from sparsefire.train.loop import outputs_of

RATES = {"adamw": (3e-3, 1e-2, 3e-2), "sgd": (3e-2, 1e-1, 3e-1)}
ALPHAS = (20.0, 200.0)
TICKETS = Path(__file__).resolve().parents[1] / "results" / "published" / "tickets"
FRESH = 1000  # added to the number of a replicate for weights of another draw


@dataclass(frozen=True)
class Arm:
    """One way to a trained network.

    Attributes:
        method: ``"dense"``, a method of the package, or ``"product"``, Sign-In without resets; ``"+ham"`` behind it
            for HAM.
        density, layout, options: of the method.
        epochs: None takes those of the place.
        optimizer: ``"adamw"`` or ``"sgd"``.
        masks: the method's ``"own"``, these ``"shuffled"`` within layers, those of the trained ``"source"``, or
            ``"source shuffled"``.
        weights: where training starts: the ``"own"`` first ones, which a source started with too; ``"fresh"`` ones;
            the source's ``"early"`` ones, after its first epoch; ``"early signs"`` or ``"learned signs"`` with fresh
            magnitudes; ``"learned magnitudes"`` with fresh signs; or ``"learned"``.
        source: an arm whose networks give masks or weights.
        kept: whether its networks are stored, for others to start from.
        place: a name in ``PLACES``.
    """

    method: str
    density: float = 1.0
    layout: str | None = None
    options: tuple[tuple[str, float], ...] = ()
    epochs: int | None = None
    optimizer: str = "adamw"
    masks: str = "own"
    weights: str = "own"
    source: Arm | None = None
    kept: bool = False
    place: str = "mlp"

    @property
    def key(self) -> str:
        """Return what tells it from others: all that is not left to its default."""
        return json.dumps(_plain(self), sort_keys=True)

    @property
    def tuned(self) -> Arm:
        """Return the arm on which its rate is chosen: shuffled masks and intervals take that of the plain method."""
        options = tuple(pair for pair in self.options if pair[0] != "every")
        return replace(self, masks="own" if self.masks == "shuffled" else self.masks, options=options)


def _plain(arm: Arm) -> dict[str, Any]:
    found = {}
    for one in fields(arm):
        value = getattr(arm, one.name)
        if value != one.default and one.name != "kept":  # storing it changes nothing
            found[one.name] = _plain(value) if isinstance(value, Arm) else value
    return found


@dataclass(frozen=True)
class Choice:
    """What was best on the tuning rows."""

    rate: float
    alpha: float | None = None


Choices = Mapping[str, Choice]


def run(arm: Arm, replicates: list[int], known: Choices) -> list[dict[str, Any]]:
    """Return the record of the choice, if it is not known, and one for each replicate."""
    found = []
    if arm.tuned.key not in known:
        choice, tried = best(arm.tuned, tuple(known.items()))
        found.append({"arm": arm.tuned.key, "choice": asdict(choice), "tried": tried})
        known = {**known, arm.tuned.key: choice}
    for replicate in replicates:
        began = time.process_time()
        outcome = trained(arm, replicate, known[arm.tuned.key], known)
        spent = round(time.process_time() - began, 2)
        found.append({"arm": arm.key, "replicate": replicate, **outcome, "seconds": spent})
    return found


@lru_cache
def best(arm: Arm, known: tuple[tuple[str, Choice], ...]) -> tuple[Choice, dict[str, float]]:
    """Return the best rate (and α of HAM) on training rows of a draw of their own, and what each was worth."""
    alphas = ALPHAS if arm.method.endswith("+ham") else (None,)
    tried = {}
    for rate in RATES[arm.optimizer]:
        for alpha in alphas:
            choice = Choice(rate, alpha)
            tried[choice] = trained(arm, TUNING, choice, dict(known), inner=True)["accuracy"]
    told = {f"{one.rate:g} {one.alpha or ''}".strip(): accuracy for one, accuracy in tried.items()}
    return max(tried, key=lambda one: tried[one]), told


def trained(arm: Arm, replicate: int, choice: Choice, known: Choices, inner: bool = False) -> dict[str, Any]:
    """Train one network, judge it on rows it has not seen, and say what became of its weights."""
    x, y, test, truth = split(arm.place, replicate, inner)
    net = PLACES[arm.place].network(replicate)
    ticket = None if arm.source is None else ticket_of(arm.source, replicate, known)
    begin_(net, arm, replicate, ticket)
    first = {name: weight.clone() for name, weight in weights_of(net).items()}
    look = Look(test, truth, len(x), PLACES[arm.place].batch)
    given = None if arm.masks == "own" else chosen_masks(arm, replicate, ticket)
    kept = train(net, x, y, plan_of(arm, choice), rng=replicate, given=given, look=look)
    if not inner:
        keep_ticket(arm, replicate, net, kept, look.early)
    flipped = sum(int((weight * first[name] < 0).sum()) for name, weight in weights_of(net).items())
    total = sum(int(mask.sum()) for mask in kept.values())
    return {
        "accuracy": float((outputs_of(net, test).argmax(1) == truth).mean()),
        "weights": total,
        "flipped": flipped / total,
        **units(list(kept.values())),
        **look.found(),
        "rate": choice.rate,
        "alpha": choice.alpha,
    }


def plan_of(arm: Arm, choice: Choice) -> Plan:
    """Return how an arm is trained."""
    place, method = PLACES[arm.place], arm.method.removesuffix("+ham")
    epochs = place.epochs if arm.epochs is None else arm.epochs
    chosen: Recipe | None = None
    if method == "product":
        plain = Parameterisation("product", Product)
        chosen = Recipe("product", "Sign-In without resets", "arXiv:2504.12801", parameterisation=plain)
    elif method != "dense":
        chosen = recipe(method, **{name: int(v) if v == int(v) else v for name, v in arm.options})
    return Plan(chosen, arm.density, arm.layout, arm.optimizer, choice.rate, choice.alpha, epochs, place.batch)


@torch.no_grad()
def begin_(net: nn.Module, arm: Arm, replicate: int, ticket: dict[str, Any] | None) -> None:
    """Give a network the weights its training starts with."""
    if arm.weights == "own":
        return
    fresh = weights_of(PLACES[arm.place].network(FRESH + replicate))
    if arm.weights == "early":
        assert ticket is not None
        net.load_state_dict(ticket["early"])
        return
    for name, layer in masks.layers(net).items():
        weight = fresh[name]
        if arm.weights != "fresh":
            assert ticket is not None
            own = f"{name}.weight"
            theirs = ticket["early" if arm.weights.startswith("early") else "last"][own]
            sign = torch.where(theirs == 0, weight.sign(), theirs.sign())
            weight = {
                "signs": weight.abs() * sign,
                "magnitudes": weight.sign() * theirs.abs(),
                "learned": theirs,
            }[arm.weights.split()[-1]]
        masks.write_weight_(layer, weight)


def chosen_masks(arm: Arm, replicate: int, ticket: dict[str, Any] | None) -> Callable[[dict[str, Tensor]], Any]:
    """Return what makes the masks of an arm out of those its method has."""

    def made(own: dict[str, Tensor]) -> dict[str, Tensor]:
        if arm.masks.startswith("source"):
            assert ticket is not None
            own = ticket["masks"]
        if arm.masks.endswith("shuffled"):
            own = {name: shuffled(mask, replicate, name) for name, mask in own.items()}
        return own

    return made


def shuffled(mask: Tensor, replicate: int, name: str) -> Tensor:
    """Return a mask of the same count at random places."""
    order = randomness.stream(replicate, f"shuffle {name}").permutation(mask.numel())
    return mask.flatten()[torch.from_numpy(order)].view(mask.shape)


def ticket_of(arm: Arm, replicate: int, known: Choices) -> dict[str, Any]:
    """Return what is left of a trained network, training it if it is not stored."""
    path = ticket_path(arm, replicate)
    if not path.exists():
        choice = known[arm.tuned.key] if arm.tuned.key in known else best(arm.tuned, tuple(known.items()))[0]
        trained(arm, replicate, choice, known)
    return torch.load(path, weights_only=True)


def keep_ticket(arm: Arm, replicate: int, net: nn.Module, kept: dict[str, Tensor], early: Any) -> None:
    """Store a trained network that other arms start from."""
    if arm.kept:
        TICKETS.mkdir(parents=True, exist_ok=True)
        last = {name: value.clone() for name, value in net.state_dict().items()}
        torch.save({"last": last, "masks": kept, "early": early}, ticket_path(arm, replicate))


def ticket_path(arm: Arm, replicate: int) -> Path:
    """Return where a trained network lies."""
    words = [arm.place, arm.method, f"{arm.density:g}", arm.optimizer, *[f"{k}{v:g}" for k, v in arm.options]]
    return TICKETS / f"{'-'.join(words)}-{arm.epochs or 'all'}-{replicate}.pt"


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """Return the weights of all layers that can be masked."""
    return {name: layer.weight.detach() for name, layer in masks.layers(net).items()}  # type: ignore[operator]


def units(kept: list[Tensor]) -> dict[str, Any]:
    """Return the share of hidden units that have an incoming weight, and whether those of a layer have as many."""
    counts = [mask.flatten(1).sum(1) for mask in kept]
    hidden = torch.cat(counts[:-1])
    even = all(len(count[count > 0].unique()) <= 1 for count in counts)
    return {"live": float((hidden > 0).double().mean()), "even": even}


class Look:
    """What is seen while a network trains: the weights ever in a mask, the dense twin of AC/DC, early weights."""

    def __init__(self, test: np.ndarray, truth: np.ndarray, rows: int, batch: int) -> None:
        self.test, self.truth = test, truth
        self.epoch = rows // batch + (rows % batch > 1)
        self.early: dict[str, Tensor] | None = None
        self.ever: list[Tensor] = []
        self.twin: float | None = None

    def __call__(self, step: int, net: nn.Module, topology: Any) -> None:
        """Look once, after the optimizer and before masks move."""
        if topology is None:
            return
        if step == self.epoch:
            self.early = masks.dense_state_dict(net)
        if isinstance(topology, ACDC) and step == topology.turns[-1]:
            self.twin = float((outputs_of(net, self.test).argmax(1) == self.truth).mean())
            net.train()
        if hasattr(topology, "moves"):
            present = list(masks.masks(net).values())
            self.ever = [a | b for a, b in zip(present, self.ever or present, strict=True)]

    def found(self) -> dict[str, Any]:
        """Return what there is to tell."""
        seen = {}
        if self.ever:
            seen["explored"] = sum(int(e.sum()) for e in self.ever) / sum(e.numel() for e in self.ever)
        return seen if self.twin is None else {**seen, "twin": self.twin}
