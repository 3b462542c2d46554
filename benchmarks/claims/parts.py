"""What a claim is made of: comparisons of two arms, shares of a gap, and rises over a series of arms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from claims.cases import Arm

Published = tuple[float, str]
"""A number of a paper, in the unit of the part, and where it was measured."""


@dataclass(frozen=True)
class Comparison:
    """One arm against another.

    Attributes:
        ours: the arm that is said to be better, or as good.
        base: the other.
        claim: ``"better"``, ``"not worse"`` by the margin or more, or ``"same"`` within the margin.
        words: the pair, for the page.
        published: the difference in points; None where no number is known.
        margin: in points.
        entries: of the records of both arms that are compared, shares.
    """

    ours: Arm
    base: Arm
    claim: str
    words: str
    published: Published | None = None
    margin: float = 1.0
    entries: tuple[str, str] = ("accuracy", "accuracy")

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Return the arms it looks at."""
        return self.ours, self.base


@dataclass(frozen=True)
class Share:
    """What share of the gap from one arm to another a third one closes.

    Attributes:
        ours: the third arm.
        low, high: the ends of the gap.
        claim: whether the share is said to be ``"at least"`` or ``"at most"`` the bound.
        bound, words, published: as of :class:`Comparison`.
    """

    ours: Arm
    low: Arm
    high: Arm
    claim: str
    bound: float
    words: str
    published: Published | None = None

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Return the arms it looks at."""
        return self.ours, self.low, self.high


@dataclass(frozen=True)
class Rise:
    """Accuracy that rises with something seen in training, over a series of arms: Spearman's ρ of their means.

    Attributes:
        arms: the series.
        of: the entry of the records that accuracy is said to rise with.
        words: for the page.
        bound: ρ is said to be larger.
    """

    arms: tuple[Arm, ...]
    of: str
    words: str
    bound: float
    published: Published | None = None


Part = Comparison | Share | Rise


@dataclass(frozen=True)
class Experiment:
    """One claim of the literature.

    Attributes:
        number: in the list of acceptance experiments.
        title: of its part of the page.
        claim: in words.
        source: of the claim.
        parts: how it is judged.
        shown: further arms to train and to list.
    """

    number: int
    title: str
    claim: str
    source: str
    parts: tuple[Part, ...]
    shown: tuple[Arm, ...] = ()

    def arms(self) -> Iterator[Arm]:
        """Yield all arms, sources before the arms that start from them."""
        for arm in (*(arm for part in self.parts for arm in part.arms), *self.shown):
            if arm.source is not None:
                yield arm.source
            yield arm
