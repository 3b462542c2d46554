"""Recursions of the exponential kernel over spikes in order (Ogata 1978): O(1) per spike and pair of units."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def compensators(times, units, baseline, branching, decay, duration):
    """Return ∫₀ᵗ λ of the own unit at each spike, and of all units at the end."""
    m = len(baseline)
    trace, seen = np.zeros(m), np.zeros(m)  # Σ e^(−β (t − t_k)) and number of spikes, of each unit
    found, last = np.empty(len(times)), 0.0
    for k in range(len(times)):
        fade = np.exp(-decay * (times[k] - last))
        i, total = units[k], 0.0
        for j in range(m):
            trace[j] *= fade
            total += branching[i, j] * (seen[j] - trace[j])
        found[k] = baseline[i] * times[k] + total
        trace[i] += 1.0
        seen[i] += 1.0
        last = times[k]
    fade = np.exp(-decay * (duration - last))
    end = np.empty(m)
    for i in range(m):
        total = baseline[i] * duration
        for j in range(m):
            total += branching[i, j] * (seen[j] - trace[j] * fade)
        end[i] = total
    return found, end


@numba.njit(nogil=True, cache=True)
def log_likelihood(times, units, baseline, branching, decay, duration):
    """Return Σ log λ − Σ_i ∫ λ_i and its gradients by baseline [m], branching [m, m] and decay."""
    m = len(baseline)
    trace, moment = np.zeros(m), np.zeros(m)  # Σ e^(−β a), Σ a e^(−β a) over the ages a of past spikes
    seen = np.zeros(m)
    by_mu, by_n, by_decay = np.zeros(m), np.zeros((m, m)), 0.0
    value, last = 0.0, 0.0
    for k in range(len(times)):
        gap = times[k] - last
        fade = np.exp(-decay * gap)
        i = units[k]
        rate, slope = baseline[i], 0.0
        for j in range(m):
            moment[j] = fade * (moment[j] + gap * trace[j])
            trace[j] *= fade
            rate += branching[i, j] * decay * trace[j]
            slope += branching[i, j] * (trace[j] - decay * moment[j])
        if rate <= 0.0:
            return -np.inf, by_mu, by_n, by_decay
        value += np.log(rate)
        by_mu[i] += 1.0 / rate
        for j in range(m):
            by_n[i, j] += decay * trace[j] / rate
        by_decay += slope / rate
        trace[i] += 1.0
        seen[i] += 1.0
        last = times[k]
    gap = duration - last
    fade = np.exp(-decay * gap)
    for j in range(m):
        moment[j] = fade * (moment[j] + gap * trace[j])
        trace[j] *= fade
        spent = seen[j] - trace[j]
        for i in range(m):
            value -= branching[i, j] * spent
            by_n[i, j] -= spent
            by_decay -= branching[i, j] * moment[j]
    for i in range(m):
        value -= baseline[i] * duration
        by_mu[i] -= duration
    return value, by_mu, by_n, by_decay
