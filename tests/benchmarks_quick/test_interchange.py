"""Oracles: numbers whose ratios are known, and peers that answer wrongly."""

import interchange
import numpy as np
import pytest


def test_the_worst_ratio_is_told():
    found = interchange.said("peer", "statistics, CV", [1.0, 3.0, 0.0], [1.0, 4.0, 0.0])
    assert (found["ours"], found["peer"], found["ratio"], found["unit"]) == (3.0, 4.0, 0.75, "worst of 3")
    assert not interchange.agree(found)


@pytest.mark.parametrize(("ours", "theirs"), [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0 + 1e-9)])
def test_numbers_that_differ_do_not_agree(ours, theirs):
    assert not interchange.agree(interchange.said("peer", "operations, dense", ours, theirs))


def test_rounding_is_forgiven_to_numbers_and_not_to_spikes():
    assert interchange.agree(interchange.said("peer", "statistics, CV", 0.1 + 0.2, 0.3))
    assert not interchange.agree({"job": "NIR, LIF, euler", "ratio": 1 - 1e-15})


def test_statistics_are_those_of_plain_formulas(monkeypatch):
    def plain(python, script, job):
        """What elephant answers, with its n."""
        times = [job["first"], job["second"]]
        x = [np.diff(t) for t in times]
        count = [np.histogram(t, np.arange(0, 200.05, job["window"]))[0] for t in times]
        apart = [np.abs((b[1:] - b[:-1]) / (b[1:] + b[:-1])) for b in x]
        bins = np.arange(-job["half"] - 0.5, job["half"] + 1) * job["width"]
        return "0", {
            "cv": np.array([b.std() / b.mean() for b in x]), "cv2": np.array([2 * a.mean() for a in apart]),
            "lv": np.array([3 * (a**2).mean() for a in apart]), "correlation": np.corrcoef(count)[0, 1],
            "fano": np.array([c.var() / c.mean() for c in count]),
            "correlogram": np.histogram((times[1][None] - times[0][:, None]).ravel(), bins)[0],
        }  # fmt: skip

    monkeypatch.setattr(interchange, "answered", plain)
    found = interchange.statistics(None)
    assert len(found) == 6
    assert all(map(interchange.agree, found)), found
    wrong = lambda *how: (plain(*how)[0], plain(*how)[1] | {"lv": np.ones(2)})  # noqa: E731
    monkeypatch.setattr(interchange, "answered", wrong)
    assert [record["job"] for record in interchange.statistics(None) if not interchange.agree(record)] == [
        "statistics, Lv"
    ]


def test_operations_are_those_counted_by_hand(monkeypatch):
    def plain(python, script, job):
        """What NeuroBench answers: each input that is not zero meets the weights that are not zero."""
        x, spikes, acs, fired = job["x"], job["x"], 0, []
        for number in range(2):
            weight, bias = job[f"weight{number}"], job[f"bias{number}"]
            acs += int((spikes != 0).sum((0, 1)) @ (weight != 0).sum(0))
            v, out = np.zeros((x.shape[1], len(weight)), np.float32), []
            for step in spikes:
                v = v + (step @ weight.T + bias - v) / np.float32(job["tau"])
                out.append(v > 1)
                v = np.where(out[-1], np.float32(0), v)
            spikes = np.array(out, np.float32)
            fired.append(spikes)
        some, every = sum(f.sum() for f in fired), sum(f.size for f in fired)
        return "0", {
            "spikes": spikes, "acs": acs / x.shape[1], "macs": 0.0, "dense": len(x) * (60 * 40 + 40 * 10),
            "activation_sparsity": 1 - some / every, "connection_sparsity": 0.7,
        }  # fmt: skip

    monkeypatch.setattr(interchange, "answered", plain)
    found = interchange.operations(None)
    assert all(abs(record["ratio"] - 1) < 1e-6 for record in found), found
    assert len(found) == 5
