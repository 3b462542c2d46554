"""Random masks that are spread evenly: fan-ins, and fan-outs, that differ by one at most."""

from __future__ import annotations

import math

import numpy as np

from sparsefire.wiring.layouts import Shape


def even_mask(shape: Shape, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return a random mask with exactly ``count`` weights, spread evenly over outputs and inputs.

    >>> found = even_mask((4, 6), 8, np.random.default_rng(0))
    >>> found.sum(1).tolist(), sorted(found.sum(0).tolist())
    ([2, 2, 2, 2], [1, 1, 1, 1, 2, 2])
    """
    outs, entries = shape[0], math.prod(shape[1:])
    if 2 * count > outs * entries:  # deal the holes
        return ~even_mask(shape, outs * entries - count, generator)
    fan_in = np.full(outs, count // outs)
    fan_in[generator.choice(outs, count % outs, replace=False)] += 1
    order = generator.permutation(outs)  # neighbours in a deck share no input; which rows are neighbours is chance
    ends = fan_in[order].cumsum()
    mask = np.zeros((outs, entries), dtype=bool)
    mask[np.repeat(order, fan_in[order]), _decks(entries, shape[1], ends, generator)] = True
    return mask.reshape(shape)


def _decks(entries: int, inputs: int, ends: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a concatenation of permutations of the entries, cut at ``ends`` into rows without repetition."""
    total = int(ends[-1])
    decks = -(-total // entries)
    if not decks:
        return np.empty(0, dtype=np.int64)
    cards = generator.permuted(np.broadcast_to(np.arange(entries), (decks, entries)), axis=1)
    if inputs < entries:  # the first deck shows every channel before any channel twice
        taps = entries // inputs
        channels = generator.permuted(np.broadcast_to(np.arange(inputs), (taps, inputs)), axis=1)
        tap = generator.permuted(np.broadcast_to(np.arange(taps), (inputs, taps)), axis=1)
        cards[0] = (channels * taps + tap[channels, np.arange(taps)[:, None]]).ravel()
    # The row that crosses the end of deck d takes the last tails[d] cards of it and the first heads[d + 1] of the next.
    cuts = np.arange(1, decks) * entries
    row = np.searchsorted(ends, cuts)
    starts = np.concatenate([[0], ends[:-1]])[row]
    crossed = ends[row] > cuts
    tails = np.append(np.where(crossed, cuts - starts, 0), 0)
    heads = np.concatenate([[0], np.where(crossed, ends[row] - cuts, 0)])
    middle = np.arange(1, decks, 2)  # every second deck is arranged to suit both its neighbours
    place = np.arange(entries)
    before = _marked(cards[middle - 1], place >= entries - tails[middle - 1, None])
    after = np.zeros_like(before)
    has_next = middle + 1 < decks
    after[has_next] = _marked(cards[middle[has_next] + 1], place < heads[middle[has_next] + 1, None])
    keys = generator.random((3, *before.shape), dtype=np.float32)
    head = _marked(np.argsort(keys[0] + before, axis=1), place < heads[middle, None])
    tail = _marked(np.argsort(keys[1] + after + 2 * head, axis=1), place < tails[middle, None])
    cards[middle] = np.argsort(keys[2] - head + tail, axis=1)
    return cards.ravel()[:total]


def _marked(cards: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return whether a card lies at one of the places given, bool [decks, cards]."""
    found = np.zeros(cards.shape, dtype=bool)
    np.put_along_axis(found, cards, where, axis=1)
    return found
