"""Students of the sparse teacher."""

from __future__ import annotations

from dataclasses import dataclass

from dimension.teacher import INPUTS, UNITS


@dataclass(frozen=True)
class Student:
    """One network.

    Attributes:
        kind: ``"oracle"``, ``"random"``, ``"dense"``, ``"noise"`` or ``"noise, queries"`` (masks found).
        width: hidden units.
        fan_in: inputs of a unit (on average, where the mask is found).
    """

    kind: str
    width: int
    fan_in: int

    @property
    def name(self) -> str:
        return f"{self.kind} {self.width}" if self.kind == "dense" else f"{self.kind} {self.width} × {self.fan_in}"

    @property
    def active(self) -> int:
        """Return N: hidden weights and biases, readout, one bias.

        >>> Student("oracle", 16, 4).active
        97
        """
        return self.width * (self.fan_in + 2) + 1

    @property
    def able(self) -> bool:
        """Return whether the student can be the teacher, whatever it learns."""
        return self.width >= UNITS and self.kind in ("oracle", "dense")


def narrow(active: int) -> Student:
    """Return the dense student with as many active weights, as near as whole units allow.

    >>> narrow(97)
    Student(kind='dense', width=4, fan_in=20)
    """
    return Student("dense", max(1, round((active - 1) / (INPUTS + 2))), INPUTS)


ORACLE = tuple(Student("oracle", *size) for size in ((8, 4), (16, 4), (32, 4), (64, 4), (16, 8), (16, 12)))
RANDOM = tuple(Student("random", *size) for size in ((16, 4), (16, 8), (16, 12), (32, 4)))
FOUND = (Student("noise", 16, 4), Student("noise", 16, 8), Student("noise, queries", 16, 4))
DENSE = tuple(Student("dense", width, INPUTS) for width in (8, 16, 32))
NARROW = tuple(dict.fromkeys(narrow(one.active) for one in (*ORACLE, *RANDOM)))
WEIGHTS = tuple(dict.fromkeys((*ORACLE, *DENSE, *NARROW, *RANDOM, *FOUND)))
"""Students of two queries."""
NODES = (*ORACLE, *DENSE, narrow(97), narrow(193), RANDOM[0], RANDOM[1], FOUND[0])
"""Students of node perturbation."""
BY_NAME = {one.name: one for one in (*WEIGHTS, *NODES)}
