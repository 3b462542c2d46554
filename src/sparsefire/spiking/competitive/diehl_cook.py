"""The unsupervised network of Diehl and Cook, ready to be fitted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.exceptions import NotFittedError

from sparsefire.errors import UserError
from sparsefire.parallel import checked_workers
from sparsefire.randomness import entropy, stream
from sparsefire.spiking._numbers import function, whole
from sparsefire.spiking.competitive._build import Network, build
from sparsefire.spiking.competitive.rule import CompetitiveRule
from sparsefire.spiking.competitive.votes import class_responses, preferred, tally


class _NotLearned(UserError, NotFittedError):
    """Before fit or label: what scikit-learn expects, and an error of this package."""


_PIECE = 50  # samples between looks at Ctrl-C and at progress, well under a second
Progress = Callable[[float], None]


class DiehlCook(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Competitive spiking network that learns without labels (Diehl and Cook 2015, doi:10.3389/fncom.2015.00099).

    Inputs fire as Poisson processes with rates in proportion to their intensity. Excitatory units, with conductances
    and a threshold that rises by ``theta_plus`` with each own spike, learn by STDP (``rule``); a unit that fires
    inhibits all others. The weights of a unit add up to ``total`` before each presentation. A sample that draws fewer
    than ``fewest`` spikes is shown again at a higher rate. After learning, units take the class to which they respond
    most, and the classes of new samples are voted for.

    Constants are those of the paper and the authors' code: membranes 100 and 10 ms, rest −65 and −60 mV, reset −65 and
    −45 mV, thresholds −52 and −40 mV, refractory 5 and 2 ms, reversal 0, −100 and −85 mV, conductances 1 and 2 ms,
    one-to-one weight 10.4, inhibition 17, thresholds v > −52 mV − 20 mV + θ with θ = 20 mV at the start. Where this
    differs from them: inputs have no delays (the code draws 0 to 10 ms); steps are backward Euler; θ decays once per
    presentation; responses (:meth:`transform`) start from rest, instead of 0.15 s after the sample before.

    Args:
        units: excitatory units.
        inputs: numbers per sample.
        rule: a :class:`~sparsefire.spiking.CompetitiveRule`; None is the authors' triplet rule.
        inhibition: ``"layer"``, an inhibitory unit for each excitatory one as published, or ``"direct"``, excitatory
            units that inhibit the others themselves, one step sooner.
        strength: conductance that inhibition adds to all other units.
        total: what the weights of a unit add up to; None lets them be.
        theta_plus: rise of the threshold at a spike, mV. theta_decay: its time constant, seconds.
        rate: Hz of an input with intensity 1, at most one spike per step. It rises by half of this at each new showing,
            and ends at a spike per step.
        duration, pause: seconds with input, and without before the next sample while learning.
        fewest: spikes below which a sample is shown again, up to 20 times.
        density: share of inputs that each unit is connected with, drawn at random.
        vote: ``"preferred"`` as published, or ``"share"`` or ``"poisson"``, see
            :func:`sparsefire.spiking.competitive.votes.tally`.
        dt: seconds per step, not above the smallest time constant (1 ms); 0.5 ms as published.
        workers: threads for responses; None for all cores. Results do not depend on it.
        random_state: see scikit-learn; for weights, connections and spikes.

    Draws of responses are called by a hash of the image's intensities: the same image always gets the same spikes,
    wherever it stands and whatever stands beside it. While learning they are called by ``samples_seen_``.

    Attributes:
        weights_: float32 [units, inputs]. theta_: mV [units]. samples_seen_: how many were learned from.
        presentations_: how often samples were shown while learning.
        classes_, labels_, class_responses_: after :meth:`label`; the class of each unit (place in ``classes_``, -1 for
            a silent one) and mean counts [classes, units].

    Raises:
        UserError: (from ``fit``) for settings out of range; for samples that are no uint8 images or intensities in
            [0, 1], of the wrong size, or all dark; where no unit ever fires, at the highest rate either.

    >>> X = np.repeat(np.eye(2), 8, axis=1)[np.arange(60) % 2]  # two bars
    >>> net = DiehlCook(units=4, inputs=16, total=6.0, rate=600.0, theta_plus=0.1, random_state=0)
    >>> net = net.fit(X, np.arange(60) % 2)
    >>> float(net.score(X, np.arange(60) % 2)), net.transform(X).shape
    (1.0, (60, 4))
    """

    def __init__(
        self, units: int = 400, inputs: int = 784, *, rule: CompetitiveRule | None = None, inhibition: str = "layer",
        strength: float = 17.0, total: float | None = 78.0, theta_plus: float = 0.05, theta_decay: float = 1e4,
        rate: float = 63.75, duration: float = 0.35, pause: float = 0.15, fewest: int = 5, density: float = 1.0,
        vote: str = "preferred", dt: float = 0.5e-3, workers: int | None = 1, random_state: Any = None,
    ) -> None:  # fmt: skip
        self.units = units
        self.inputs = inputs
        self.rule = rule
        self.inhibition = inhibition
        self.strength = strength
        self.total = total
        self.theta_plus = theta_plus
        self.theta_decay = theta_decay
        self.rate = rate
        self.duration = duration
        self.pause = pause
        self.fewest = fewest
        self.density = density
        self.vote = vote
        self.dt = dt
        self.workers = workers
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, progress: Progress | None = None) -> DiehlCook:
        """Learn from one pass over the samples in their order; then, with y, :meth:`label` the units by the same.

        Args:
            X: [n, inputs], or images with as many pixels: uint8, or floats in [0, 1].
            y: a class per sample, for labels only: weights never see it.
            progress: called as ``progress(share done)`` of the learning.

        Ctrl-C stops between samples and leaves a network that has learned from ``samples_seen_`` of them.
        """
        checked_workers(self.workers)
        if progress is not None:
            function("progress", progress, "share")
        images, white = self._images(X)
        codes = None if y is None else self._codes(y, len(images))
        entropy_of_all = entropy(self.random_state)
        network = build(self, entropy_of_all)
        self._entropy, self._network, self.n_features_in_ = entropy_of_all, network, network.state.weights.shape[0]
        self.samples_seen_ = self.presentations_ = 0
        for name in ("classes_", "labels_", "class_responses_", "_samples"):
            self.__dict__.pop(name, None)
        self._learn(images, white, progress)
        return self if codes is None else self._label(images, white, *codes)

    def partial_fit(self, X: Any, y: Any = None, *, progress: Progress | None = None) -> DiehlCook:
        """Learn from more samples, going on where the last call ended; labels stay as they are. y is ignored."""
        if not hasattr(self, "_network"):
            return self.fit(X, progress=progress)
        self._learn(*self._images(X), progress)
        return self

    def label(self, X: Any, y: Any) -> DiehlCook:
        """Give units the classes that they respond to most, from samples X with classes y."""
        self._fitted()
        images, white = self._images(X)
        return self._label(images, white, *self._codes(y, len(images)))

    def transform(self, X: Any) -> np.ndarray:
        """Return spike counts, int64 [n, units]; weights and thresholds stay. An image has its own draws."""
        self._fitted()
        return self._responses(*self._images(X, dark=True), "responses")

    def decision_function(self, X: Any) -> np.ndarray:
        """Return what speaks for each class, float64 [n, classes]; see :func:`~.competitive.votes.tally`."""
        self._fitted("labels_", "label")
        return tally(self.transform(X), self.class_responses_, self._samples, self.vote)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class with most votes for each sample, the first of equals."""
        best = self.decision_function(X).argmax(axis=1)
        return self.classes_[best]

    @property
    def weights_(self) -> np.ndarray:
        """Weights float32 [units, inputs]: a view of those that learn."""
        self._fitted()
        return self._network.state.weights.T

    @property
    def theta_(self) -> np.ndarray:
        """Adaptive part of the thresholds, mV, float64 [units]."""
        self._fitted()
        return self._network.state.theta

    def _learn(self, images: np.ndarray, white: float, progress: Progress | None) -> None:
        key = stream(self._entropy, "diehl-cook", "learning").integers(2**64, dtype=np.uint64)
        for first in range(0, len(images), _PIECE):
            piece = images[first : first + _PIECE]
            shown = self._network.learn(piece, white, self.samples_seen_, key)
            self.presentations_ += shown
            self.samples_seen_ += len(piece)
            if shown > len(piece) and self._network.silent:
                raise UserError(
                    "no unit fires, at the highest rate either.",
                    came=f"{self.samples_seen_} samples with intensities up to {piece.max() / white:.3g}",
                    expected="images that are bright enough (uint8 images are divided by 255)",
                    attempt="X.astype(bool), for images of 0 and 1; or a higher rate=",
                )
            if progress is not None:
                progress((first + len(piece)) / len(images))

    def _label(self, images: np.ndarray, white: float, classes: np.ndarray, codes: np.ndarray) -> DiehlCook:
        responses = self._responses(images, white, "labels")
        self.class_responses_ = class_responses(responses, codes, len(classes))
        self.classes_, self._samples = classes, np.bincount(codes)
        self.labels_ = preferred(self.class_responses_)
        return self

    def _responses(self, images: np.ndarray, white: float, purpose: str) -> np.ndarray:
        key = stream(self._entropy, "diehl-cook", purpose).integers(2**64, dtype=np.uint64)
        counts = np.empty((len(images), self._network.units), np.int64)

        def piece(first: int) -> None:
            stop = first + _PIECE
            counts[first:stop] = self._network.respond(images[first:stop], white, key)

        firsts = range(0, len(images), _PIECE)
        with ThreadPoolExecutor(checked_workers(self.workers)) as pool:
            futures = [pool.submit(piece, first) for first in firsts]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
        return counts

    def _images(self, X: Any, *, dark: bool = False) -> tuple[np.ndarray, float]:
        try:
            found = np.asarray(X)
        except ValueError as error:
            raise UserError("samples differ in size.", came=str(error), expected=f"[n, {self.inputs}]") from error
        if found.ndim < 2 or len(found) == 0 or found[0].size != whole("inputs", self.inputs):
            raise UserError(
                "samples of another size.",
                came=f"shape {list(found.shape)}",
                expected=f"[n, {self.inputs}], n above 0",
                attempt=f"inputs={found[0].size}" if found.ndim > 1 and len(found) else "",
            )
        found = found.reshape(len(found), -1)
        if found.dtype == np.uint8:
            white = 255.0
        elif found.dtype == bool or (found.dtype.kind == "f" and found.min() >= 0 and found.max() <= 1):
            white = 1.0
        else:
            raise UserError(
                "intensities are uint8, or between 0 and 1.",
                came=f"{found.dtype}" + (f" from {found.min()} to {found.max()}" if found.dtype.kind in "iuf" else ""),
                expected="uint8 images, or floats in [0, 1] without gaps",
            )
        if not dark and not found.any():
            raise UserError("all samples are dark.", came="zeros alone", expected="inputs that fire")
        return found, white

    def _codes(self, y: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            found = np.asarray(y)
        except ValueError:
            found = np.empty(0)
        if found.shape != (rows,):
            raise UserError("a class for each sample.", came=f"shape {list(found.shape)}", expected=f"[{rows}]")
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise UserError("classes have gaps.", came="nan", expected="a class for each sample")
        return np.unique(found, return_inverse=True)

    def _fitted(self, attribute: str = "_network", first: str = "fit") -> Network:
        if attribute not in self.__dict__:
            raise _NotLearned(
                "this network has not learned.",
                came=f"no {first} so far",
                expected=f"{first} first",
                attempt=f".{first}(X, y)",
            )
        return self._network
