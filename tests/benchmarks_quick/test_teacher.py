"""The page of the teacher–student study, from records whose risks are those of theory, and a case made small."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from taught import cases, page


def records() -> list[cases.Record]:
    """Return risks d/(2n), times the price for reward, with runs 10% above and below."""
    made = []
    for case in cases.all_cases():
        spikes = 0.1 * case.dimension * np.array(case.points)
        price = 8.0 if case.learner == "reward" else 1.0
        risk = price * case.dimension / 2 / spikes
        schedule = None if case.learner == cases.LEARNERS[0] else {"step_size": 0.2, "power": 0.5, "after": 200}
        made.append(
            {
                **asdict(case), "schedule": schedule, "edge": False, "chance": 0.1, "price": 8.0,
                "points": list(case.points), "spikes": spikes.tolist(),
                "risks": [(risk * share).tolist() for share in (0.9, 1.0, 1.1)],
            }
        )  # fmt: skip
    return made


def test_theory_has_exponent_1_and_its_constants() -> None:
    found = records()
    text = page.markdown(found)
    assert text.count("1.00 [1.00, 1.00]") >= 9  # exponents
    rewarded, likely = (page.of(found, learner, 40) for learner in ("reward", "likelihood"))
    assert rewarded is not None
    assert likely is not None
    assert page.ratio(rewarded, likely) == pytest.approx((8.0, 8.0, 8.0))
    for record in page.records(found):
        assert record["ratio"] == pytest.approx(1.0)


def test_a_case_is_done_once_its_record_is_there() -> None:
    found = records()
    assert all(cases.done(case, found) for case in cases.all_cases())
    assert not any(cases.done(case, found) for case in cases.few())


def test_the_same_teacher_for_all_learners() -> None:
    first, held_out, number = cases.taught(cases.Case(10, "reward"), 3, "run")
    other, again, same = cases.taught(cases.Case(10, "likelihood"), 3, "run")
    assert (first.weights == other.weights).all()
    assert (held_out.spikes == again.spikes).all()
    assert number == same
    tuned, _, _ = cases.taught(cases.Case(10, "reward"), 3, "tune")
    assert (tuned.weights != first.weights).any()
