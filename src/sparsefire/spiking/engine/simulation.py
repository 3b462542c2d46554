"""Large sparse recurrent networks: neurons step by step, spikes as events along the arcs of a wiring."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.parallel import checked_workers
from sparsefire.randomness import entropy
from sparsefire.spiking._numbers import finite_array, function
from sparsefire.spiking.engine import _arrange, _kernels, _parts, _state
from sparsefire.spiking.engine._cells import cells, conducts, highest, noisy, numbers, rest, senses
from sparsefire.spiking.engine.drives import PoissonDrive, per_unit
from sparsefire.spiking.engine.run import NetworkState, Run
from sparsefire.spiking.spikes import Spikes
from sparsefire.wiring.graph import Wiring

MOST_WAITING = 1 << 24  # spikes of one window, at most: widths of windows shrink for it
PATIENCE = 0.2  # seconds between two looks at Ctrl-C and reports of progress


def simulate(
    wiring: Wiring,
    neurons: Any,
    drive: Any = None,
    duration: float = 1.0,
    dt: float = 1e-4,
    rng: Any = 0,
    *,
    delay: Any = None,
    weights: Any = None,
    initial: Any = None,
    state: NetworkState | None = None,
    workers: int = 1,
    progress: Callable[[float], None] | None = None,
) -> Run:
    """Simulate a recurrent network of spiking neurons on a wiring.

    Step k, from k dt to (k + 1) dt, of unit i, with a = exp(−dt/τ) or 1 − dt/τ as the module says:

    1. unless refractory, v ← v_leak + a (v − v_leak) + (1 − a) R I + Σ w over the arrivals that are due in step k;
    2. it fires if v > v_threshold + raised; with escape noise, with probability 1 − exp(−ρ dt), by one draw;
    3. who fired is reset, is refractory for round(refractory / dt) further steps (v stays, arrivals are lost), and its
       threshold rises;
    4. its spike, at (k + 1) dt, arrives in step k + delay/dt.

    This is the order of the torch module, called with T = 1 and arrivals / ((1 − a) R) added to its current. In a
    :class:`~sparsefire.spiking.CubaLIF` arrivals jump the synaptic current instead, i ← α i + (1 − α) w_in I + Σ w, and
    v takes R i for R I; i also runs on while a unit is refractory. An :class:`~sparsefire.spiking.IF` has
    v ← v + dt R I + Σ w. In an :class:`~sparsefire.spiking.SRM0` they move h, which is not reset and runs on. In a
    :class:`~sparsefire.spiking.CobaLIF` arrivals of positive weight open g_e and those of negative weight g_i, each by
    |w|: they are the two amounts that the module takes. Currents add up, and do so in each step by their sign.

    Args:
        wiring: square; an arc (u, v) means that u acts on v.
        neurons: a :class:`~sparsefire.spiking.LIF`, :class:`~sparsefire.spiking.CubaLIF`,
            :class:`~sparsefire.spiking.CobaLIF`, :class:`~sparsefire.spiking.IF` or :class:`~sparsefire.spiking.SRM0`
            with as many units; ``dt`` below stands in place of its own, and its ``rng`` and surrogate do not count.
        drive: a constant current, a number or [units]; a current [steps, units]; :class:`Arrivals`;
            :class:`PoissonDrive`; a tuple of these adds up; None. Their times begin with this call.
        duration: seconds, a multiple of dt.
        dt: seconds per step, at most the shortest time constant.
        rng: for the noise and for Poisson input; with ``state`` the same one goes on where it was.
        delay: seconds, a multiple of dt and at least dt: one number, or [arcs] in the order of ``wiring.receivers``;
            by default dt. Short delays cost time where ``workers`` is above 1.
        weights: in place of ``wiring.weights`` and in that order, [arcs]; one number for all.
        initial: potentials at time 0, a number or [units]; by default at rest.
        state: ``run.state`` of an earlier run, from which the network goes on, its spikes in flight and the count of
            random numbers too: two halves are one whole, spike for spike, and the times of each begin at 0. Wiring and
            weights may change in between; what is in flight arrives over the new ones.
        workers: threads.
        progress: called as ``progress(share done)`` a few times a second.

    Returns:
        A :class:`Run`. Numbers are drawn by counter, for (rng, unit, step), and sums run in the order of the senders:
        the spikes do not depend on ``workers``. The state is float64: hazards of one step are lost in sums of float32,
        and delivery, not the state, takes the time and memory of a large network.

    Raises:
        UserError: for a wiring between two layers, another number of neurons, neurons of another kind, a drive of
            another shape, values that are not finite, times that are no multiples of dt, a step longer than a time
            constant, a network in which nothing can ever spike, a state of other neurons, another dt or another longest
            delay.

    >>> import sparsefire as sf
    >>> ring = sf.Wiring.from_edges([0, 1, 2], [1, 2, 0], [1.5, 1.5, 1.5])
    >>> cell = sf.spiking.LIF(units=3, tau=20e-3)
    >>> run = simulate(ring, cell, duration=0.01, dt=1e-3, delay=2e-3, initial=[1.2, 0.0, 0.0])
    >>> run.units.tolist(), run.times.round(4).tolist()
    ([0, 1, 2, 0, 1], [0.001, 0.003, 0.005, 0.007, 0.009])
    >>> run = simulate(ring, cell, duration=0.01, dt=1e-3, delay=2e-3, state=run.state)
    >>> run.units.tolist(), run.times.round(4).tolist()
    ([2, 0, 1, 2, 0], [0.001, 0.003, 0.005, 0.007, 0.009])
    """
    units, steps, dt = _units(wiring, neurons), *_steps(duration, dt)
    workers, key = checked_workers(workers), entropy(rng)
    if progress is not None:
        function("progress", progress, "share")
    weights = _per_arc("weights", wiring.weights if weights is None else weights, wiring)
    late = _arrange.in_steps("the delay", dt if delay is None else delay, dt)
    if late.ndim:
        _per_arc("delays", late, wiring)
        late = late if wiring.arcs else np.ones((), np.int64)  # without arcs there is no delay: windows of one step
    due = np.minimum(late, steps)  # later than the last step is never
    elsewhere = _arrange.split(drive)
    constant, changing = _arrange.currents(elsewhere[0], units, steps)
    given, longest = cells(neurons, constant, dt), int(late.max())
    size, blocks = _arrange.blocks_of(units)
    width = int(max(1, min(due.min(), MOST_WAITING // (size * blocks))))
    none = (np.zeros(0, np.int64), np.zeros(0, np.int32))
    starts, sources = _arrange.arrivals(elsewhere[2][0], units, steps, dt) if elsewhere[2] else none
    outside = elsewhere[2][0].wiring if elsewhere[2] else Wiring.from_edges([], [], shape=(1, units))
    drives = _parts.Drive(
        changing, **_arrange.poisson(elsewhere[1], units, dt, key), starts=starts, sources=sources,
    )  # fmt: skip
    by_sign = conducts(neurons)
    columns = 2 * size if by_sign else size
    arcs = _arrange.arcs(wiring, weights, due, size, blocks, by_sign)
    slots = 1 << max(int(due.max()) - 1, 0).bit_length()
    if state is None:
        first = rest(neurons) if initial is None else per_unit("initial", initial, units)
        _can_spike(neurons, elsewhere[1], (outside, sources), constant, changing, first)
        adapts = getattr(neurons, "adaptation", None) is not None
        moving = _state.fresh(given, first, slots, columns * blocks, adapts, key)
    else:
        if initial is not None:
            raise UserError("a state has potentials.", came="initial= and state=", expected="one of them")
        first = _state.checked(state, neurons, given, dt, longest).v
        moving = _state.resumed(state, slots, columns * blocks, key)
        _state.take_up(state, arcs, late, columns, steps, moving)
    network = (
        size, arcs, _arrange.arcs(outside, outside.weights, np.zeros((), np.int64), size, blocks, by_sign), given,
        drives, moving,
        _parts.Fired(np.empty((2, blocks, width * size), np.int32), np.zeros((2, blocks, width + 1), np.int64)),
    )  # fmt: skip
    chunks = _in_one_thread if min(workers, blocks) == 1 else _in_threads
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for done, when, who in chunks(network, steps, width, min(workers, blocks)):
        found.append((when, who))
        if progress is not None:
            progress(done)
    when, who = (np.concatenate(parts) for parts in zip(*found, strict=True))
    spikes = Spikes(np.minimum((when + 1) * dt, steps * dt), who.astype(np.int64), units, steps * dt)
    after = _state.kept(moving, neurons, dt, steps, longest, state, when, who)
    return Run(spikes, neurons, wiring, weights, late * dt, drive, dt, first, key, state, after)


Piece = tuple[float, np.ndarray, np.ndarray]  # share done, steps and units of the spikes


def _in_one_thread(network: tuple, steps: int, width: int, workers: int) -> Iterator[Piece]:
    fired = network[-1]
    total, number, many = -(-steps // width), 0, 1
    while number < total:
        many = min(many, total - number)
        room = many * fired.ids[0].size
        when, who = np.empty(room, np.int64), np.empty(room, np.int32)
        start = time.perf_counter()
        filled = _kernels.windows(number, many, width, steps, *network, when, who)  # type: ignore[call-arg]
        number += many
        yield number / total, when[:filled].copy(), who[:filled].copy()
        share = PATIENCE / max(time.perf_counter() - start, 1e-6)
        many = max(1, min(int(many * min(share, 4.0)), MOST_WAITING // fired.ids[0].size))


def _in_threads(network: tuple, steps: int, width: int, workers: int) -> Iterator[Piece]:
    fired = network[-1]
    blocks, total = fired.ends.shape[1], -(-steps // width)
    parts = [(blocks * i // workers, blocks * (i + 1) // workers) for i in range(workers)]
    when, who = np.empty(fired.ids[0].size, np.int64), np.empty(fired.ids[0].size, np.int32)
    last, waiting = time.perf_counter(), []
    with ThreadPoolExecutor(workers) as pool:
        for number in range(total):
            step = number * width
            now, before = min(width, steps - step), min(width, step)
            work = [pool.submit(_kernels.window, number, step, now, before, part, *network) for part in parts]
            for job in work:
                job.result()
            filled = _kernels.record(number, step, now, fired, when, who, 0)
            waiting.append((when[:filled].copy(), who[:filled].copy()))
            if time.perf_counter() - last > PATIENCE or number == total - 1:
                some = [np.concatenate(each) for each in zip(*waiting, strict=True)]
                yield (number + 1) / total, some[0], some[1]
                last, waiting = time.perf_counter(), []


def _units(wiring: Any, neurons: Any) -> int:
    from sparsefire import spiking  # late: the neurons load torch

    if not isinstance(wiring, Wiring):
        raise UserError("a network is wired by a wiring.", came=type(wiring).__name__, expected="sf.Wiring")
    if not wiring.square:
        raise UserError(
            "the wiring of a recurrent network is square.", came=f"{wiring.shape[0]:,} → {wiring.shape[1]:,} units",
            expected="units=", attempt="drive=Arrivals(spikes, wiring) for input from another layer",
        )  # fmt: skip
    kinds = (spiking.LIF, spiking.CubaLIF, spiking.CobaLIF, spiking.IF, spiking.SRM0)
    if type(neurons) not in kinds:
        raise UserError(
            "no such neurons in a large network.", came=type(neurons).__name__,
            expected=", ".join(kind.__name__ for kind in kinds),
        )  # fmt: skip
    if neurons.units != wiring.units:
        raise UserError(
            "there are not as many neurons as units.", came=f"{neurons.units:,} neurons", expected=f"{wiring.units:,}"
        )
    return wiring.units


def _steps(duration: Any, dt: Any) -> tuple[int, float]:
    good = isinstance(dt, int | float | np.floating) and not isinstance(dt, bool) and 0 < dt < np.inf
    if not good:
        raise UserError("a step is a number of seconds.", came=repr(dt), expected="above 0")
    return int(_arrange.in_steps("the duration", duration, float(dt))), float(dt)


def _per_arc(name: str, values: Any, wiring: Wiring) -> np.ndarray:
    found = finite_array(name, values)
    if found.shape not in ((), (wiring.arcs,)):
        raise UserError(
            f"{name} are one number, or one for each arc.", came=f"shape {found.shape}", expected=f"[{wiring.arcs:,}]",
            attempt="wiring.per_arc(values) brings one for each edge into the order of the arcs",
        )  # fmt: skip
    return np.ascontiguousarray(np.broadcast_to(found, wiring.arcs))


def _can_spike(
    neurons: Any, poisson: list[PoissonDrive], arriving: tuple[Wiring, np.ndarray], constant: np.ndarray,
    changing: np.ndarray, first: np.ndarray,
) -> None:  # fmt: skip
    """Raise where neither input nor noise can ever make one spike; ``arriving``: from outside, and who sends there."""
    arrivals, currents = senses(neurons)
    outside, sources = arriving
    sends = np.zeros(outside.shape[0], bool)
    sends[sources] = True
    lifted = outside.weights * arrivals[outside.receivers] > 0
    if (
        any((np.asarray(part.rate, float) * np.asarray(part.weight, float) * arrivals > 0).any() for part in poisson)
        or (lifted & np.repeat(sends, outside.out_degrees)).any()
        or any((row * currents > 0).any() for row in changing)
    ):
        return
    distance = np.maximum(first, highest(neurons, constant)) - numbers(neurons, "v_threshold")
    able = neurons.escape.hazard(distance) > 0 if noisy(neurons) else distance > 0
    if not able.any():  # then no neuron is the first
        raise UserError(
            "the network has no input: nothing can ever spike.", expected="a drive, or neurons with escape noise",
            came="a constant drive that takes no unit above threshold" if constant.any() else "no drive that excites",
            attempt="drive=PoissonDrive(rate=1000.0, weight=0.1)",
        )  # fmt: skip
