import json
import sys

import initialisers
import pytest


@pytest.mark.slow
def test_every_initialiser_and_the_diagnosis_are_timed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["initialisers.py", "--quick", "--json", str(tmp_path / "out.json")])
    initialisers.main()
    records = json.loads((tmp_path / "out.json").read_text())
    jobs = [record["job"] for record in records]
    assert len(jobs) == 3 * len(initialisers.INITIALISERS) + 2
    assert jobs[-1].startswith("diagnose")
    assert all(record["ours"] > 0 for record in records)
    assert capsys.readouterr().out.count(" s  (at most") == len(records)
