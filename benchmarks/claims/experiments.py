"""The claims: what papers say of two arms, and how it is judged here."""

from __future__ import annotations

from dataclasses import replace

from claims.cases import Arm
from claims.parts import Comparison, Experiment, Rise, Share

NEAR = 0.3  # points; about twice the spread of one arm over draws
DENSE = Arm("dense")
ERK = {d: Arm("static", d) for d in (0.2, 0.1, 0.05, 0.02)}
UNIFORM = {d: Arm("static", d, "uniform") for d in (0.2, 0.1)}
RIGL = Arm("rigl", 0.1)
ACDC, GMP = Arm("ac-dc", 0.05, kept=True), Arm("gmp", 0.05, kept=True)
REWOUND = Arm("lrr", 0.1, options=(("prune_rate", 0.44),), epochs=20, kept=True)
INTERVALS = (3, 10, 30, 100, 300, 800)
WRN, RN50, RN20 = "WRN-22-2, CIFAR-10", "ResNet-50, ImageNet", "ResNet-20, CIFAR-10"
NAMES = {"adamw": "AdamW", "sgd": "SGD"}


def random_masks() -> Experiment:
    """Return experiment 5."""
    near = [
        Comparison(arm[d], DENSE, "not worse", f"static {name} − dense at {d:g}", gap, margin)
        for arm, name, d, margin, gap in (
            (UNIFORM, "uniform", 0.2, 2.5, (-2.2, WRN)), (UNIFORM, "uniform", 0.1, 4.5, (-4.3, WRN)),
            (ERK, "ERK", 0.2, 2.5, None), (ERK, "ERK", 0.1, 0.5, None),
        )
    ]  # fmt: skip
    parts = (
        *near,
        Comparison(ERK[0.2], UNIFORM[0.2], "better", "static: ERK − uniform at 0.2", (1.5, RN50)),
        Comparison(ERK[0.1], UNIFORM[0.1], "better", "static: ERK − uniform at 0.1", (1.9, RN50)),
    )
    return Experiment(
        5, "Random masks", "A random mask comes within 2.5 points of the dense network at 80% sparsity and within 4.5 "
        "at 90% (half a point with ERK: a bound of our own for this network); ERK is better than uniform.",
        "arXiv:1911.11134 and reproductions of it.", parts,
    )  # fmt: skip


def shuffled() -> Experiment:
    """Return experiment 7."""
    named = (("snip", "SNIP"), ("grasp", "GraSP"), ("synflow", "SynFlow"))
    return Experiment(
        7, "Shuffled masks", "Of masks found before training, the counts per layer alone matter: shuffled within their "
        "layers they are worth as much.", "arXiv:2009.08576, arXiv:2009.11094.",
        tuple(
            Comparison(Arm(m, d, masks="shuffled"), Arm(m, d), "same", f"{name}: shuffled − as found at {d:g}")
            for m, name in named for d in (0.05, 0.1)
        ),
    )  # fmt: skip


def rewinding(place: str = "mlp", optimizer: str = "adamw") -> Experiment:
    """Return experiment 8."""
    lrr, wr, imp = (
        Arm(method, 0.05, options=(("prune_rate", 0.32),), epochs=27, place=place, optimizer=optimizer)
        for method in ("lrr", "wr", "imp")
    )
    return Experiment(
        8, "Rewinding", "At 95% sparsity: rate rewinding (LRR) ≥ weight rewinding (WR) ≥ iterative pruning (IMP).",
        "arXiv:2402.19262, in figures.",
        (
            Comparison(lrr, wr, "better", "LRR − WR at 0.05"),
            Comparison(wr, imp, "better", "WR − IMP at 0.05"),
            Comparison(lrr, imp, "better", "LRR − IMP at 0.05"),
        ),
    )  # fmt: skip


def coupling() -> Experiment:
    """Return experiment 9."""

    def on(masks: str, weights: str) -> Arm:
        return Arm("cyclic", 0.1, options=(("cycles", 5),), epochs=20, masks=masks, weights=weights, source=REWOUND)

    chance, fresh, signs = on("source shuffled", "own"), on("source", "fresh"), on("source", "early signs")
    return Experiment(
        9, "Masks and weights belong together", "An LRR mask with fresh random weights is no better than a random mask "
        "of the same counts; with the weights of a short warm-up, or their signs alone, it is as good as LRR.",
        "arXiv:2406.02773, in figures.",
        (
            Comparison(fresh, chance, "same", "LRR mask, fresh weights − random mask", None, NEAR),
            Comparison(on("source", "early"), REWOUND, "same", "LRR mask, warm-up weights − LRR", None, NEAR),
            Comparison(signs, REWOUND, "same", "LRR mask, warm-up signs − LRR", None, NEAR),
            Comparison(signs, fresh, "better", "LRR mask: warm-up signs − fresh weights"),
            Comparison(on("source", "own"), fresh, "better", "LRR mask: its first weights − fresh weights"),
        ),
    )  # fmt: skip


def signs() -> Experiment:
    """Return experiment 10, on the masks of two methods."""
    where, parts = f"{RN50}, 90%", []
    for name, source in (("AC/DC", ACDC), ("GMP", GMP)):
        plain = Arm("static", 0.05, masks="source", source=source)
        fresh, signs, sizes, both = (
            replace(plain, weights=words) for words in ("fresh", "learned signs", "learned magnitudes", "learned")
        )
        told = name == "AC/DC"
        parts += [
            Share(signs, fresh, source, "at least", 0.9, f"{name} mask: share closed by learned signs",
                  (1.05, where) if told else None),
            Share(sizes, fresh, source, "at most", 0.15, f"{name} mask: share closed by learned magnitudes",
                  (0.08, where) if told else None),
            Comparison(source, fresh, "better", f"{name} − its mask, fresh weights", (4.08, where) if told else None),
            Comparison(signs, fresh, "better", f"{name} mask: learned signs − fresh", (4.29, where) if told else None),
            Comparison(signs, sizes, "better", f"{name} mask: learned signs − magnitudes",
                       (3.95, where) if told else None),
            Comparison(both, signs, "better", f"{name} mask: both learned − signs"),
        ]  # fmt: skip
    return Experiment(
        10, "Signs and magnitudes", "On a learned mask, learned signs with random magnitudes close the gap to the "
        "method that learned it; learned magnitudes with random signs do not.", "arXiv:2504.12801.", tuple(parts),
    )  # fmt: skip


def sign_in(place: str = "mlp", runs: tuple[tuple[str, float], ...] | None = None) -> Experiment:
    """Return experiment 11, at some densities with some optimizers."""
    published = {0.2: 1.12, 0.1: 1.58, 0.05: 1.18}
    parts: list[Comparison] = []
    for optimizer, d in runs or (("adamw", 0.2), ("adamw", 0.1), ("adamw", 0.05), ("sgd", 0.1), ("sgd", 0.05)):
        plain = Arm("static", d, optimizer=optimizer, place=place)
        with_resets, without = replace(plain, method="sign-in"), replace(plain, method="product")
        end = f"at {d:g}, {NAMES[optimizer]}"
        parts += [
            Comparison(with_resets, plain, "better", f"Sign-In − static {end}", (published[d], RN20)),
            Comparison(with_resets, without, "better", f"Sign-In − without resets {end}"),
        ]
    return Experiment(
        11, "Sign-In", "Weights as products m · w make training on a random mask better; without the resets of their "
        "balance little is left of it.", "arXiv:2504.12801.", tuple(parts),
    )  # fmt: skip


def ham(place: str = "mlp", optimizers: tuple[str, ...] = ("adamw", "sgd")) -> Experiment:
    """Return experiment 12."""
    parts: list[Comparison] = []
    for optimizer in optimizers:
        end = NAMES[optimizer]
        dense = Arm("dense", optimizer=optimizer, place=place)
        other = replace(dense, method="dense+ham")
        parts.append(Comparison(other, dense, "not worse", f"HAM − plain, dense, {end}", (0.79, RN50), NEAR))
        for d, gain, over in ((0.1, 1.16, 0.53), (0.05, 1.33, 0.67)):
            plain = Arm("static", d, optimizer=optimizer, place=place)
            hyperbolic, product = replace(plain, method="static+ham"), replace(plain, method="sign-in")
            parts += [
                Comparison(hyperbolic, plain, "better", f"HAM − static at {d:g}, {end}", (gain, RN50)),
                Comparison(hyperbolic, product, "better", f"HAM − Sign-In at {d:g}, {end}", (over, RN50)),
            ]
    return Experiment(
        12, "HAM", "On a random mask HAM is better than Sign-In, and that than plain training; dense networks are not "
        "worse with it.", "arXiv:2506.02630.", tuple(parts),
    )  # fmt: skip


def cycles(place: str = "mlp", optimizer: str = "adamw") -> Experiment:
    """Return experiment 13."""

    def arm(method: str, density: float, *options: tuple[str, float]) -> Arm:
        return Arm(method, density, options=options, epochs=24, place=place, optimizer=optimizer)

    sculpt, lrr = arm("sculpt", 0.02), arm("lrr", 0.02, ("prune_rate", 0.44))
    return Experiment(
        13, "Cycles", "Four cycles of the schedule are better than a long one on a random 80% mask; at 98% SCULPT is "
        "better than cycles on a random mask, and on ResNet-20 stays below LRR.", "arXiv:2406.02773, in figures.",
        (
            Comparison(arm("cyclic", 0.2), arm("static", 0.2), "better", "four cycles − one schedule at 0.2"),
            Comparison(sculpt, arm("cyclic", 0.02), "better", "SCULPT − cycles at 0.02"),
            Comparison(lrr, sculpt, "better", "LRR − SCULPT at 0.02"),
        ),
    )  # fmt: skip


def ladder() -> Experiment:
    """Return experiment 14."""
    uniform, erk, long = Arm("set", 0.1, "uniform"), Arm("set", 0.1), replace(UNIFORM[0.1], epochs=30)
    twice = f"{WRN}, RigL twice as long"
    return Experiment(
        14, "Masks that move", "At 90%: static < SET < SET with ERK ≤ RigL with ERK < dense; twice the epochs help "
        "RigL, not a static mask; on an MLP at 98% SET beats a static mask.",
        "arXiv:1911.11134 and reproductions of it; arXiv:1707.04780.",
        (
            Comparison(uniform, UNIFORM[0.1], "better", "SET − static, uniform, at 0.1", (2.2, WRN)),
            Comparison(erk, uniform, "better", "SET: ERK − uniform at 0.1", (0.9, WRN)),
            Comparison(RIGL, erk, "better", "RigL − SET, ERK, at 0.1", (0.5, twice)),
            Comparison(DENSE, RIGL, "better", "dense − RigL, ERK, at 0.1", (0.7, twice)),
            Comparison(replace(RIGL, epochs=30), RIGL, "better", "RigL: twice the epochs − once", (0.3, WRN)),
            Comparison(long, UNIFORM[0.1], "same", "static uniform: twice the epochs − once", (0.05, WRN), NEAR),
            Comparison(Arm("set", 0.02), ERK[0.02], "better", "SET − static, ERK, at 0.02"),
        ),
    )  # fmt: skip


def exploration() -> Experiment:
    """Return experiment 15."""
    arms = tuple(Arm("rigl", 0.05, options=(("every", every),)) for every in INTERVALS)
    return Experiment(
        15, "Exploration", "Accuracy rises with the share of weights that were in the mask at any time; masks that "
        "move too often hurt.", "arXiv:2102.02887, in figures.",
        (
            Rise(arms, "explored", "ρ of accuracy and share explored", 0.7),
            Comparison(arms[2], arms[0], "better", f"RigL at 0.05: every {INTERVALS[2]} − every {INTERVALS[0]} steps"),
        ),
    )  # fmt: skip


def alternating() -> Experiment:
    """Return experiment 16."""
    return Experiment(
        16, "AC/DC", "At 95% AC/DC is at least as good as gradual pruning, and its dense twin within a point of dense.",
        "arXiv:2106.12379.",
        (
            Comparison(ACDC, GMP, "better", "AC/DC − GMP at 0.05", (2.5, RN50)),
            Comparison(replace(ACDC, optimizer="sgd"), replace(GMP, optimizer="sgd"), "better",
                       "AC/DC − GMP at 0.05, SGD", (2.5, RN50)),
            Comparison(ACDC, DENSE, "not worse", "dense twin of AC/DC − dense", None, 1.0, ("twin", "accuracy")),
        ),
    )  # fmt: skip


def constant_fan_in() -> Experiment:
    """Return experiment 18."""
    srigl = {d: Arm("srigl", d) for d in (0.2, 0.1, 0.05, 0.02)}
    plain = Arm("srigl", 0.02, options=(("gamma", 0.0),))
    return Experiment(
        18, "Constant fan-in", "SRigL is within half a point of RigL at 90%; at 98% it is worse without ablation; "
        "units die as networks get sparser.", "arXiv:2305.02299, in figures.",
        (
            Comparison(srigl[0.1], RIGL, "same", "SRigL − RigL at 0.1", None, 0.5),
            Comparison(srigl[0.02], plain, "better", "SRigL at 0.02: ablation − none"),
            Comparison(srigl[0.1], srigl[0.02], "better", "live units of SRigL: 0.1 − 0.02", None, 1.0,
                       ("live", "live")),
        ),
        tuple(srigl.values()),
    )  # fmt: skip


EXPERIMENTS = (
    random_masks(), ladder(), alternating(), constant_fan_in(), sign_in(), signs(), shuffled(), ham(), exploration(),
    coupling(), cycles(), rewinding(),
    rewinding("conv", "sgd"), cycles("conv", "sgd"), sign_in("conv", (("sgd", 0.2), ("sgd", 0.1), ("sgd", 0.05))),
    ham("conv", ("sgd",)),
)  # fmt: skip


def all_arms(numbers: set[int] | None = None, places: set[str] | None = None) -> list[Arm]:
    """Return every arm of some experiments once, as they are trained: short ones, long ones, SGD, convnets."""
    chosen = [one for one in EXPERIMENTS if numbers is None or one.number in numbers]
    found = dict.fromkeys(arm for one in chosen for arm in one.arms() if places is None or arm.place in places)
    return sorted(found, key=lambda arm: (arm.place != "mlp", arm.optimizer == "sgd", arm.epochs or 0))
