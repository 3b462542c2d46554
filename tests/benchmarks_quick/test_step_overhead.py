import json

import pytest
import step_overhead


@pytest.mark.slow
def test_every_method_is_compared_with_plain_masks(tmp_path, capsys):
    step_overhead.main(["--quick", "--json", str(tmp_path / "out.json")])
    records = json.loads((tmp_path / "out.json").read_text())
    assert [record["job"].split()[-1] for record in records] == list(step_overhead.LIMITS)
    assert all(0.5 < record["ratio"] < 5 for record in records)
    assert capsys.readouterr().out.count("at most") == len(records)
