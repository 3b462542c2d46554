"""What a simulation leaves: spikes, and everything that is needed to follow any unit again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsefire.spiking.spikes import Spikes
from sparsefire.wiring.graph import Wiring


@dataclass(frozen=True, eq=False)
class Replay:
    """What some units went through, recomputed.

    Attributes:
        v: membrane potential (of an SRM0 h + η) of each step when it is compared with the threshold, before the reset;
            float64 [steps, units].
        probability: chance to fire in each step given all before, float64 [steps, units]: 1 − exp(−ρ dt) with escape
            noise, else 0 or 1; 0 while refractory.
    """

    v: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True, eq=False)
class NetworkState:
    """Where a network stands after a run: all that is needed to go on. Made by :func:`~sparsefire.spiking.simulate`.

    Attributes:
        step: steps since the network began, by which random numbers are counted.
        dt: seconds of each.
        neurons: the name of their class.
        longest: the longest delay in steps.
        v: potentials, float64 [units].
        inner: what else moves with time, float64 [0 to 2, units]: the synaptic current of a CubaLIF; h and after of
            an SRM0; g_e and g_i of a CobaLIF.
        refractory: steps for which a unit still is, int64 [units].
        raised: how far thresholds are, float64 [units]; [0] without adaptation.
        left: hazard until the next spike, float64 [units]; [0] without noise.
        sent, senders: spikes that may not have arrived everywhere: their steps, int64, −1 the last one, and units.
    """

    step: int
    dt: float
    neurons: str
    longest: int
    v: np.ndarray = field(repr=False)
    inner: np.ndarray = field(repr=False)
    refractory: np.ndarray = field(repr=False)
    raised: np.ndarray = field(repr=False)
    left: np.ndarray = field(repr=False)
    sent: np.ndarray = field(repr=False)
    senders: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class Run:
    """A simulated network: made by :func:`~sparsefire.spiking.simulate`.

    Attributes:
        spikes: all spikes, those of one step by unit; the spike of step k is at (k + 1) dt.
        neurons, wiring, drive, dt: as given.
        weights: float64 [arcs], as used.
        delay: seconds, one number or [arcs].
        initial: potentials at time 0, float64 [units].
        rng: one integer that stands for the ``rng`` that was given.
        before: the state that it went on from, or None.
        state: the one at its end.
    """

    spikes: Spikes
    neurons: Any = field(repr=False)
    wiring: Wiring
    weights: np.ndarray = field(repr=False)
    delay: np.ndarray = field(repr=False)
    drive: Any = field(repr=False)
    dt: float
    initial: np.ndarray = field(repr=False)
    rng: int = field(repr=False)
    before: NetworkState | None = field(repr=False)
    state: NetworkState = field(repr=False)

    @property
    def times(self) -> np.ndarray:
        """When, seconds, ascending; float64 [spikes]."""
        return self.spikes.times

    @property
    def units(self) -> np.ndarray:
        """Who, int64 [spikes]."""
        return self.spikes.units

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.spikes.duration

    @property
    def firing_rates(self) -> np.ndarray:
        """Spikes per second of each unit in Hz, float64 [units]."""
        return self.spikes.firing_rates

    def replay(self, units: Any = None) -> Replay:
        """Follow some units again through the recorded spikes, weights, delays and drive.

        In plain NumPy, by none of the code that simulated, so that it can check it; spikes are not drawn but taken as
        recorded.

        Args:
            units: ids; by default all. Memory is some arrays of steps times these units, and goes with the spikes.

        Raises:
            UserError: for a unit that does not exist.

        >>> import sparsefire as sf
        >>> pair = sf.Wiring.from_edges([0], [1], [0.5])
        >>> run = sf.spiking.simulate(pair, sf.spiking.LIF(2, tau=0.02), [2.0, 0.0], duration=0.02, dt=1e-3)
        >>> seen = run.replay([1])
        >>> seen.v[[13, 14, 15], 0].round(3).tolist()  # unit 0 fires in step 13
        [0.0, 0.5, 0.476]
        """
        from sparsefire.spiking.engine._replay import replayed  # late: scipy.sparse

        return replayed(self, units)
