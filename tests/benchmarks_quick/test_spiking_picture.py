"""Oracle: lengths of bars read back from the picture."""

import math
import re

import pytest
from spiked import picture


def test_bars_are_as_long_as_logarithms_of_ratios(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(picture.__file__).rsplit("/benchmarks", 1)[0] + "/docs")
    import make_figures

    (tmp_path / "images").mkdir()
    monkeypatch.setattr(make_figures, "IMAGES", tmp_path / "images")
    ratios = [10.0, 100.0, 0.5]
    found = [
        {"job": f"job {k}", "peer_name": "peer", "ratio": ratio, "floor": 2.0 if k else None, "stretch": None}
        for k, ratio in enumerate(ratios)
    ]
    picture.draw(found, tmp_path)
    text = (tmp_path / "images" / "spiking-speed.svg").read_text()
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)" height="11"', text)]
    assert widths[1] / widths[0] == pytest.approx(math.log(100) / math.log(10), rel=1e-3)
    assert widths[2] == 0  # slower than the peer: the number says so
    assert text.count('class="bar warm"') == 3  # two floors and the legend
    assert ">0.5<" in text
    assert "images/spiking-speed.svg" in picture.SHOWN
