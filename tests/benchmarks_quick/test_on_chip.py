"""Oracle: the program itself on a short run, and a page from trainings made up by hand."""

import json

import numpy as np
import pytest
import torch
from chips import cases, page

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.spiking import constrain


def test_a_short_training_on_the_chip_learns():
    (record,) = cases.run(cases.Piece(cases.ARMS[0], 1, 2))
    assert record["curve"][-1][0] == 2 * 43
    assert record["accuracy"] > record["curve"][0][1] + 0.15
    assert record["losses"] == 2 * 1347 * 17
    (moved,) = cases.run(cases.Piece(cases.ARMS[-1], 1, 2))
    assert 0 <= moved["moved"] <= 1


def test_the_chip_has_no_backward_pass():
    net = constrain(cases.Network(0), cases.CHIP, rng=0)
    with pytest.raises(UserError, match="no backward pass"):
        net(torch.rand(3, 64)).sum().backward()


def made_up():
    found = []
    for number, arm in enumerate(cases.ARMS):
        for replicate in range(1, 6):
            accuracy = 0.95 - 0.01 * number + 0.001 * replicate
            found.append(
                {"arm": arm.name, "replicate": replicate, "epochs": cases.EPOCHS, "accuracy": accuracy,
                 "curve": [[0, 0.1], [43, 0.4], [3440, accuracy]], "train": 1.0, "seconds": 30.0, "losses": 100,
                 "joules": 1e-6, "sparsity": 0.8, "bytes": 1800.0, **({} if arm.chip else {"moved": accuracy - 0.1})}
            )  # fmt: skip
    return found


def test_the_page_says_what_the_records_say(tmp_path):
    text = page.markdown(made_up())
    assert "Learned on the chip: 95.3% [95.1, 95.5]" in text
    assert "| on the chip | 95.3% [95.1, 95.5] | 95.1% | 95.5% | 5 |" in text
    assert "then moved onto the chip | 80.3%" in text
    assert json.loads(json.dumps(page.records(made_up())))[0]["ratio"] == pytest.approx(0.953 / 0.903)


def test_more_fewer_or_as_many():
    text = page.markdown(made_up())  # an arm is a point below the one before
    assert "Back-propagation without any constraint: 90.3% [90.1, 90.5], 5.0 [5.0, 5.0] points fewer than on" in text
    assert "Rounding at random instead of to the nearest level: 1.0 [1.0, 1.0] points fewer than on the chip." in text
    assert "batches of 256: **92.3% [92.1, 92.5]**, 3.0 [3.0, 3.0] points fewer than with accumulators." in text
    assert page._compared([0.5, 0.6], [0.4, 0.5], "x").endswith("points more than x")
    assert page._compared([0.5, 0.6], [0.5002, 0.5999], "x").startswith("as many as x (0.0 [")
    assert not any(sign in text for sign in (" -0.0", "**-", ": -"))


def test_a_stored_weight_is_a_level_and_nothing_more():
    net = constrain(cases.Network(0), cases.WRITTEN, rng=0)
    weight = masks.own_parameter(net.readout)
    mean, began = torch.zeros_like(weight), weight.detach().clone()
    draws = np.random.default_rng(0)
    for _ in range(400):
        with torch.no_grad():
            weight.copy_(began)
        cases.write_(net, draws)
        level = weight.detach() / 0.15
        assert torch.allclose(level, level.round(), atol=1e-5)
        assert float(level.abs().max()) <= 7 + 1e-5
        mean += weight.detach() / 400
    inside = began.abs() < 7 * 0.15
    assert float((mean - began).detach()[inside].abs().max()) < 5 * 0.075 / 20  # right on average
    for arm in (page.STORED, page.LARGE):
        (record,) = cases.run(cases.Piece(arm, 1, 2))
        assert record["curve"][-1][0] == 2 * -(-1347 // arm.batch)
        assert record["accuracy"] > record["curve"][0][1]


def test_pieces_are_done_once():
    found = made_up()
    assert all(cases.done(piece, found) for piece in cases.everything())
    assert not any(cases.done(piece, found) for piece in cases.few())
