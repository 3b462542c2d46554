"""Oracles: ``html.parser``, DuckDB reading the files back, the places of the marks, and the numbers that went in."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import duckdb
import numpy as np
import pytest

from sparsefire.errors import UserError
from sparsefire.report import convergence_folder
from sparsefire.report.convergence_chart import collapsing, draw_collapse, draw_risk
from sparsefire.report.convergence_folder import begin_convergence, check_folder, write_convergence
from sparsefire.report.convergence_page import build_page
from sparsefire.report.convergence_text import example

HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[31m"
ASKED = {"format": 1, "rule": "sgd", "dimension": [10, 20], "samples": 10_000, "noise": 1.0, "rng": 0}
VOID = {"meta", "link", "br", "img"}


class Elements(HTMLParser):
    """Checks that elements are closed in order, and collects them, addresses and handlers."""

    def __init__(self, page):
        super().__init__()
        self.open, self.found, self.addresses, self.handlers = [], [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.found.append(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outcome(kind="plain"):
    """Return learning curves of one kind."""
    found = example()
    curves = list(found.curves)
    if kind == "single":
        return replace(found, curves=curves[:1], in_dimension=None)
    if kind == "no exact":
        curves = [replace(c, exact=None, stable=None, exponent=replace(c.exponent, exact=None)) for c in curves]
    if kind == "overflow":
        grown = np.exp(np.minimum(curves[1].steps, 700.0))
        grown[-5:] = np.inf
        same = dict.fromkeys(("mean", "low", "high", "median", "q10", "q90", "exact"), grown)
        curves[1] = replace(curves[1], **same, exponent=None, limit=None, largest=9.0)
    if kind == "floor":
        curves = [replace(c, mean=c.mean + 0.5, limit=None, floor=0.5) for c in curves]
    if kind == "many":
        curves = [replace(curves[0], dimension=d, mean=curves[0].mean * d) for d in range(1, 31)]
    if kind == "one step":
        cut = {name: getattr(curves[0], name)[:2] for name in ("steps", "mean", "low", "high", "median", "q10", "q90")}
        curves = [replace(curves[0], **cut, exact=curves[0].exact[:2], exponent=None)]
    if kind == "zero start":
        for index, curve in enumerate(curves):
            mean = curve.mean.copy()
            mean[0] = 0.0
            curves[index] = replace(curve, mean=mean, exact=mean)
    return replace(found, curves=curves, noise=0.0 if kind == "no noise" else 1.0)


KINDS = ("plain", "single", "no exact", "overflow", "floor", "many", "one step", "zero start", "no noise")


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_whole_and_alone(kind):
    page = build_page(outcome(kind), ASKED, "sparsefire convergence")
    elements = Elements(page)
    assert "script" not in elements.found
    assert elements.handlers == []
    assert elements.addresses == ["data:,"]
    assert not re.search(r"url\(|@import|https?://", page)
    assert elements.found.count("h1") == 1
    words = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.S).lower().split()
    assert not {"nan", "inf", "none", "−inf"} & {word.strip(".,;()[]") for word in words} - {"none"}
    assert "prefers-color-scheme: dark" in page
    assert page.count('role="img"') == (4 if collapsing(outcome(kind)) else 2)


def test_powers_are_superscripts_and_numbers_are_there():
    page = build_page(outcome(), ASKED, "x")
    assert "k<sup>−1.01</sup>" in page
    assert "d<sup>0.98</sup>" in page
    assert "0.002020" in page  # the mean at the end
    assert "Agrees with the exact risk" in page
    apart = [replace(curve, exact=0.9 * curve.mean) for curve in outcome().curves]
    assert "Differs from the exact risk" in build_page(replace(outcome(), curves=apart), ASKED, "x")
    assert "the exact risk" not in build_page(outcome("no exact"), ASKED, "x")


def test_hostile_words_stay_text():
    plain = Elements(build_page(outcome(), ASKED, "x"))
    bad = replace(outcome(), rule=HOSTILE, settings=HOSTILE)
    bad = replace(bad, curves=[replace(curve, step_size=HOSTILE) for curve in bad.curves])
    page = build_page(bad, {**ASKED, HOSTILE: HOSTILE}, HOSTILE)
    hostile = Elements(page)
    assert "img" not in hostile.found
    assert "script" not in hostile.found
    assert hostile.handlers == plain.handlers
    assert "\x1b" not in page


@pytest.mark.parametrize("width", [358.0, 960.0])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_drawn_outside_the_pictures(kind, width):
    found = outcome(kind)
    drawn = [str(draw_risk(found, width=width, height=400.0))]
    drawn += [str(draw_collapse(found, width=width, height=300.0))] if collapsing(found) else []
    for picture in drawn:
        cut = re.search(
            r'<svg x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)" viewBox="([^"]+)"', picture
        )
        x, y, wide, high = map(float, cut.groups()[:4])
        assert min(x, y) >= 0
        assert x + wide <= width + 1
        assert [float(value) for value in cut[5].split()] == [x, y, wide, high]  # clipped, not moved or scaled
        for at in re.findall(r'<text x="([\d.-]+)" y="([\d.-]+)"', picture):
            assert 0 <= float(at[0]) <= width
            assert 0 <= float(at[1]) <= 400


def test_a_line_of_slope_one_falls_one_decade_per_decade():
    picture = str(draw_risk(outcome("single"), width=960.0, height=400.0))
    data = re.search(r'd="M([^"]+)" class="bar thick blue"', picture)[1]
    points = np.array([[float(v) for v in pair.split(",")] for pair in data.split("L")])
    hair = [float(y) for y in re.findall(r'd="M[\d.]+,([\d.]+)L[\d.]+,[\d.]+" class="hair"', picture)]
    ticks = sorted({float(x) for x in re.findall(r'd="M([\d.]+),[\d.]+L[\d.]+,[\d.]+" class="axis"', picture)})
    decade_y, decade_x = hair[0] - hair[1], ticks[2] - ticks[1]
    fallen = (points[-1] - points[len(points) // 2]) / (decade_x, decade_y)
    assert fallen[0] == pytest.approx(fallen[1], rel=0.02)


def test_the_collapse_stands_at_one():
    picture = str(draw_collapse(outcome(), width=460.0, height=300.0))
    one = float(re.search(r'd="M[\d.]+,([\d.]+)L[\d.]+,[\d.]+" class="bar dotted"', picture)[1])
    for data in re.findall(r'd="M([^"]+)" class="bar thin blue"', picture):
        assert float(data.split(",")[-1]) == pytest.approx(one, abs=3)  # 1.01 is a hair above


# the folder ----------------------------------------------------------------------------------------------------------


def test_files_hold_the_curves(tmp_path):
    found = outcome()
    page = write_convergence(tmp_path / "run", found, ASKED, "sparsefire convergence")
    assert page == tmp_path / "run" / "convergence.html"
    assert {path.name for path in page.parent.iterdir()} == {"risk.parquet", "convergence.json", "convergence.html"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    rows = duckdb.execute("SELECT * FROM read_parquet(?)", [str(page.parent / "risk.parquet")]).df()
    for curve in found.curves:
        mine = rows[rows["dimension"] == curve.dimension]
        assert np.array_equal(mine["k"], curve.steps)
        for name in ("mean", "low", "high", "median", "q10", "q90", "exact"):
            assert np.array_equal(mine[name], getattr(curve, name)), name
    told = json.loads((page.parent / "convergence.json").read_text(encoding="utf-8"))
    assert told["asked"] == ASKED
    assert told["in_dimension"]["value"] == 0.98
    assert [row["dimension"] for row in told["dimensions"]] == [10, 20]
    assert told["dimensions"][0]["over_first_order"] == pytest.approx(1.01)
    assert set(told["versions"]) == {"python", "sparsefire", "numpy", "numba"}


def test_no_exact_risk_is_null(tmp_path):
    write_convergence(tmp_path / "run", outcome("no exact"), ASKED)
    rows = duckdb.execute("SELECT count(exact) FROM read_parquet(?)", [str(tmp_path / "run" / "risk.parquet")])
    assert rows.fetchall() == [(0,)]


def test_a_folder_that_was_begun_is_known_again(tmp_path):
    parts = begin_convergence(tmp_path / "run", ASKED, "x")
    assert parts == tmp_path / "run" / "parts"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["convergence.json"]
    check_folder(tmp_path / "run", ASKED)
    with pytest.raises(UserError, match="another convergence"):
        check_folder(tmp_path / "run", {**ASKED, "rng": 1})
    parts.mkdir()
    (parts / "kept").write_text("a run")
    write_convergence(tmp_path / "run", outcome(), ASKED)
    assert begin_convergence(tmp_path / "run", ASKED) == parts
    assert json.loads((tmp_path / "run" / "convergence.json").read_text(encoding="utf-8"))["finished"]
    assert (parts / "kept").read_text() == "a run"


@pytest.mark.parametrize("there", [False, True])
def test_an_interrupted_writing_leaves_no_half_file(tmp_path, monkeypatch, there):
    folder = tmp_path / "runs" / "run"
    if there:
        write_convergence(folder, outcome(), ASKED)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(convergence_folder, "replace_file", stop)
    with pytest.raises(KeyboardInterrupt):
        write_convergence(folder, outcome(), ASKED)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_disk_that_refuses(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convergence_folder, "replace_file", refuse)
    with pytest.raises(UserError, match="cannot be written") as caught:
        write_convergence(tmp_path / "run", outcome(), ASKED)
    assert "No space left" in caught.value.came
    assert list(tmp_path.iterdir()) == []
