"""Where a network stands: made for the kernels at the beginning of a call, and kept at its end."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.randomness import integer
from sparsefire.spiking.engine import _arrange, _kernels, _parts
from sparsefire.spiking.engine.run import NetworkState


def checked(before: Any, neurons: Any, given: _parts.Cells, dt: float, longest: int) -> NetworkState:
    """Return the state, if it is one of such a network."""
    if not isinstance(before, NetworkState):
        raise UserError(
            "this is no state of a network.", came=type(before).__name__, expected="the state of a run",
            attempt="state=run.state",
        )  # fmt: skip
    units, noise = neurons.units, given.form != _parts.NO_NOISE
    adapts = getattr(neurons, "adaptation", None) is not None
    for what, came, expected in (
        ("neurons", before.neurons, type(neurons).__name__), ("units", len(before.v), units),
        ("noise", len(before.left) > 0, noise), ("adaptation", len(before.raised) > 0, adapts),
        ("longest delay in steps", before.longest, longest),
    ):  # fmt: skip
        if came != expected:
            raise UserError(f"the state is of another network: its {what}.", came=f"{came}", expected=f"{expected}")
    if abs(before.dt - dt) > 1e-9 * dt:
        raise UserError("the state is of another time step.", came=f"{before.dt:g} s", expected=f"dt = {dt:g} s")
    return before


def fresh(given: _parts.Cells, first: np.ndarray, slots: int, columns: int, adapts: bool, rng: int) -> _parts.State:
    """Return the state of a network that begins with these potentials."""
    units, key = len(first), np.uint64(integer(rng, "spiking", "escape"))
    inner = np.zeros((1 if len(given.synapse) else 0, units))
    if given.response.size:
        inner = np.stack([first, np.zeros(units)])
    elif given.conductances.size:
        inner = np.zeros((2, units))
    left = np.zeros(0)
    if given.form != _parts.NO_NOISE:
        left = np.array([_kernels.exponential(key, 0, unit) for unit in range(units)])
    return _parts.State(
        first.copy(), inner, np.zeros(units, np.int64), np.zeros(units if adapts else 0), left,
        np.zeros((slots, columns)), key, 0,
    )  # fmt: skip


def resumed(before: NetworkState, slots: int, columns: int, rng: int) -> _parts.State:
    """Return the state with which a network goes on; spikes in flight are still to be taken up."""
    key = np.uint64(integer(rng, "spiking", "escape"))
    return _parts.State(
        before.v.copy(), before.inner.copy(), before.refractory.copy(), before.raised.copy(), before.left.copy(),
        np.zeros((slots, columns)), key, before.step,
    )  # fmt: skip


def take_up(
    before: NetworkState, arcs: _parts.Arcs, delay: np.ndarray, columns: int, steps: int, state: _parts.State
) -> None:
    """Deliver the spikes in flight, over the arcs of this call, with delays in steps that are not cut at its end."""
    if len(before.sent):
        within = np.minimum(delay, steps - int(before.sent[0]))  # a later one brings nothing within these steps either
        delays, one = _arrange.delays_of(within)
        arcs = arcs._replace(delays=delays, delay=one)
        _kernels.take_up(state.due, arcs, columns, before.sent.copy(), before.senders.copy(), steps)


def kept(
    state: _parts.State, neurons: Any, dt: float, steps: int, longest: int, before: NetworkState | None,
    when: np.ndarray, who: np.ndarray,
) -> NetworkState:  # fmt: skip
    """Return the state after these steps, in which units ``who`` fired in steps ``when``."""
    sent, senders = when - steps, who
    if before is not None and longest > steps:
        sent, senders = np.append(before.sent - steps, sent), np.append(before.senders, senders)
    begin = np.searchsorted(sent, -longest)
    parts = (state.v, state.inner, np.maximum(state.free_from - steps, 0), state.raised, state.left)
    flying = (sent[begin:].copy(), senders[begin:].astype(np.int32))
    return NetworkState(
        int(state.begun) + steps, dt, type(neurons).__name__, longest, *map(_arrange.frozen, (*parts, *flying))
    )
