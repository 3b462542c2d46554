"""Oracles: ``html.parser``, DuckDB reading the files back, and the law that went in."""

import json
import re
from html.parser import HTMLParser

import duckdb
import numpy as np
import pytest

from sparsefire.cascades import Marginals, SizeDistribution
from sparsefire.errors import UserError
from sparsefire.report import cascade_folder
from sparsefire.report.cascade_chart import draw_at_least, draw_sizes
from sparsefire.report.cascade_folder import check_folder, write_cascade
from sparsefire.report.cascade_page import build_page
from sparsefire.report.cascade_text import Outcome

HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[31m"
ASKED = {"format": 1, "data": "edges.csv", "sha256": "ab" * 32, "probability": "0.1", "sources": ["a"], "rng": 0}
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


def law_of(kind):
    pmf = np.zeros(501)
    if kind == "bimodal":
        pmf[1:4], pmf[300:340] = 0.2, 0.01
    elif kind == "point":
        pmf[17] = 1
    elif kind == "nobody":
        pmf[0] = 1
    elif kind == "with 0":
        pmf[:] = 0.99 ** np.arange(501)
    elif kind == "tiny":
        pmf = np.array([0.0, 0.5, 0.5])
    elif kind == "one unit":
        pmf = np.array([0.25, 0.75])
    return pmf / pmf.sum()


KINDS = ("bimodal", "point", "nobody", "with 0", "tiny", "one unit")


def outcome(kind="bimodal", sampled=False, names=None, **changes):
    pmf = law_of(kind)
    units = len(pmf) - 1
    law = SizeDistribution.from_pmf(pmf, "tree")
    if sampled:
        law = SizeDistribution.from_samples(np.random.default_rng(0).choice(units + 1, size=2000, p=pmf), units)
    found = Marginals(np.linspace(0, 1, units), "monte-carlo" if sampled else "tree", 2000 if sampled else None)
    values = {"data": "edges.csv", "model": "independent cascade, probability 0.1", "sources": [0], **changes}
    return Outcome(
        values["data"], values["model"], units, 2 * units, names or [f"u{i}" for i in range(units)], values["sources"],
        law, found,
    )  # fmt: skip


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_whole_and_alone(kind, sampled):
    page = build_page(outcome(kind, sampled), ASKED, "sparsefire cascade edges.csv")
    elements = Elements(page)
    assert "script" not in elements.found
    assert elements.handlers == []
    assert elements.addresses == ["data:,"]
    assert not re.search(r"url\(|@import|https?://", page)
    assert elements.found.count("h1") == 1
    assert elements.found.count("svg") == 4
    assert "nan" not in re.sub(r"<[^>]*>", " ", page).lower().split()
    assert "inf" not in page.replace("info", "").replace("infl", "").split()
    assert "prefers-color-scheme: dark" in page
    assert "edges.csv" in page


def test_hostile_words_stay_text():
    plain = Elements(build_page(outcome(), ASKED, "x"))
    names = [HOSTILE] * 500
    bad = {**ASKED, "data": HOSTILE, "sources": [HOSTILE] * 3, HOSTILE: HOSTILE}
    page = build_page(outcome(names=names, data=HOSTILE, model=HOSTILE), bad, HOSTILE)
    hostile = Elements(page)
    assert "img" not in hostile.found
    assert "script" not in hostile.found
    assert hostile.handlers == plain.handlers
    assert "\x1b" not in page


@pytest.mark.parametrize("width", [358.0, 460.0])
@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_drawn_outside_the_pictures(kind, sampled, width):
    law = outcome(kind, sampled).law
    for drawn in (str(draw_sizes(law, width=width)), str(draw_at_least(law, width=width))):
        places = [float(x) for d in re.findall(r' d="M([^"]+)"', drawn) for x in re.findall(r"-?\d+\.?\d*", d)[::2]]
        places += [float(x) for x in re.findall(r' x="(-?\d+\.?\d*)"', drawn)]
        heights = [float(y) for d in re.findall(r' d="M([^"]+)"', drawn) for y in re.findall(r"-?\d+\.?\d*", d)[1::2]]
        assert min(places) >= -1
        assert max(places) <= width + 1
        assert min(heights) >= -1
        assert max(heights) <= 261


def test_bars_are_as_high_as_their_shares():
    drawn = str(draw_sizes(SizeDistribution.from_pmf([0.0, 0.5, 0.25, 0.25], "tree"), width=440))
    heights = [float(h) for h in re.findall(r'<rect [^>]*height="([\d.]+)"', drawn)]
    assert heights == pytest.approx([heights[0], heights[0] / 2, heights[0] / 2], abs=0.1)


@pytest.mark.parametrize("sampled", [False, True])
def test_files_hold_the_law(tmp_path, sampled):
    found = outcome("with 0", sampled)
    page = write_cascade(tmp_path / "run", found, ASKED, "sparsefire cascade edges.csv")
    assert page == tmp_path / "run" / "cascade.html"
    files = {"sizes.parquet", "marginals.parquet", "law.json", "cascade.html"}
    assert {path.name for path in page.parent.iterdir()} == files
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    sizes = duckdb.execute("SELECT * FROM read_parquet(?)", [str(page.parent / "sizes.parquet")]).df()
    assert list(sizes.columns) == ["size", "probability", "log_probability", "cdf", "low", "high"]
    assert np.array_equal(sizes["size"], found.law.support)
    assert np.array_equal(sizes["probability"], found.law.pmf)
    assert np.array_equal(sizes["log_probability"], found.law.log_pmf)
    assert np.array_equal(sizes["cdf"], found.law.cdf)
    if sampled:
        assert np.array_equal(sizes["low"], found.law.band[0])
        assert np.array_equal(sizes["high"], found.law.band[1])
    else:
        assert sizes[["low", "high"]].isna().all().all()
    units = duckdb.execute("SELECT * FROM read_parquet(?)", [str(page.parent / "marginals.parquet")]).df()
    assert list(units.columns) == ["unit", "probability", "low", "high"]
    assert list(units["unit"]) == list(found.names)
    assert np.array_equal(units["probability"], found.marginals.probability)
    told = json.loads((page.parent / "law.json").read_text(encoding="utf-8"))
    assert told["asked"] == ASKED
    assert told["mean"] == pytest.approx(found.law.mean())
    assert {row["share"]: row["size"] for row in told["quantiles"]}[0.5] == found.law.quantile(0.5)
    assert told["samples"] == (2000 if sampled else None)
    assert set(told["versions"]) == {"python", "sparsefire", "numpy", "numba"}


def test_the_same_again_gives_the_same_bytes(tmp_path):
    first = write_cascade(tmp_path / "run", outcome(), ASKED, "x").parent
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    write_cascade(tmp_path / "run", outcome(), ASKED, "x")
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_empty_folder_is_used_and_others_are_left_alone(tmp_path):
    (tmp_path / "empty").mkdir()
    write_cascade(tmp_path / "empty", outcome(), ASKED)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not a cascade"):
        write_cascade(tmp_path / "other", outcome(), ASKED)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.txt"]
    with pytest.raises(UserError, match="another cascade") as caught:
        check_folder(tmp_path / "empty", {**ASKED, "probability": "0.2"})
    assert "differ: probability" in caught.value.came
    (tmp_path / "empty" / "law.json").write_text('{"asked": ')
    with pytest.raises(UserError, match="not a cascade"):
        check_folder(tmp_path / "empty", ASKED)
    with pytest.raises(UserError, match="is a file"):
        check_folder(tmp_path / "other" / "thesis.txt" / "below", ASKED)


@pytest.mark.parametrize("there", [False, True])
def test_an_interrupted_writing_leaves_no_half_file(tmp_path, monkeypatch, there):
    folder = tmp_path / "runs" / "run"
    if there:
        write_cascade(folder, outcome(), ASKED)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cascade_folder, "replace_file", stop)
    with pytest.raises(KeyboardInterrupt):
        write_cascade(folder, outcome(), ASKED)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_disk_that_refuses(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cascade_folder, "replace_file", refuse)
    with pytest.raises(UserError, match="cannot be written") as caught:
        write_cascade(tmp_path / "run", outcome(), ASKED)
    assert "No space left" in caught.value.came
    assert list(tmp_path.iterdir()) == []
