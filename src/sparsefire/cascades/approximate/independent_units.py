"""The law of the number of active units if all were independent of each other: mean field, with given marginals."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.exact.stitch import stitched
from sparsefire.cascades.exact.tree import probabilities
from sparsefire.errors import UserError

FAR = 4096  # units up to which gaps that no tilt reaches are filled by slow arithmetic


def independent_units_law(marginals: Any, method: str = "mean-field") -> SizeDistribution:
    """Return the law of a sum of independent zeros and ones, ∏ (1 - p_i + p_i y) (the Poisson binomial law).

    A balanced tree of products of positive polynomials: O(n²), in practice less, since far factors that cannot be seen
    are passed over. Nothing is subtracted: probabilities keep a relative accuracy of about 1e-12, however small, and
    their sum is 1 to about 1e-14.

    Args:
        marginals: P(unit is active), in [0, 1], float64 [n].
        method: what to call it.

    Raises:
        UserError: no units, or an entry outside [0, 1].

    >>> independent_units_law([0.5, 0.5, 1.0]).pmf.tolist()
    [0.0, 0.25, 0.5, 0.25]
    """
    given = np.asarray(marginals, dtype=np.float64)
    p = probabilities(given, given.size if given.ndim else 0, "marginals")
    if not len(p):
        raise UserError("a sum needs units.", came="none", expected="marginals [n]")

    from sparsefire.cascades.approximate._units_kernels import log_units, units_pass
    from sparsefire.cascades.exact._scaled import WIDTH

    def run(mantissa: float, exponent: int) -> tuple[np.ndarray, bool]:
        return units_pass(p, float(mantissa), int(exponent))

    def slow() -> np.ndarray:
        return log_units(p) if len(p) <= FAR else np.full(len(p) + 1, -np.inf)

    logs = stitched(run, len(p) + 1, int((p == 1).sum()), int((p > 0).sum()), slow, WIDTH)
    return SizeDistribution.from_log_pmf(logs, method)
