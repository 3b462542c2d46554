"""What a rule has spent: rules can be compared only by what they count."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass
class Budget:
    """What all calls of a rule together have used.

    Attributes:
        calls: of the rule.
        samples: rows of all batches, each counted once per call, however often it is asked about.
        queries: losses read: one for each number that the rule sees, so a batch of 32 losses per example is 32.
        forward_passes: of a whole batch through the whole network, in products of weights and activities; parts of a
            pass count as fractions, a pass with its directional derivative as 2, a backward pass as 2.
        random_bits: that the laws of the noise take: 1 for a sign, 32 for a normal or uniform number, ⌈log₂ 2n⌉ for one
            of n coordinates and its sign.

    >>> budget = Budget(); budget.add(samples=32, queries=2, forward_passes=2); budget.queries
    2
    """

    calls: int = 0
    samples: int = 0
    queries: int = 0
    forward_passes: float = 0.0
    random_bits: int = 0

    def add(self, samples: int = 0, queries: int = 0, forward_passes: float = 0.0, random_bits: int = 0) -> None:
        """Count one call."""
        self.calls += 1
        self.samples += samples
        self.queries += queries
        self.forward_passes += forward_passes
        self.random_bits += random_bits

    def state_dict(self) -> dict[str, float]:
        """Return plain numbers."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from such numbers."""
        for name, value in state.items():
            setattr(self, name, type(getattr(self, name))(value))
