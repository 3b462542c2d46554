"""Oracles: records made up with known means, a picture read back, and Brian2's equations where Brian2 is."""

import io
import json

import diehl_cook
import numpy as np
import pytest
from competing import cases, page
from spiked import stdp


def made(arm, replicate, top):
    """A record whose last accuracies are ``top``."""
    accuracy = {vote: [0.5, 0.7, top] for vote in page.VOTES}
    return {
        "arm": arm, "replicate": replicate, "samples": cases.SAMPLES, "tested": 10_000, "at": [1000, 5000, 20_000],
        "accuracy": accuracy, "seconds": {"learning": 8.0, "labels": 5.0, "test": 2.0}, "presentations": 21_000,
        "spikes": 20.0, "labelled": 400, "theta": [30.0, 40.0, 45.0],
    }  # fmt: skip


def test_the_page_tells_means_and_intervals():
    found = [made("published", i, top) for i, top in enumerate([0.86, 0.87, 0.88])]
    text = " ".join(page.markdown([made("direct", 0, 0.93), *found]).split())
    assert "**Met on average: 0.870 [0.845, 0.895]" in text
    assert text.index("**Met on average") < text.index("With direct inhibition, our variant, 0.930")
    assert text.index("400 units, inhibitory layer") < text.index("400 units, direct inhibition")
    assert "15 s of one core" in text
    assert page.markdown([made("published", i, 0.9 + i / 1000) for i in range(3)]).count("**Met: 0.901") == 1
    assert "**Missed" in page.markdown([made("published", i, 0.8 + i / 1000) for i in range(3)])
    first = page.records(found)[0]
    assert first["ours"] == pytest.approx(0.87)
    assert first["ratio"] == pytest.approx(0.87 / 0.85)


def test_what_is_stored_is_not_run_again():
    assert len(cases.everything()) == len(set(cases.everything())) == len(cases.ARMS) * cases.REPLICATES
    found = json.loads(json.dumps([made("direct", 1, 0.9)]))
    assert [cases.done(cases.Case("direct", i), found) for i in (0, 1)] == [False, True]


def test_the_picture_can_be_read_and_shows_strong_weights_dark():
    image = pytest.importorskip("matplotlib.image")
    weights = np.zeros((4, 9), np.float32)
    weights[0, 4] = 1.0
    grey = page.fields(weights, np.array([3, 0, 1, 2]))
    assert grey[2 + 4, 2 + 4] == 0  # the middle of the last field: unit 0 has the highest class
    found = image.imread(io.BytesIO(page.png(grey)))
    np.testing.assert_allclose(255 * found[..., 0] if found.ndim == 3 else 255 * found, grey, atol=0.5)


def test_a_missing_data_set_is_a_reason(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SPARSEFIRE_DATA", str(tmp_path))
    assert diehl_cook.main(["--quick"]) == 0
    assert "SPARSEFIRE_DATA" in capsys.readouterr().err


def test_input_spikes_are_as_many_as_promised():
    fired, images = stdp.arrivals(8)
    assert fired.shape == (8 * stdp.STEPS, stdp.INPUTS)
    expected = 8 * stdp.SPIKES
    assert abs(fired.sum() - expected) < 4 * expected**0.5
    assert images.min() == 0
    assert images.max() == 1


def test_different_spikes_or_weights_give_no_ratio():
    start = np.zeros((2, 2))
    mine = (1.0, np.array([3, 4]), np.array([[0.1, 0.2], [0.3, 0.4]]))
    assert stdp.agree(mine, mine, start)["weights_apart"] == 0
    for counts, weights in ((mine[1] + [0, 1], mine[2]), (mine[1], mine[2] + 2e-5)):
        with pytest.raises(AssertionError, match="differ"):
            stdp.agree(mine, (1.0, counts, weights), start)
    with pytest.raises(AssertionError, match="moved"):
        stdp.agree(mine, mine, mine[2])


def test_pairs_by_hand():
    rule = stdp.network(layer=True).learning._replace(a_plus=0.1, a_minus=0.01, total=1.0)
    fired, units = np.zeros((1, 12, 2)), np.zeros((1, 12, 1), bool)
    fired[0, [0, 10], [0, 1]] = units[0, 5] = 1  # the first input fires 5 steps before the unit, the second after it
    up, down = 0.5 + 0.1 * np.exp(-5 / 20), 0.5 - 0.01 * np.exp(-5 / 20)
    found = stdp.by_pairs(np.full((2, 1), 0.5), fired, units, rule)
    np.testing.assert_allclose(found[:, 0], np.array([up, down]) / (up + down), rtol=1e-12)


def test_without_the_peer_there_is_no_record(tmp_path, capsys):
    assert stdp.records(True, tmp_path) == []
    assert "left out" in capsys.readouterr().err
