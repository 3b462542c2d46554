"""The quick benchmark of rules runs, asserts its own agreement, and says what it measured."""

import json

import pytest
import rules


@pytest.mark.slow
def test_the_quick_benchmark(capsys):
    assert rules.main(["--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {line["area"] for line in found} == {"rules"}
    assert all(set(line) == {"area", "job", "ours", "peer", "peer_name", "ratio", "unit"} for line in found)
    by_job = {line["job"]: line for line in found}
    assert len(by_job) == len(found) - 1  # noise on live weights is compared twice
    assert by_job["64 directions, 64-32-10, batch 32, ForwardGradient"]["ratio"] > 1
    assert all(line["ours"] > 0 and line["peer"] > 0 for line in found)
