"""What is compared: ways to train a sparse network, dense at first or with a mask that stays."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: on the page.
        kind: ``"dense"``; ``"pruned"``, which begins with all weights; ``"moving"``, sparse with weights that move;
            ``"fixed"``, one mask before the first step; ``"borrowed"``, which needs another training first and so
            only explains.
        method: what :func:`sparsefire.sparsity.recipe` knows; None where the mask is made by ``mask``.
        layout: None takes the method's own.
        pattern: as of :func:`sparsefire.sparsity.sparsify`.
        first: first weights; ``"own"`` are those of the dense network, masked.
        mask: what the mask comes from beside the method: ``"neighbours"``, ``"orthogonal"``, or another training, see
            :mod:`gap.masks`.
        averaged: whether the weights of the last quarter of the steps are averaged.
        asks: what has to be known, for the page.
    """

    name: str
    kind: str
    method: str | None = None
    layout: str | None = None
    pattern: str | None = None
    first: str = "own"
    mask: str | None = None
    averaged: bool = False
    asks: str = "nothing"


ARMS = (
    Arm("dense", "dense"),
    Arm("gmp", "pruned", "gmp"),
    Arm("lrr", "pruned", "lrr"),
    Arm("one-shot", "pruned", "one-shot"),
    Arm("ac-dc", "pruned", "ac-dc"),
    Arm("gmp+ham", "pruned", "gmp+ham"),
    Arm("gmp, averaged", "pruned", "gmp", averaged=True),
    Arm("gmp within neighbours", "pruned", "gmp", mask="neighbours", asks="where pixels lie"),
    Arm("set", "moving", "set"),
    Arm("rigl", "moving", "rigl"),
    Arm("rigl+fields", "moving", "rigl+fields", asks="inputs without labels"),
    Arm("static", "fixed", "static"),
    Arm("static, uniform", "fixed", "static", "uniform"),
    Arm("static, critical", "fixed", "static", "critical"),
    Arm("static, one fan-in", "fixed", "static", pattern="fan-in"),
    Arm("static, by in-degree", "fixed", "static", first="in-degree"),
    Arm("static, typical", "fixed", "static", first="typical"),
    Arm("static, signs", "fixed", "static", first="signs"),
    Arm("static, orthogonal", "fixed", "static", mask="orthogonal"),
    Arm("static+ham", "fixed", "static+ham"),
    Arm("sign-in", "fixed", "sign-in"),
    Arm("cyclic", "fixed", "cyclic"),
    Arm("static+sam", "fixed", "static+sam"),
    Arm("static, averaged", "fixed", "static", averaged=True),
    Arm("fields", "fixed", "fields", asks="inputs without labels"),
    Arm("fields, one fan-in", "fixed", "fields", pattern="fan-in", asks="inputs without labels"),
    Arm("fields+ham", "fixed", "fields+ham", asks="inputs without labels"),
    Arm("fields+sign-in", "fixed", "fields+sign-in", asks="inputs without labels"),
    Arm("fields, averaged", "fixed", "fields", averaged=True, asks="inputs without labels"),
    Arm("neighbours", "fixed", "static", mask="neighbours", asks="where pixels lie"),
    Arm("snip", "fixed", "snip", asks="inputs with labels"),
    Arm("mask of gmp", "borrowed", "static", mask="gmp"),
    Arm("mask of gmp, shuffled in layers", "borrowed", "static", mask="gmp, layers"),
    Arm("mask of gmp, shuffled in inputs", "borrowed", "static", mask="gmp, inputs"),
    Arm("mask of gmp, shuffled in units", "borrowed", "static", mask="gmp, units"),
    Arm("static, signs of dense", "borrowed", "static", mask="dense signs"),
)
BY_NAME = {arm.name: arm for arm in ARMS}
