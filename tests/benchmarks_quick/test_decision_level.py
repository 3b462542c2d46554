"""Oracle: populations with known truth, sent in small numbers through the shipped code; and its machinery."""

import json
from dataclasses import replace

import decision_level
import numpy as np
import pytest
from decision import experiments, peers, store, tables
from decision.cells import CELLS, Cell
from decision.learners import DENSE, FAMILY, LEARNERS, Net
from decision.populations import POPULATIONS
from scipy.stats import t

from sparsefire.randomness import stream
from sparsefire.statistics import auc

BY_NAME = {cell.name: cell for cell in CELLS}
SETS = 60


def cheap(name: str, sets: int = SETS, trainings: int = 800) -> tuple[Cell, list, list]:
    """Return a cell, its records, and its truth (which needs few trainings to be exact enough for so few data sets)."""
    cell = replace(BY_NAME[name], chunk=sets, sets=sets)
    truth = [] if cell.truth == 0 else [experiments.truth(cell, i, 200) for i in range(trainings // 200)]
    return cell, experiments.chunk(cell, 0), truth


@pytest.mark.parametrize("name", ["cls cut 200", "cls eq 200", "cls fix 200", "reg drop 200"])
def test_false_passes_stay_at_the_level(name):
    for row in tables.single_rows(*cheap(name)):
        assert tables.within(row.rate, 0.05, row.sets), row
        assert row.power["low"] > 0.3, row  # a bound that never passes would keep any level
        assert row.rivals["clt1"] >= row.rate


def test_the_walk_keeps_the_familywise_level():
    for row in tables.family_rows(*cheap("family 200", 30, 400)):
        assert tables.within(row.rate, 0.05, row.sets), row


def test_the_gate_blocks_noise_that_would_pass_without_it():
    row = tables.gate_row(*cheap("no signal 200")[:2])
    assert row.rate == 0.0
    assert row.rivals["no gate"] > 0.5


def test_bad_initialisations_are_warned_of():
    (row,) = tables.single_rows(*cheap("bad starts 1000", 40, 600))
    assert row.extra["skewness"] < -0.8
    assert row.extra["warned"] > 0.9


def test_equal_learners_have_no_difference_and_frozen_ones_no_spread():
    rng = stream(0, "test")
    sample = POPULATIONS["cls"](rng, (100,))
    folds = np.arange(100) % 10
    frozen = LEARNERS["fix"][1]
    first, second = (frozen.out_of_fold(sample.x, sample.y, folds, stream(0, k)) for k in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(*(DENSE.out_of_fold(sample.x, sample.y, folds, stream(0, k)) for k in range(2)))


@pytest.mark.parametrize("learner", ["cut", "drop", "tree", "knn"])
def test_out_of_fold_is_training_without_the_fold(learner):
    small, _ = LEARNERS[learner]
    sample = POPULATIONS["reg"](stream(0, "rows"), (60,))
    folds = np.arange(60) % 5
    fast = small.out_of_fold(sample.x, sample.y, folds, stream(0, "start"))
    for k in range(5):
        held = folds == k
        slow = small.fresh(sample.x[None, ~held], sample.y[None, ~held], sample.x[None, held], stream(0, "start"))
        np.testing.assert_allclose(fast[held], slow[0], rtol=1e-6, atol=1e-8)


def test_nets_connect_as_they_say():
    w, _ = Net(30, fan_in=3, inputs=5).draw(stream(0, "draw"), 4)
    assert w.shape == (4, 8, 30)
    assert ((w != 0).sum(axis=1) == 3).all()
    assert ((w != 0).any(axis=2).sum(axis=1) <= 5).all()
    for chain in FAMILY.values():
        weights = [net.weights for net in chain]
        assert weights == sorted(weights, reverse=True)


def test_expected_scores_agree_with_scores_of_drawn_targets():
    rng = stream(0, "expected")
    new = POPULATIONS["rare"](rng, (1, 200_000))
    values = new.mean + 0.3 * rng.standard_normal(new.mean.shape)
    assert experiments.expected("accuracy", new, values)[0] == pytest.approx(
        ((values > 0.5) == new.y).mean(), abs=0.004
    )
    assert experiments.expected("auc", new, values)[0] == pytest.approx(auc(new.y[0], values[0]), abs=0.01)
    number = POPULATIONS["reg"](rng, (1, 200_000))
    loss = np.square(number.y - 0.5).mean() - number.variance.mean()
    assert -experiments.expected("r2", number, np.full((1, 200_000), 0.5))[0] == pytest.approx(loss, abs=0.05)


def test_rivals_are_their_formulas():
    d = np.random.default_rng(0).normal(size=(40, 2))
    folds = np.stack([np.arange(40) % 4, np.arange(40) // 10], axis=1)
    means = [d[folds[:, r] == k, r].mean() for r in range(2) for k in range(4)]
    error = np.sqrt((1 / 8 + 1 / 3) * np.var(means, ddof=1))
    assert peers.nadeau_bengio(d, folds, 0.05) == pytest.approx(np.mean(means) - t.ppf(0.95, 7) * error)
    assert peers.central_limit(d[:, 0], 0.05) == pytest.approx(
        d[:, 0].mean() - 1.644854 * d[:, 0].std(ddof=1) / 40**0.5
    )


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    cells = tuple(replace(BY_NAME[name], sets=6, chunk=3, truth=800) for name in ("cls cut 200", "reg drop 200"))
    everything = store.pieces(cells)
    for piece in everything[::2]:
        store.make(piece, tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jsonl")}
    (tmp_path / cells[0].folder / "sets-0000.part123").write_text('{"half')
    decision_level.run(cells, tmp_path, 1)
    assert all(piece.path(tmp_path).exists() for piece in everything)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    for cell in cells:
        assert [record["set"] for record in store.load(cell, "sets", tmp_path)] == list(range(6))
    rows = tables.rows_of(cells, tmp_path)
    assert [(row.cell.name, row.label) for row in rows] == [
        ("cls cut 200", "accuracy"),
        ("reg drop 200", "r2"),
        ("reg drop 200", "squared error"),
    ]
    page = decision_level.markdown(rows)
    assert page.count("\n| ") >= 9
    for record in json.loads(json.dumps(decision_level.records(rows))):
        assert {"area", "job", "ours", "peer", "peer_name", "ratio", "unit"} <= set(record)
    assert decision_level.check(cells, tmp_path) == 0


def test_every_cell_of_the_table_has_enough_data_sets():
    assert all(cell.sets >= 500 for cell in CELLS)
    assert len({cell.folder for cell in CELLS}) == len(CELLS)


def test_what_the_page_calls_met():
    assert tables.within(0.05 + 2.9 * (0.05 * 0.95 / 1000) ** 0.5, 0.05, 1000)
    assert not tables.within(0.05 + 3.1 * (0.05 * 0.95 / 1000) ** 0.5, 0.05, 1000)
    single = {"T": 0.0, "low": 0.1, "low_each": 0.1, "share": 0.9, "clt1": 0.1, "clt": 0.1, "nb1": 0.1, "nb": 0.1}
    truth = [{"count": 2, "spread": 1.0, "small": [0.0, 0.02, 0.0]}]
    for flags, met in (("L", True), ("S", False)):
        records = [{"set": i, "seconds": 0.1, "accuracy": {**single, "T": 0.01 * i, "flags": flags}} for i in range(40)]
        (row,) = tables.single_rows(BY_NAME["bad starts 1000"], records, truth)
        assert (row.rate, row.met) == (1.0, met)
        assert [record["met"] for record in json.loads(json.dumps(decision_level.records([row])))] == [met] * 4
        assert ("warned" in decision_level.markdown([row]).split("at 1.67")[1].split("\n")[2]) == met
        (row,) = tables.single_rows(BY_NAME["cls cut 1000"], records, truth)
        assert row.met is False
        assert decision_level.promises([row])
