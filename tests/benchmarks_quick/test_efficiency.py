"""Oracles: constants of the normal case, the exact path of a linear recursion, runs that are shared by all readings."""

import json

import efficiency
import numpy as np
import pytest
from bounds import cases, page, pictures, tables
from bounds.cases import Case

SMALL = {"dimension": 3, "runs": 64, "times": 10}


def made(case: Case, factor: float, rng: np.random.Generator) -> dict:
    """A record whose runs have ``factor`` times the bound, with errors that are normal."""
    d, k = case.dimension, case.times * case.offset
    own = tables.bound(case.design, case.noise, d)
    last = factor * own / tables.scale(k, d) * rng.chisquare(d, case.runs) / d
    return {**vars(case), "k": [k], "mean": [last.mean()], "error": [last.std() / 8], "median": [np.median(last)],
            "last": last.tolist()}  # fmt: skip


def test_limits_of_the_normal_case():
    for reading, wanted in (("none", 1.5), ("previous", 2.0), ("mean", 1 + 0.02 / 1.98), ("score", 1.0)):
        assert tables.limit("normal", "normal", reading, 6) == pytest.approx(wanted)
    assert tables.bound(*cases.ATOMS, 6) == 72.0


def test_a_linear_recursion_from_the_truth_is_scaled_to_its_constant(monkeypatch):
    from sparsefire.convergence.exact.constants import ScalarRisk

    monkeypatch.setattr(tables, "scalar_risk", lambda *_: ScalarRisk(5.0, 1.0, 0.0, True))
    found = tables.expected.__wrapped__("normal", "normal", "none", 2, 500)
    assert found * tables.bound("normal", "normal", 2) == pytest.approx(5.0, rel=1e-10)


def test_every_reading_meets_the_same_inputs_and_noise():
    """The running mean and the score are the same rule for normal laws but for the mean itself: risks nearly agree."""
    (mean,), (score,) = (cases.run(Case("normal", "normal", reading, **SMALL)) for reading in ("mean", "score"))
    assert np.corrcoef(mean["last"], score["last"])[0, 1] > 0.7
    assert mean["k"][-1] == 10 * 54
    (again,) = cases.run(Case("normal", "normal", "mean", **SMALL))
    assert again == mean


def test_ratios_and_intervals_find_what_was_put_in():
    rng = np.random.default_rng(0)
    place = ("sparse", "laplace")
    held = tables.Cases([made(Case(*place, "mean"), 1.5, rng), made(Case(*place, "score"), 1.0, rng)])
    for value in (held.ratio(*place, "mean"), held.middle(*place, "mean"), held.saved(*place)):
        assert value[1] < 1.5 < value[2]
        assert value[2] - value[1] < 0.2
    assert held.ratio(*place, "none") is None


def test_where_there_is_no_mean_the_median_stands_in_and_what_diverged_is_told():
    rng = np.random.default_rng(2)
    heavy, lost = made(Case("student", "normal", "mean"), 1.2, rng), made(Case("sparse", "normal", "mean"), 1.2, rng)
    lost["last"][:3] = [np.inf] * 3
    held = tables.Cases([heavy, lost])
    assert held.ratio("student", "normal", "mean") == held.middle("student", "normal", "mean")
    assert held.ratio("sparse", "normal", "mean")[0] == pytest.approx(1.2, abs=0.1)
    assert held.diverged("sparse", "normal", "mean") == 3
    assert "3 of 2,048 (sparse" in tables.diverged_text(held)
    assert tables.diverged_text(tables.Cases([heavy])) == ""


def test_no_case_twice_and_atoms_have_no_score():
    everything = cases.all_cases()
    assert len(set(everything)) == len(everything)
    assert not any((case.design, case.noise, case.reading) == (*cases.ATOMS, "score") for case in everything)
    assert len([case for case in everything if case.dimension == cases.DIMENSION and case.times == 40]) == 47


def test_the_page_and_its_pictures_are_made_of_what_there_is(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    found = [made(case, tables.limit(case.design, case.noise, case.reading, case.dimension), rng)
             for case in cases.all_cases() if case.dimension == cases.DIMENSION]  # fmt: skip
    text = page.markdown(found)
    assert text.count("→") >= 47
    json.dumps(page.records(found))
    assert "risk over the Fisher bound" in pictures.ratios(tables.Cases(found))


def test_work_is_kept_and_not_done_twice(tmp_path, monkeypatch, capsys):
    path = tmp_path / "cases.jsonl"
    monkeypatch.setattr(efficiency, "STORE", path)
    monkeypatch.setattr(cases, "all_cases", lambda: [Case("normal", "normal", "none", **SMALL)])
    assert efficiency.main(["--workers", "1"]) == 0
    kept = path.read_text()
    assert cases.done(Case("normal", "normal", "none", **SMALL), [json.loads(kept)])
    assert efficiency.main(["--workers", "1"]) == 0
    assert path.read_text() == kept
    assert "no baseline" not in capsys.readouterr().err.splitlines()[-1:]
