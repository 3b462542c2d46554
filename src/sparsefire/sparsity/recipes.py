"""Recipes: a method is a choice of parts, so methods combine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sparsefire.errors import UserError
from sparsefire.sparsity.amounts import LAYOUTS
from sparsefire.sparsity.noise import NOISY_PRODUCT, NOISY_WEIGHT, SteeredNoise
from sparsefire.sparsity.parameterisation import Parameterisation, choices
from sparsefire.sparsity.parameterisation.product import Product, SignIn
from sparsefire.sparsity.scores import SCORES
from sparsefire.sparsity.steps import DecayOff, HyperbolicStep, SecondPass
from sparsefire.sparsity.topology.ac_dc import ACDC
from sparsefire.sparsity.topology.base import Control, Topology
from sparsefire.sparsity.topology.cht import CHTs
from sparsefire.sparsity.topology.gradual import Following, Gradual
from sparsefire.sparsity.topology.levels import (
    Cyclic,
    IterativeMagnitude,
    LearningRateRewinding,
    Sculpt,
    WeightRewinding,
)
from sparsefire.sparsity.topology.moving import SET, RigL
from sparsefire.sparsity.topology.one_shot import OneShot
from sparsefire.sparsity.topology.srigl import SRigL
from sparsefire.sparsity.topology.steered import Raised, Selecting, Steered, TopK

BEFORE, DURING, AFTER = "before training", "during training", "after training"
_PARTS = ("layout", "score", "pattern", "topology", "parameterisation")


@dataclass(frozen=True)
class Recipe:
    """One way to a small network: a choice of parts; a part that is None is left to its default.

    Attributes:
        name: as spelled in Python and on the command line.
        title: what people call it.
        source: the paper.
        stage: of the pipeline in which weights go: before, during or after training.
        layout: how density is shared out over layers; by default ``"erk"``, or ``"global"`` where weights are ranked.
        score: which weight goes; by default random for sparse starts, magnitude for what is pruned later.
        pattern: which sets of weights may stay; by default any.
        topology: when masks move and what grows back; by default they stay.
        options: further arguments of the topology.
        parameterisation: what a weight is made of; by default it is trained itself.
        optimizer_steps: changes of the optimizer's step, attached to it; by default none.
        memory: weights (and gradients) held while training: ``"sparse"`` ones alone or ``"dense"``.

    >>> recipe("rigl+sign-in").parameterisation.name, recipe("rigl+sign-in").ranks
    ('product', False)
    """

    name: str
    title: str
    source: str
    stage: str = DURING
    layout: str | None = None
    score: str | None = None
    pattern: str | None = None
    topology: type[Topology] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    parameterisation: Parameterisation | None = None
    optimizer_steps: tuple[type[Control], ...] = ()
    memory: str = "sparse"

    @property
    def moves(self) -> type[Topology]:
        """Return the class of the topology, the static one by default."""
        return self.topology or Topology

    @property
    def ranks(self) -> bool:
        """Say whether weights are ranked by more than chance, so that layers may be ranked together."""
        return self.moves.dense or not SCORES[self.score or "random"].chance

    @property
    def own_layout(self) -> str:
        """Return the layout used when none is asked for."""
        if self.layout is None and ":" in (self.pattern or ""):
            return "uniform"  # n of every m
        return self.layout or ("global" if self.ranks else "erk")

    @property
    def own_score(self) -> str:
        """Return the score that ranks weights."""
        return self.score or ("magnitude" if self.moves.dense else "random")

    @property
    def layouts(self) -> list[str]:
        """Return the layouts that can be asked for."""
        return [*LAYOUTS, *(["global"] if self.ranks else [])]

    @property
    def needs(self) -> frozenset[str]:
        """Return what ``sparsify`` must be given, and whether dense gradients are asked for."""
        found = set(self.moves.needs)
        if self.parameterisation is not None:
            found |= {"optimizer"} | self.parameterisation.needs
        found |= SCORES[self.own_score].needs
        for step in self.optimizer_steps:
            found |= {"optimizer"} | step.needs
        return frozenset(found)


SIGN_IN = Parameterisation("product", Product, SignIn, frozenset({"steps"}))

METHODS: dict[str, Recipe] = {
    one.name: one
    for one in (
        Recipe("static", "random mask", "arXiv:2210.02412", BEFORE),
        Recipe("fields", "receptive fields", "this package", BEFORE, score="fields"),
        Recipe("snip", "SNIP", "arXiv:1810.02340", BEFORE, score="snip"),
        Recipe("grasp", "GraSP", "arXiv:2002.07376", BEFORE, score="grasp"),
        Recipe("synflow", "SynFlow", "arXiv:2006.05467", BEFORE, score="synflow"),
        Recipe("cyclic", "cyclic training", "arXiv:2406.02773", BEFORE, topology=Cyclic),
        Recipe("sculpt", "SCULPT-ing", "arXiv:2406.02773", DURING, topology=Sculpt),
        Recipe("sign-in", "Sign-In", "arXiv:2504.12801", BEFORE, parameterisation=SIGN_IN),
        Recipe("gmp", "gradual pruning", "arXiv:1710.01878", DURING, topology=Gradual, memory="dense"),
        Recipe(
            "powerprop",
            "powerpropagation",
            "arXiv:2110.00296",
            DURING,
            parameterisation=choices.POWER,
            topology=Following,
            memory="dense",
        ),
        Recipe(
            "top-k",
            "straight-through top-k",
            "arXiv:2006.07253",
            DURING,
            "erk",
            "magnitude",
            topology=TopK,
            parameterisation=choices.STRAIGHT,
            memory="dense",
        ),
        Recipe(
            "spred",
            "spred",
            "arXiv:2210.01212",
            DURING,
            topology=Steered,
            parameterisation=choices.SPRED,
            memory="dense",
        ),
        Recipe(
            "pilot",
            "PILoT",
            "arXiv:2408.09966",
            DURING,
            topology=Steered,
            parameterisation=choices.PILOT,
            memory="dense",
        ),
        Recipe(
            "deep",
            "deep factors",
            "arXiv:2502.02496",
            DURING,
            topology=Steered,
            parameterisation=choices.DEEP,
            memory="dense",
        ),
        Recipe(
            "str",
            "soft threshold",
            "arXiv:2002.03231",
            DURING,
            topology=Raised,
            parameterisation=choices.SOFT,
            memory="dense",
        ),
        Recipe(
            "continuous",
            "continuous sparsification",
            "arXiv:1912.04427",
            DURING,
            topology=Steered,
            parameterisation=choices.ANNEALED,
            memory="dense",
        ),
        Recipe(
            "l0",
            "hard concrete",
            "arXiv:1712.01312",
            DURING,
            topology=Steered,
            parameterisation=choices.HARD_CONCRETE,
            memory="dense",
        ),
        Recipe(
            "gates",
            "stochastic gates",
            "arXiv:1810.04247",
            DURING,
            topology=Selecting,
            parameterisation=choices.INPUT_GATES,
            memory="dense",
        ),
        Recipe("ham", "HAM", "arXiv:2506.02630", BEFORE, optimizer_steps=(HyperbolicStep,)),
        Recipe("sam", "SAM", "arXiv:2010.01412", BEFORE, optimizer_steps=(SecondPass,)),
        Recipe("decay-off", "decay switch-off", "arXiv:2504.12883", BEFORE, optimizer_steps=(DecayOff,)),
        Recipe("set", "SET", "arXiv:1707.04780", DURING, topology=SET),
        Recipe("rigl", "RigL", "arXiv:1911.11134", DURING, topology=RigL),
        Recipe("srigl", "SRigL", "arXiv:2305.02299", DURING, pattern="fan-in", topology=SRigL),
        Recipe("chts", "CHTs", "arXiv:2501.19107", DURING, topology=CHTs),
        Recipe("one-shot", "one-shot pruning", "arXiv:1506.02626", DURING, topology=OneShot, memory="dense"),
        Recipe("taylor", "Taylor", "arXiv:1906.10771", AFTER, score="taylor", topology=OneShot, memory="dense"),
        Recipe(
            "wanda", "Wanda", "arXiv:2306.11695", AFTER, "uniform", "wanda", "fan-in", topology=OneShot, memory="dense"
        ),
        Recipe("obc", "optimal brain", "arXiv:2208.11580", AFTER, "erk", "obc", topology=OneShot, memory="dense"),
        Recipe("ac-dc", "AC/DC", "arXiv:2106.12379", DURING, topology=ACDC, memory="dense"),
        Recipe(
            "synaptic-noise",
            "synaptic noise",
            "arXiv:2206.04613",
            DURING,
            topology=SteeredNoise,
            parameterisation=NOISY_PRODUCT,
            memory="dense",
        ),
        Recipe(
            "poisson-noise",
            "Poisson noise",
            "arXiv:2206.04613",
            DURING,
            topology=SteeredNoise,
            parameterisation=NOISY_WEIGHT,
            memory="dense",
        ),
        Recipe("lrr", "rate rewinding", "arXiv:2003.02389", DURING, topology=LearningRateRewinding, memory="dense"),
        Recipe("wr", "weight rewinding", "arXiv:1912.05671", DURING, topology=WeightRewinding, memory="dense"),
        Recipe("imp", "iterative pruning", "arXiv:1803.03635", DURING, topology=IterativeMagnitude, memory="dense"),
    )
}


def recipe(method: str | Recipe, **options: Any) -> Recipe:
    """Return a recipe by name; names joined by ``+`` combine their parts.

    Args:
        method: a name in :func:`~sparsefire.sparsity.list_methods`, such as ``"rigl"``, several joined by ``+``, such
            as ``"rigl+sign-in"``, or a recipe.
        options: further arguments of the topology, such as ``share=0.5``.

    Raises:
        UserError: an unknown name, or two methods that disagree about a part.

    >>> recipe("lrr+sign-in").name
    'lrr+sign-in'
    >>> recipe("rigl", share=0.5).options
    {'share': 0.5}
    """
    if isinstance(method, Recipe):
        found = method
    else:
        names = str(method).split("+")
        for name in names:
            if name not in METHODS:
                raise UserError(
                    f"there is no method {name!r}.",
                    came=repr(method),
                    expected=f"one of {', '.join(METHODS)}; or several joined by +, such as rigl+sign-in",
                )
        found = METHODS[names[0]]
        for name in names[1:]:
            found = combine(found, METHODS[name])
    return replace(found, options={**found.options, **options}) if options else found


def combine(first: Recipe, second: Recipe) -> Recipe:
    """Return a recipe with the parts of both.

    Raises:
        UserError: both choose the same part, differently.
    """
    parts: dict[str, Any] = {}
    for name in _PARTS:
        one, two = getattr(first, name), getattr(second, name)
        if name == "topology" and one is not None and two is not None and one.yields != two.yields:
            one, two = (two, None) if one.yields else (one, None)
        if one is not None and two is not None and one != two:
            raise UserError(
                f"{first.name} and {second.name} both decide the {name}.",
                came=f"{first.name}+{second.name}",
                expected="methods that differ in other parts; list_methods() shows the parts of each",
            )
        parts[name] = one if one is not None else two
    stages = (BEFORE, DURING, AFTER)
    return Recipe(
        name=f"{first.name}+{second.name}",
        title=f"{first.title} with {second.title}",
        source=f"{first.source}, {second.source}",
        stage=max(first.stage, second.stage, key=stages.index),
        options={**first.options, **second.options},
        optimizer_steps=tuple(dict.fromkeys((*first.optimizer_steps, *second.optimizer_steps))),
        memory="dense" if "dense" in (first.memory, second.memory) else "sparse",
        **parts,
    )
