"""The Python front door: :func:`fit`, and two scikit-learn estimators."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from sparsefire.data import Preparation, Problem, open_problem, problem_from_arrays
from sparsefire.data.read_arrays import standard_inputs
from sparsefire.deploy import Model, load_model
from sparsefire.deploy.model import probabilities
from sparsefire.errors import UserError
from sparsefire.report import write_report
from sparsefire.search.candidates import Candidate, architecture, check_methods, describe
from sparsefire.search.plan import Size, make_plan
from sparsefire.search.request import Request
from sparsefire.search.search import search
from sparsefire.search.worker import Listener
from sparsefire.train import build, outputs_of, train, weight_count
from sparsefire.train.networks import NAMES, PERCEPTRONS, Factory, first_line


@dataclass(frozen=True)
class Result:
    """What :func:`fit` found.

    Attributes:
        verdict: the dictionary of ``verdict.json``.
        model: the network handed over, with ``predict`` and ``predict_proba`` for raw rows.
        folder: where everything was written, None if nowhere.
        report: the page, None if nothing was written.
    """

    verdict: dict[str, Any]
    model: Model
    folder: Path | None
    report: Path | None

    def __str__(self) -> str:
        return str(self.verdict["headline"])


def fit(
    X: Any,
    y: Any = None,
    *,
    target: str | None = None,
    cluster: Any = None,
    time: Any = None,
    site: Any = None,
    group: Any = None,
    task: str | None = None,
    score: str | None = None,
    effort: str = "standard",
    methods: Sequence[str] | None = None,
    densities: Sequence[float] | None = None,
    margin: float | None = None,
    retain: float | None = None,
    folds: int | None = None,
    rounds: int | None = None,
    epochs: int | None = None,
    level: float = 0.05,
    rule: str = "backprop",
    layout: str | None = None,
    init: str = "own",
    model: str | Factory | nn.Module = "mlp",
    hidden: Sequence[int] | None = None,
    rng: Any = 0,
    workers: int | None = None,
    out: str | os.PathLike[str] | None = None,
    listen: Listener | None = None,
) -> Result:
    """Find the smallest network that is not worse than the dense one, with the evidence.

    Args:
        X: a table (pandas, polars), an array, or with ``y=None`` a path or the name of a data set.
        y: one value per row, or None when ``target`` names a column.
        target: column to predict where ``y`` is None, else what ``y`` is called.
        cluster, time, site, group: columns of the table, or one value per row; see
            :func:`sparsefire.data.open_problem`.
        task, score: what is detected otherwise.
        effort: ``"quick"``, ``"standard"`` or ``"thorough"``; sets what is not given below.
        methods, densities: see :func:`sparsefire.list_methods`; densities are shares of the dense network's weights.
        margin: loss allowed in units of the score (0.01 is one point of accuracy); or ``retain``, the share of dense's
            gain over a constant that must stay.
        folds, rounds, epochs, level: K, M, passes over the rows, error level of the selection and of the test.
        rule: how networks learn, such as ``"backprop"``, ``"unit-differences"`` or ``"node-perturbation"``; see
            :data:`sparsefire.train.learners.LEARNERS`.
        layout: how methods share out the density over layers, such as ``"erk"`` or ``"critical"``; None for their own.
        init: first weights of every network: ``"own"``, ``"he"``, ``"in-degree"``, ``"signs"``, ``"typical"`` or
            ``"typical-signs"``; see :mod:`sparsefire.propagation.init`.
        model: ``"mlp"``, ``"spiking"``, ``"cnn"``, ``"package.module:factory"``, a callable ``factory(shape, outputs)``
            or an ``nn.Module`` whose copies are initialised afresh for every run, by the ``reset_parameters`` of its
            parts.
        hidden: widths of the hidden layers.
        rng: with an int, the result is the same on the same machine whatever ``workers``.
        workers: processes with one thread each; all cores by default.
        out: folder for the model, the runs and the report; None keeps only what is returned.
        listen: called with events while it runs.

    Raises:
        UserError: wrong data, names or settings; nothing is written then.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> small = {"densities": [0.2], "folds": 2, "rounds": 2, "epochs": 2, "hidden": [8]}
    >>> result = fit(X, y, effort="quick", margin=0.3, workers=1, **small)
    >>> result.model.predict(X[:1]).shape
    (1,)
    """
    name, factory = _factory(model)
    request = Request(
        effort=effort, methods=methods, densities=densities, margin=margin, retain=retain, folds=folds, rounds=rounds,
        epochs=epochs, level=level, rule=rule, layout=layout, init=init,
        model=name, hidden=hidden, rng=rng,
    )  # fmt: skip
    problem = _problem(X, y, target, cluster, time, site, group, task, score)
    if out is not None:
        return fit_problem(problem, request, out, workers=workers, factory=factory, listen=listen)
    with tempfile.TemporaryDirectory(prefix="sparsefire-") as folder:
        verdict = search(problem, request, folder, workers=workers, factory=factory, listen=listen)
        return Result(verdict, load_model(folder, factory=factory), None, None)


def fit_problem(
    problem: Problem,
    request: Request,
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    factory: Factory | nn.Module | None = None,
    listen: Listener | None = None,
) -> Result:
    """Search, write the folder with its report, and load the model back as a user would."""
    folder = Path(out)
    verdict = search(problem, request, folder, workers=workers, factory=factory, listen=listen)
    report = write_report(folder)
    return Result(verdict, load_model(folder, factory=factory), folder, report)


def resolve_factory(name: str) -> Factory:
    """Import ``package.module:factory``, because the caller named it.

    >>> resolve_factory("torch.nn:Identity").__name__
    'Identity'
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise UserError(
            f"there is no model {name!r}.", came=name, expected="mlp, spiking, cnn or package.module:factory"
        )
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # a module beside the data, as python -m would find it
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # whatever the user's own code does when it is imported
        raise UserError(
            f"the model {name!r} cannot be imported.",
            came=first_line(error),
            expected="a module that python finds from here, and a function in it",
        ) from error
    if not callable(found):
        raise UserError(f"{name!r} cannot be called.", came=type(found).__name__, expected="factory(shape, outputs)")
    return found


def _factory(model: str | Factory | nn.Module) -> tuple[str, Factory | nn.Module | None]:
    if isinstance(model, str):
        return model, None if model in NAMES else resolve_factory(model)
    if isinstance(model, nn.Module):
        return f"a copy of {type(model).__name__}", model
    if callable(model):
        return f"{getattr(model, '__module__', '?')}:{getattr(model, '__qualname__', type(model).__name__)}", model
    raise UserError(
        "model is no network.", came=type(model).__name__, expected="mlp, spiking, cnn, a factory or an nn.Module"
    )


def _problem(
    X: Any, y: Any, target: str | None, cluster: Any, time: Any, site: Any, group: Any, task: Any, score: Any
) -> Problem:
    if y is None:
        return open_problem(
            X, target=target, cluster=cluster, time=time, site=site, group=group, task=task, score=score
        )
    return problem_from_arrays(
        X, y, target_name=target, cluster=cluster, time=time, site=site, group=group, task=task, score=score
    )


class _Sparse(BaseEstimator):
    """What the two estimators share: preparation, training, outputs. Inputs are arrays of numbers."""

    _task = ""

    def __init__(
        self,
        density: float | str = 0.1,
        method: str = "gmp",
        hidden: Sequence[int] | None = None,
        epochs: int | None = None,
        effort: str = "quick",
        workers: int | None = 1,
        random_state: Any = None,
        rule: str = "backprop",
        model: str = "mlp",
    ) -> None:
        self.density = density
        self.method = method
        self.hidden = hidden
        self.epochs = epochs
        self.effort = effort
        self.workers = workers
        self.random_state = random_state
        self.rule = rule
        self.model = model

    def _fit(self, X: np.ndarray, target: np.ndarray, outputs: int) -> None:
        number = int(check_random_state(self.random_state).randint(2**31 - 1))
        if not isinstance(self.model, str) or self.model not in PERCEPTRONS:
            raise UserError(
                f"model is {self.model!r}.", came=repr(self.model)[:60], expected=" or ".join(PERCEPTRONS),
                attempt="sf.fit(X, y, model=…) for other networks",
            )  # fmt: skip
        if self.density == "auto":
            self._search(X, target, number)
            return
        density: Any = self.density
        if isinstance(density, bool) or not isinstance(density, Real) or not 0 < float(density) <= 1:
            raise UserError(f"density is {density!r}.", came=repr(density), expected='a number in (0, 1], or "auto"')
        check_methods([str(self.method)])
        request = Request("standard", epochs=self.epochs, hidden=self.hidden, rule=self.rule)
        self.preparation_: Preparation | None = None
        self.mean_ = X.mean(axis=0)
        spread = X.std(axis=0)
        self.spread_ = np.where(spread > 1e-12 * np.maximum(1.0, np.abs(self.mean_)), spread, 1.0)
        x = self._prepared(X)
        dense = density == 1
        candidate = Candidate("one", "dense" if dense else "sparse", "dense" if dense else self.method, float(density))
        base = architecture(self.model, len(X), x.shape[1:], request.hidden, self.rule)
        description = describe(base, x.shape[1:], outputs)
        weights = weight_count(description)
        training = make_plan(request, Size(len(X), x.shape[1], outputs, weights, weights), 1).training(candidate)
        self.network_ = train(build(description, number), x, target, training, task=self._task, rng=number).double()
        self.n_iter_ = training.epochs
        self._count()

    def _search(self, X: np.ndarray, target: np.ndarray, number: int) -> None:
        result = fit(
            X, target, task=self._task, effort=self.effort, hidden=self.hidden, epochs=self.epochs, rule=self.rule,
            model=self.model, rng=number, workers=self.workers,
        )  # fmt: skip
        self.verdict_ = result.verdict
        self.preparation_ = result.model.preparation
        self.network_ = result.model.network.double()
        self.n_iter_ = int(result.verdict["plan"]["epochs"])
        if result.model.target_scale is not None:
            self.target_mean_, self.target_spread_ = result.model.target_scale
        self._count()

    def _count(self) -> None:
        weights = [layer.weight for layer in self.network_.modules() if isinstance(layer, nn.Linear)]
        self.n_weights_ = int(sum(int(weight.count_nonzero()) for weight in weights))

    def _prepared(self, X: np.ndarray) -> np.ndarray:
        if self.preparation_ is not None:
            return self.preparation_.transform(standard_inputs(X)[0])
        scaled = (np.asarray(X, dtype=np.float64) - self.mean_) / self.spread_
        return np.clip(scaled, -1e6, 1e6).astype(np.float32)

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        with torch.no_grad():
            return outputs_of(self.network_, self._prepared(X).astype(np.float64))


class SparseClassifier(ClassifierMixin, _Sparse):
    """A sparse multilayer perceptron for classes, with the manners of scikit-learn.

    Args:
        density: share of weights kept, in (0, 1]; ``"auto"`` runs :func:`fit` and takes the smallest network that is
            not worse than the dense one (then ``verdict_`` holds the evidence).
        method: how it becomes sparse; see :func:`sparsefire.list_methods`.
        hidden: widths of the hidden layers; None chooses by the number of rows.
        epochs: passes over the rows; None chooses by the number of rows.
        effort, workers: of the search, for ``density="auto"``.
        random_state: see scikit-learn.
        rule: how it learns, such as ``"unit-differences"``; see :data:`sparsefire.train.learners.LEARNERS`.
        model: ``"mlp"`` or ``"spiking"`` (:class:`~sparsefire.spiking.SpikingPerceptron`).

    Attributes:
        classes_, n_features_in_, n_iter_: see scikit-learn.
        network_: the torch network, with exact zeros.
        n_weights_: weights that are not zero.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SparseClassifier(density=0.2, hidden=[16], random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9
    True
    """

    _task = "classification"

    def fit(self, X: Any, y: Any) -> SparseClassifier:
        """Fit to X [rows, features] and labels y [rows]."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise UserError(
                "Classifier can't train when only one class is present.",
                came=f"the class {self.classes_[0]!r} alone",
                expected="two classes or more",
            )
        self._fit(X, codes.astype(np.int64), len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return class probabilities [rows, classes], in the order of ``classes_``."""
        return probabilities(self._outputs(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most likely label per row."""
        codes = self.predict_proba(X).argmax(axis=1)  # first, as it says so when the model is not fitted
        return self.classes_[codes]


class SparseRegressor(RegressorMixin, _Sparse):
    """A sparse multilayer perceptron for numbers; arguments and attributes as :class:`SparseClassifier`.

    >>> X = np.linspace(-1, 1, 200).reshape(-1, 1)
    >>> SparseRegressor(density=0.5, hidden=[32], random_state=0).fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.9
    True
    """

    _task = "regression"

    def fit(self, X: Any, y: Any) -> SparseRegressor:
        """Fit to X [rows, features] and targets y [rows]."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self.target_mean_, self.target_spread_ = float(y.mean()), float(y.std()) or 1.0
        standard = y if self.density == "auto" else ((y - self.target_mean_) / self.target_spread_).astype(np.float32)
        self._fit(X, standard, 1)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return predicted values [rows]."""
        return self._outputs(X)[:, 0] * self.target_spread_ + self.target_mean_
