"""Networks on handwritten digits: settings are chosen on inner splits, then fresh replicates are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from noise.arms import ARMS, BY_NAME, PLAIN, SPRED
from noise.networks import accuracy, largest, layers, train
from noise.regression import key_of
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

Record = dict[str, Any]
WIDTHS, EPOCHS, BATCH = [64, 100, 10], 60, 64
RATES = (("adam", 3e-3), ("adam", 1e-2), ("sgd", 0.03), ("sgd", 0.1), ("sgd", 0.3))
REPLICATES, INNER = tuple(range(10)), tuple(range(101, 104))
KEPT = (0.2, 0.1, 0.05)
THRESHOLDS = (1e-2, 1e-3)
POINTS = (0.01, 0.03)
"""How far below the plain network spred may be where its strength is chosen."""
CLOSE = 0.01
"""How far below spred the other arms may be."""
DROPS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12)
"""Accuracies below plain at which the picture shows the sparsest settings."""


@dataclass(frozen=True)
class Setting:
    """What is chosen for an arm: strength, floor of the curvature, optimizer and rate; ``times`` the epochs."""

    arm: str
    strength: float
    floor: float
    how: str
    rate: float
    times: int = 1


@dataclass(frozen=True)
class Digits:
    """Trainings at once: settings of one arm with one optimizer, rate and length, each on some replicates."""

    settings: tuple[Setting, ...]
    replicates: tuple[int, ...]
    inner: bool


@lru_cache
def rows_of(replicate: int, inner: bool) -> tuple[Tensor, ...]:
    """Return inputs in [0, 1] and classes to train on and to judge on; inner rows are part of those to train on."""
    x, y = load_digits(return_X_y=True)
    x, tx, y, ty = train_test_split(x / 16, y, test_size=0.25, random_state=replicate, stratify=y)
    if inner:
        x, tx, y, ty = train_test_split(x, y, test_size=0.2, random_state=7, stratify=y)
    kinds = ("f4", "i8") * 2
    return tuple(torch.from_numpy(p.astype(kind)) for p, kind in zip((x, y, tx, ty), kinds, strict=True))


def grid(arm: str) -> list[Setting]:
    """Return the settings that are tried."""
    of = BY_NAME[arm]
    return [Setting(arm, s, f, how, rate) for how, rate in RATES for f in of.floors for s in of.strengths]


def run(piece: Digits) -> list[Record]:
    """Train, and return one record for each setting and replicate."""
    settings, numbers = piece.settings, piece.replicates
    one = settings[0]
    arm, how, rate, epochs = BY_NAME[one.arm], one.how, one.rate, EPOCHS * one.times
    x, y, tx, ty = (torch.stack(parts) for parts in zip(*(rows_of(n, piece.inner) for n in numbers), strict=True))
    each = len(numbers)
    strengths, floors = (
        torch.tensor([getattr(one, name) for one in settings]).repeat_interleave(each) for name in ("strength", "floor")
    )
    net = layers(arm, WIDTHS, strengths, floors, list(numbers) * len(settings))
    orders = [torch.Generator().manual_seed(key_of("order", number)) for number in numbers]
    noise = torch.Generator().manual_seed(key_of("digits", str(settings), str(numbers)))
    train(net, x, y, how=how, rate=rate, epochs=epochs, batch=BATCH, orders=orders, numbers=noise)
    found = measured([layer.theta.detach() for layer in net], [layer.bias.detach() for layer in net], tx, ty)
    return [
        {"piece": "digits", **asdict(one), "replicate": number, "inner": piece.inner}
        | {name: values[each * i + j] for name, values in found.items()}
        for i, one in enumerate(settings) for j, number in enumerate(numbers)
    ]  # fmt: skip


def measured(weights: list[Tensor], biases: list[Tensor], x: Tensor, y: Tensor) -> dict[str, list[float]]:
    """Return accuracy, density beyond thresholds, the ℓ1 norm, and accuracy of the largest weights alone.

    What diverged counts as dense.
    """
    sizes = torch.cat([weight.flatten(1).abs() for weight in weights], 1)
    found = {"accuracy": accuracy(weights, biases, x, y), "l1": sizes.sum(1).nan_to_num()}
    found |= {f"density {t:g}": (~(sizes <= t)).float().mean(1) for t in THRESHOLDS}
    found |= {f"kept {share:g}": accuracy(largest(weights, share), biases, x, y) for share in KEPT}
    return {name: values.double().tolist() for name, values in found.items()}


def means(found: Sequence[Record], inner: bool) -> dict[Setting, dict[str, float]]:
    """Return the mean of every number over replicates, by setting."""
    groups: dict[Setting, list[Record]] = {}
    for record in found:
        if record["piece"] == "digits" and record["inner"] is inner:
            groups.setdefault(setting_of(record), []).append(record)
    names = ["accuracy", "l1", *(f"density {t:g}" for t in THRESHOLDS), *(f"kept {share:g}" for share in KEPT)]
    return {one: {name: float(np.mean([r[name] for r in rows])) for name in names} for one, rows in groups.items()}


def setting_of(record: Record) -> Setting:
    """Return the setting of a record."""
    return Setting(*(record[name] for name in ("arm", "strength", "floor", "how", "rate", "times")))


def chosen(found: Sequence[Record]) -> dict[str, dict[str, Setting]]:
    """Return, by aim and arm, the setting that the inner splits choose.

    Aims: ``"kept s"``, the best accuracy of the largest weights alone; ``"points p"``, the fewest weights beyond 0.01
    with an accuracy at most p below plain for spred, and at most one point below that of spred for the others;
    ``"accuracy"``, the best one.
    """
    inner = means(found, True)
    by_arm = {arm.name: [one for one in inner if one.arm == arm.name and one.times == 1] for arm in ARMS}
    by_arm = {name: settings for name, settings in by_arm.items() if settings}
    best = lambda name: {a: max(s, key=lambda one: inner[one][name]) for a, s in by_arm.items()}  # noqa: E731
    aims = {"accuracy": best("accuracy")} | {f"kept {share:g}": best(f"kept {share:g}") for share in KEPT}
    for points in POINTS if SPRED in by_arm and PLAIN in by_arm else ():
        level = inner[aims["accuracy"][PLAIN]]["accuracy"] - points
        first = _sparsest(by_arm[SPRED], inner, level)
        level = inner[first]["accuracy"] - CLOSE
        aims[f"points {points:g}"] = {a: _sparsest(s, inner, level) for a, s in by_arm.items()} | {SPRED: first}
    return aims


def frontier(found: Sequence[Record]) -> list[Setting]:
    """Return, for each arm and each of some accuracies below plain, the sparsest setting that has it."""
    inner = means(found, True)
    plain = max(values["accuracy"] for one, values in inner.items() if one.arm == PLAIN)
    by_arm = {arm.name: [one for one in inner if one.arm == arm.name] for arm in ARMS}
    best = [_sparsest(settings, inner, plain - drop) for settings in by_arm.values() if settings for drop in DROPS]
    return list(dict.fromkeys(best))


def _sparsest(settings: list[Setting], inner: dict[Setting, dict[str, float]], level: float) -> Setting:
    fine = [one for one in settings if inner[one]["accuracy"] >= level]
    if not fine:  # none is good enough: the best there is
        return max(settings, key=lambda one: inner[one]["accuracy"])
    return min(fine, key=lambda one: inner[one]["density 0.01"])
