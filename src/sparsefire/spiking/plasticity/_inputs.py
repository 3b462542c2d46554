"""Spikes and weights as the rules take them: dense or events, NumPy or torch; dense weights, masked ones, a Wiring."""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple, NoReturn

import numpy as np

from sparsefire.errors import UserError
from sparsefire.spiking.plasticity._kernels import events, turned
from sparsefire.spiking.plasticity.synapses import Synapses
from sparsefire.spiking.spikes import Spikes

Train = tuple[np.ndarray, np.ndarray]  # times float64, units int64


class Recording(NamedTuple):
    """Spikes of both sides: one pair (times, units) for each sample, and how long it lasts in seconds."""

    pre: list[Train]
    post: list[Train]
    duration: float


class Weights:
    """The weights that a rule is to change: [in, out] or [1, synapses] for the kernels, as they came for the caller."""

    def __init__(self, weight: Any, mask: Any = None) -> None:
        self.given, self.synapses = weight, None
        if hasattr(weight, "receivers"):
            if mask is not None:
                raise UserError("a wiring says itself which synapses exist.", came="mask=", expected="no mask")
            self.synapses = Synapses.from_wiring(weight)
            self.array, self.shape = np.asarray(weight.weights), self.synapses.shape
        else:
            self.array = to_numpy(weight)
            if self.array.ndim != 2 or self.array.dtype.kind != "f":
                raise UserError(
                    "a weight is a matrix of floating-point numbers.",
                    came=f"{self.array.dtype}, shape {self.array.shape}", expected="[out, in]",
                )  # fmt: skip
            if self.array.dtype not in (np.float32, np.float64):
                self.array = self.array.astype(np.float32)
            self.shape = (self.array.shape[0], self.array.shape[1])
            if mask is not None:
                self.synapses = mask if isinstance(mask, Synapses) else Synapses.from_mask(mask)
                if self.synapses.shape != self.shape:
                    raise UserError(
                        "the mask does not fit the weight.", came=f"{self.synapses.shape}", expected=f"{self.shape}"
                    )
        if not np.isfinite(self.array).all():
            raise UserError("a weight is not finite.", came="nan or infinity", expected="finite numbers")

    @property
    def dtype(self) -> np.dtype:
        """Of the weights: float32 or float64."""
        return self.array.dtype

    @property
    def inner_shape(self) -> tuple[int, int]:
        """Shape of the weights in the kernels."""
        return self.shape[::-1] if self.synapses is None else (1, len(self.synapses))

    def values(self) -> np.ndarray:
        """Return a copy in the layout of the kernels."""
        if self.synapses is None:
            return turned(np.ascontiguousarray(self.array), 1.0)
        return self.array.reshape(-1)[self._places()][None]

    def inner(self, array: np.ndarray) -> np.ndarray:
        """Return numbers that repeat along [out, in] in the layout of the kernels, float64, two axes."""
        if self.synapses is None or array.size == 1:
            return np.ascontiguousarray(np.atleast_2d(array).T, dtype=float)
        return np.broadcast_to(array, self.shape).reshape(-1)[self.synapses.places][None].astype(float)

    def give(self, change: np.ndarray, factor: float) -> Any:
        """Return factor × change as the caller wants it: his kind, his type, [out, in] or one for each arc."""
        if hasattr(self.given, "receivers"):
            return factor * change[0]
        if self.synapses is None:
            return as_given(turned(change, factor), self.given)
        found = np.zeros(self.array.size, self.dtype)
        found[self.synapses.places] = factor * change[0]
        return as_given(found.reshape(self.shape), self.given)

    @property
    def index(self) -> tuple[np.ndarray, ...]:
        """Where the synapses are, for the kernels; empty arrays for dense weights."""
        if self.synapses is not None:
            return self.synapses.index
        wide, small = np.empty(0, np.int64), np.empty(0, np.int32)
        return wide, small, wide, wide, small

    def _places(self) -> Any:
        return slice(None) if hasattr(self.given, "receivers") else self.synapses.places  # type: ignore[union-attr]


def read_spikes(pre: Any, post: Any, shape: tuple[int, int], dt: float, taus: tuple[float, ...]) -> Recording:
    """Return the spikes of both sides, checked.

    Args:
        pre, post: zeros and ones [time, batch, n] or [time, n]; or :class:`~sparsefire.spiking.Spikes`, or a list of
            them, one for each sample.
        shape: (post, pre) neurons.
        dt: seconds per step of dense spikes; not above any of ``taus``.

    Raises:
        UserError: spikes that are not 0 or 1, numbers of neurons, steps or samples that do not fit, one side dense and
            the other not.
    """
    if _as_events(pre) != _as_events(post):
        raise UserError(
            "spikes are given in two ways.", came=f"{type(pre).__name__} and {type(post).__name__}",
            expected="both dense, or both Spikes",
        )  # fmt: skip
    if _as_events(pre):
        return _from_events(pre, post, shape)
    if dt > min(taus):
        raise UserError(
            "the time step is longer than a time constant.", came=f"dt = {dt:g} s, tau = {min(taus):g} s",
            expected="dt of at most tau",
        )  # fmt: skip
    dense = [_dense(spikes, name) for spikes, name in ((pre, "pre"), (post, "post"))]
    for spikes, name, units in zip(dense, ("pre", "post"), shape[::-1], strict=True):
        if spikes.shape[2] != units:
            raise UserError(
                f"{name} does not fit the weight.", came=f"{spikes.shape[2]} neurons",
                expected=f"{units}, for a weight of shape {list(shape)}",
            )  # fmt: skip
    if dense[0].shape[:2] != dense[1].shape[:2]:
        raise UserError(
            "pre and post differ in time or batch.", came=f"{dense[0].shape[:2]} and {dense[1].shape[:2]}",
            expected="as many steps and samples of one as of the other",
        )  # fmt: skip
    trains = [[_train(spikes, sample, dt, name) for sample in range(spikes.shape[1])]
              for spikes, name in zip(dense, ("pre", "post"), strict=True)]  # fmt: skip
    return Recording(trains[0], trains[1], dense[0].shape[0] * dt)


def to_numpy(values: Any) -> np.ndarray:
    """Return an array, of a tensor too; types that NumPy has not, or that are short, as float32."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()
        return values.numpy()
    try:
        return np.asarray(values)
    except ValueError as error:
        raise UserError("not an array.", came=type(values).__name__, expected="numbers of one shape") from error


def as_given(array: np.ndarray, like: Any) -> Any:
    """Return an array as a tensor where ``like`` is one, on its device, of its type; an array of its type otherwise."""
    if hasattr(like, "detach"):
        return sys.modules["torch"].from_numpy(array).to(device=like.device, dtype=like.dtype)
    return array.astype(getattr(like, "dtype", array.dtype), copy=False)


def finite(name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, least: bool = True) -> float:
    """Return a number from ``low`` on (above it, if not ``least``), up to ``high``.

    Raises:
        UserError: for anything else.
    """
    good = isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or value < low or value > high or (value == low and not least):
        bounds = "a finite number" if low == -math.inf else f"{low:g} or more" if least else f"above {low:g}"
        raise UserError(
            f"{name} is out of range.", came=repr(value),
            expected=bounds if high == math.inf else f"{bounds}, at most {high:g}",
        )  # fmt: skip
    return float(value)


def state_arrays(state: Any, number: int) -> list[np.ndarray]:
    """Return the parts of a state as copies in float64.

    Raises:
        UserError: for what is no tuple of so many arrays of numbers.
    """
    parts = [to_numpy(part) for part in state] if isinstance(state, tuple | list) and len(state) == number else []
    if not parts or any(part.dtype.kind not in "biuf" for part in parts):
        no_state(state, f"{number} arrays, as an earlier call returned")
    return [part.astype(float) for part in parts]


def no_state(state: Any, expected: str) -> NoReturn:
    """Raise the error for what is no state."""
    raise UserError(
        "this is no state of the rule.", came=repr(state)[:60], expected=expected, attempt="state=None begins anew"
    )


def on_wirings(given: Any) -> str:
    """Return what to do instead where a wiring is given for a layer."""
    return "STDP(…)(pre, post, wiring) returns the change of each arc" if hasattr(given, "receivers") else ""


def _as_events(spikes: Any) -> bool:
    return isinstance(spikes, Spikes) or (
        isinstance(spikes, list | tuple) and len(spikes) > 0 and all(isinstance(one, Spikes) for one in spikes)
    )


def _from_events(pre: Any, post: Any, shape: tuple[int, int]) -> Recording:
    sides = [[spikes] if isinstance(spikes, Spikes) else list(spikes) for spikes in (pre, post)]
    for side, name, units in zip(sides, ("pre", "post"), shape[::-1], strict=True):
        for one in side:
            if one.n_units != units:
                raise UserError(
                    f"{name} does not fit the weight.", came=f"{one.n_units} neurons",
                    expected=f"{units}, for a weight of shape {list(shape)}",
                )  # fmt: skip
    if len(sides[0]) != len(sides[1]):
        raise UserError("pre and post differ in batch.", came=f"{len(sides[0])}, {len(sides[1])}", expected="as many")
    duration = max(one.duration for side in sides for one in side)
    trains = [[(np.ascontiguousarray(one.times), np.ascontiguousarray(one.units)) for one in side] for side in sides]
    return Recording(trains[0], trains[1], duration)


def _dense(spikes: Any, name: str) -> np.ndarray:
    found = to_numpy(spikes)
    if found.dtype == bool:
        found = found.view(np.uint8)
    if found.dtype.kind not in "iuf" or found.ndim not in (2, 3):
        raise UserError(
            f"{name} is no array of spikes.", came=f"{found.dtype}, shape {found.shape}",
            expected="zeros and ones, [time, batch, n] or [time, n]",
        )  # fmt: skip
    found = found if found.ndim == 3 else found[:, None]
    if not found.shape[1]:
        raise UserError(f"{name} has no samples.", came=f"shape {found.shape}", expected="a batch of 1 or more")
    return np.ascontiguousarray(found)


def _train(dense: np.ndarray, sample: int, dt: float, name: str) -> Train:
    times, units, good = events(dense, sample, dt)
    if not good:
        odd = dense[(dense != 0) & (dense != 1)].flat[0]
        raise UserError(f"spikes are zeros and ones ({name}).", came=f"{odd:g}", expected="0 or 1")
    return times, units
