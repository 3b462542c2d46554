"""Oracle: the mask itself, read entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sparsefire import Wiring
from sparsefire.errors import UserError
from sparsefire.spiking import Synapses
from sparsefire.wiring import from_mask


def test_both_ends_find_every_synapse() -> None:
    mask = np.random.default_rng(0).random((5, 8)) < 0.3
    for synapses in (Synapses.from_mask(mask), Synapses.from_mask(torch.from_numpy(mask)),
                     Synapses.from_wiring(from_mask(mask))):  # fmt: skip
        assert synapses.shape == (5, 8)
        assert len(synapses) == mask.sum()
        forward = {(i, int(j)) for i in range(8)
                   for j in synapses.receivers[synapses.starts[i] : synapses.starts[i + 1]]}  # fmt: skip
        assert forward == {(i, j) for j, i in np.argwhere(mask)}
        for j in range(5):
            part = slice(synapses.back_starts[j], synapses.back_starts[j + 1])
            assert sorted(synapses.back_senders[part]) == np.flatnonzero(mask[j]).tolist()
            assert (synapses.receivers[synapses.back_arcs[part]] == j).all()
            assert (synapses.senders[synapses.back_arcs[part]] == synapses.back_senders[part]).all()
        assert mask.reshape(-1)[synapses.places].all()


def test_parallel_arcs_are_kept() -> None:
    synapses = Synapses.from_wiring(Wiring.from_edges([0, 0, 1], [1, 1, 0]))
    assert len(synapses) == 3
    assert np.diff(synapses.back_starts).tolist() == [1, 2]


def test_no_synapses_and_bad_masks() -> None:
    assert len(Synapses.from_mask(np.zeros((2, 3)))) == 0
    for mask in (np.ones(3), np.ones((2, 2, 2)), np.array([["a"]])):
        with pytest.raises(UserError, match="a mask"):
            Synapses.from_mask(mask)
