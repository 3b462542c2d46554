"""What the kernels of the simulator work on, and what they change."""

from __future__ import annotations

from typing import Any, NamedTuple

NO_NOISE, EXPONENTIAL, LINEAR, ERF = 0, 1, 2, 3


class Arcs(NamedTuple):
    """Who acts on whom, sorted for delivery block by block."""

    bounds: Any  # int64 [senders, blocks + 1]: arcs of a sender into block b are bounds[u, b] … bounds[u, b + 1]
    receivers: Any  # [arcs], columns of the arrivals, counted from the first one of the block
    weights: Any  # float64 [arcs], or [0] where all arcs of a sender have one weight
    weight: Any  # float64 [senders], then
    delays: Any  # int32 [arcs] steps, or [0] where all arcs have one
    delay: Any  # int, then


class Cells(NamedTuple):
    """Parameters, float64 [units], and what all units share."""

    decay: Any
    base: Any  # what a step adds without any input
    gain: Any  # potential per synaptic current, within a step
    feed: Any  # potential, or synaptic current, per external current
    threshold: Any
    reset: Any
    synapse: Any  # what is left of a synaptic current after a step; [0] for delta synapses
    steady: Any  # what the constant current adds to it; [0] for delta synapses
    soft: Any
    refractory: Any  # steps
    fall: Any  # of the raised threshold
    rise: Any
    form: Any  # of the escape noise
    hazard: Any  # ρ₀ dt
    width: Any
    response: Any  # of after-potentials, float64 [2, units]: what a step leaves, the jump; [2, 0] without
    last: Any  # whether the last spike alone counts there
    conductances: Any  # float64 [7, units]: left of both by a step, v_e, v_i, v_leak, dt/τ, constant; [7, 0] without


class Drive(NamedTuple):
    """External input."""

    current: Any  # float64 [steps, units], or [0, 0]
    tables: Any  # these four as of drives.PoissonTables
    begins: Any
    least: Any
    guides: Any
    table_of: Any  # int32 [drives, units]: the law
    weight: Any  # float64 [drives, units]
    keys: Any  # uint64 [drives]
    starts: Any  # int64 [steps + 1]: arrivals of step t are sources[starts[t]:starts[t + 1]]
    sources: Any  # int32 [arrivals]


class State(NamedTuple):
    """What changes, [units] each."""

    v: Any
    inner: Any  # [0 or more, units]: synaptic current; potential and after-potential; two conductances
    free_from: Any  # int64, the first step in which a unit is not refractory
    raised: Any  # [0] without adaptation
    left: Any  # hazard until the next spike; [0] without noise
    due: Any  # float64 [slots, columns]: arrivals by the step in which they are due; slots a power of 2
    key: Any
    begun: Any  # steps before the first one of this call: random numbers are counted on


class Fired(NamedTuple):
    """Spikes of the last two windows, by parity of the window and block."""

    ids: Any  # int32 [2, blocks, most]
    ends: Any  # int64 [2, blocks, steps of a window + 1]
