"""Which synapses exist, found from either end: what an event on sparse weights visits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import array


@dataclass(frozen=True, eq=False, repr=False)
class Synapses:
    """The synapses of a mask or of a wiring, sender by sender; those of one receiver are found, too.

    Attributes:
        shape: (receivers, senders), as of a weight [out, in].
        starts, receivers: synapses of sender i reach ``receivers[starts[i]:starts[i + 1]]``.
        back_starts, back_arcs, back_senders: those of receiver j are ``back_arcs[back_starts[j]:back_starts[j + 1]]``,
            and come from ``back_senders`` at the same places.

    >>> synapses = Synapses.from_mask([[1, 0, 1], [0, 1, 0]])
    >>> synapses
    Synapses(3 of 3 → 2 units)
    >>> synapses.receivers.tolist(), synapses.places.tolist()
    ([0, 1, 0], [0, 4, 2])
    """

    shape: tuple[int, int]
    starts: np.ndarray
    receivers: np.ndarray
    back_starts: np.ndarray
    back_arcs: np.ndarray
    back_senders: np.ndarray

    @classmethod
    def from_mask(cls, mask: Any) -> Synapses:
        """Return the synapses where a mask [out, in], array or tensor, is not zero.

        Raises:
            UserError: for anything but a matrix.
        """
        kept = array("a mask", mask.detach().cpu() if hasattr(mask, "detach") else mask)
        if kept.ndim != 2:
            raise UserError("a mask is a matrix.", came=f"shape {kept.shape}", expected="[out, in]")
        senders, receivers = np.nonzero(kept.T)
        return cls._from(senders, receivers, (kept.shape[0], kept.shape[1]))

    @classmethod
    def from_wiring(cls, wiring: Any) -> Synapses:
        """Return the arcs of a :class:`~sparsefire.Wiring`, in its order.

        >>> from sparsefire import Wiring
        >>> Synapses.from_wiring(Wiring.from_edges([0, 1], [1, 0], shape=(2, 3))).shape
        (3, 2)
        """
        return cls._from(wiring.senders, wiring.receivers, (wiring.shape[1], wiring.shape[0]))

    @classmethod
    def _from(cls, senders: np.ndarray, receivers: np.ndarray, shape: tuple[int, int]) -> Synapses:
        back = np.argsort(receivers, kind="stable")
        return cls(
            shape,
            _starts(senders, shape[1]),
            receivers.astype(np.int32),
            _starts(receivers, shape[0]),
            back,
            senders[back].astype(np.int32),
        )

    @property
    def senders(self) -> np.ndarray:
        """Where each synapse comes from, int64 [synapses]."""
        return np.repeat(np.arange(self.shape[1]), np.diff(self.starts))

    @property
    def places(self) -> np.ndarray:
        """Where each synapse stands in a weight [out, in] that is read row by row, int64 [synapses]."""
        return self.receivers.astype(np.int64) * self.shape[1] + self.senders

    @property
    def index(self) -> tuple[np.ndarray, ...]:
        """What kernels read."""
        return self.starts, self.receivers, self.back_starts, self.back_arcs, self.back_senders

    def __len__(self) -> int:
        return len(self.receivers)

    def __repr__(self) -> str:
        return f"Synapses({len(self):,} of {self.shape[1]:,} → {self.shape[0]:,} units)"


def _starts(units: np.ndarray, number: int) -> np.ndarray:
    found = np.zeros(number + 1, np.int64)
    np.cumsum(np.bincount(units, minlength=number), out=found[1:])
    return found
