"""Oracle: the page parsed with the standard library, against verdict.json and the rules of escaping in HTML."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sparsefire as sf
from sparsefire.cli import main
from sparsefire.report import write_report

VOID = {"meta", "link", "br", "img", "hr", "input", "col", "base", "area", "embed", "source", "track", "wbr"}
CASES = ["accuracy", "strict", "auc", "r2", "cluster", "site", "noise"]


class Page(HTMLParser):
    """Tags with their attributes, visible text, and the rows of every table as texts of cells."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.headings: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr" and self.tables:
            self.tables[-1].append([])
        if tag in ("td", "th") and self.tables and self.tables[-1]:
            self.tables[-1][-1].append("")
        if tag == "h1":
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("style", "script"):
            return
        self.texts.append(data)
        if "h1" in self._open:
            self.headings[-1] += data
        if "table" in self._open and self.tables[-1] and self.tables[-1][-1]:
            self.tables[-1][-1][-1] += " " + data

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def read_page(folder: Path) -> Page:
    """The report of a run folder."""
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def shown(value: float, decimals: int, *, plus: bool = False) -> str:
    """A number with a true minus, and no sign at zero."""
    text = f"{abs(value):,.{decimals}f}"
    zero = not any(digit in "123456789" for digit in text)
    return text if zero else ("\u2212" if value < 0 else "+" if plus else "") + text


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


@pytest.mark.parametrize("name", CASES)
def test_the_first_line_is_the_verdict(name: str, case: Callable) -> None:
    it = case(name)
    page = read_page(it.folder)
    assert [plain(heading) for heading in page.headings] == [it.verdict["headline"]]
    for chip in it.verdict["chips"]:
        assert chip["text"] in page.text
    for line in it.verdict["evidence"]:
        assert line["lead"] in page.text
        assert plain(line["text"]).replace(" ", "") in page.text.replace(" ", "")
    for limit in it.verdict["limits"]:
        assert limit in page.text


@pytest.mark.parametrize("name", CASES)
def test_the_table_of_candidates_says_what_the_verdict_says(name: str, case: Callable) -> None:
    it = case(name)
    page = read_page(it.folder)
    scale, decimals = (100, 1) if it.score == "accuracy" else (1, 3)
    rows = [[plain(cell) for cell in row] for table in page.tables for row in table if row]
    for entry in it.candidates():
        if entry["score"] is None:
            continue
        score = shown(entry["score"] * scale, decimals)
        low, high = (shown(entry[end] * scale, decimals) for end in ("score_low", "score_high"))
        found = [row for row in rows if any(cell.startswith(f"{score} [{low}, {high}]") for cell in row)]
        if entry["weights"] is not None:
            found = [row for row in found if any(f"{entry['weights']:,}" in cell.split() for cell in row)]
        assert found, (entry["id"], score, low, high)
        if entry["kind"] not in ("dense",) and entry["difference"] is not None:
            difference = shown(entry["difference"] * scale, decimals, plus=True)
            assert any(any(cell.startswith(difference) for cell in row) for row in found), (entry["id"], difference)
    ids = {entry["id"] for entry in it.candidates()}
    assert len(ids) == len(it.candidates())


@pytest.mark.parametrize("name", CASES)
def test_the_evidence_sentences_carry_the_numbers_of_the_verdict(name: str, case: Callable) -> None:
    it = case(name)
    told = " ".join(line["lead"] + " " + line["text"] for line in it.verdict["evidence"])
    scale, decimals = (100, 1) if it.score == "accuracy" else (1, 3)
    numbers = re.findall(r"[\u2212+]?\d[\d,]*\.?\d*", told)

    def said(value: float) -> bool:
        forms = {shown(value * scale, d, plus=plus) for d in range(decimals, decimals + 4) for plus in (False, True)}
        return bool(forms & set(numbers))

    chosen = next((entry for entry in it.candidates() if entry["walk"] == "chosen"), None)
    if chosen is not None:
        confirmation = it.verdict["confirmation"]
        for value in (chosen["difference"], chosen["lower"], confirmation["difference"], confirmation["lower"]):
            assert said(value), (value, told)
        assert f"{it.verdict['data']['rows_test']:,}" in told
        assert f"{chosen['weights']:,}" in it.verdict["headline"]


@pytest.mark.parametrize("name", CASES)
def test_the_page_needs_nothing_from_outside(name: str, case: Callable) -> None:
    it = case(name)
    raw = (it.folder / "report.html").read_text(encoding="utf-8")
    assert len(raw.encode()) <= 6_000_000
    page = Page(raw)
    loading = ("src", "srcset", "data", "poster", "background", "action", "formaction", "xlink:href")
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "embed", "base", "form"), tag
        for attribute in loading:
            assert attribute not in attributes or attributes[attribute].startswith("data:"), (tag, attributes)
        if tag == "link":
            assert attributes.get("href", "").startswith("data:")
        assert not any(attribute.startswith("on") for attribute in attributes), (tag, attributes)
    assert not re.search(r"url\(\s*['\"]?(https?:)?//", raw)
    assert "@import" not in raw
    assert sum(tag == "h1" for tag, _ in page.tags) == 1


@pytest.mark.parametrize("name", ["accuracy", "r2"])
def test_the_command_rebuilds_the_same_page(name: str, case: Callable, command: Callable, tmp_path: Path) -> None:
    it = case(name)
    copy = tmp_path / it.folder.name
    shutil.copytree(it.folder, copy, ignore=shutil.ignore_patterns("report.html"))
    command("report", str(copy))
    first = (copy / "report.html").read_bytes()
    write_report(copy)
    assert (copy / "report.html").read_bytes() == first
    original = (it.folder / "report.html").read_bytes()
    assert Page(original.decode()).text == Page(first.decode()).text
    command("report", str(it.folder))
    assert (it.folder / "report.html").read_bytes() == original


def test_fit_and_report_write_the_same_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(160, 4)).astype(np.float32), np.arange(160) % 2
    x[:, 0] += y
    options: dict[str, Any] = {"folds": 2, "rounds": 2, "epochs": 2, "densities": [0.5], "hidden": [8], "workers": 1}
    result = sf.fit(x, y, effort="quick", margin=0.2, out=tmp_path / "run", **options)
    first = result.report.read_bytes()
    assert write_report(tmp_path / "run").read_bytes() == first


# ---------------------------------------------------------------- hostile names


SPECIMENS = {
    "column": '<script>alert("column")</script>',
    "category": "</style><img src=x onerror=alert(1)>",
    "label": "<script>alert('label')</script>",
    "other label": "a & b &lt; c",
    "group": '"><svg onload=alert(2)>',
    "level": "</script><script>alert(3)</script>",
}


def hostile_table(names: dict[str, str]) -> pd.DataFrame:
    """The same numbers under any names."""
    rng = np.random.default_rng(1)
    rows = 260
    value = rng.normal(size=rows)
    kind = rng.choice(["plain", names["category"]], rows)
    hidden = value + 0.5 * (kind == "plain") + 0.3 * rng.normal(size=rows)
    return pd.DataFrame(
        {
            names["column"]: value,
            "kind": kind,
            names["group"]: rng.choice([names["level"], "m"], rows),
            "y": np.where(hidden > 0.2, names["label"], names["other label"]),
        }
    )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Page]]:
    """Pages of the same numbers under plain and under hostile names, by the command line."""
    tame = {name: f"{name} name".replace(" ", "_") for name in SPECIMENS}
    tame["label"], tame["other label"] = "A", "a"  # in the order in which the hostile labels are sorted
    pages = {}
    for which, names, file in (
        ("plain", tame, "rows.csv"),
        ("hostile", SPECIMENS, "<img src=x onerror=alert(4)>&.csv"),
    ):
        place = tmp_path_factory.mktemp(which)
        hostile_table(names).to_csv(place / file, index=False)
        words = [
            "fit",
            str(place / file),
            "--target",
            "y",
            "--group",
            names["group"],
            "--effort",
            "quick",
            "--folds",
            "2",
            "--rounds",
            "2",
            "--epochs",
            "3",
        ]
        words += [
            "--densities",
            "0.5",
            "--hidden",
            "8",
            "--workers",
            "1",
            "--margin",
            "0.2",
            "--out",
            str(place / "run"),
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["sparsefire", *words])
            code: Any = 0
            try:
                main()
            except SystemExit as end:
                code = end.code
            assert not code
        pages[which] = (place / "run", read_page(place / "run"))
    return pages


def test_hostile_names_are_text_and_nothing_else(hostile: dict[str, tuple[Path, Page]]) -> None:
    folder, page = hostile["hostile"]
    for tag, attributes in page.tags:
        assert tag not in ("script", "img", "iframe", "object"), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("style") == [tag for tag, _ in hostile["plain"][1].tags].count("style")
    for what in ("label", "other label", "group", "level"):
        assert plain(SPECIMENS[what]) in page.text, what
    raw = (folder / "report.html").read_text(encoding="utf-8")
    for name in SPECIMENS.values():
        if "<" in name:
            assert name not in raw
    assert json.loads((folder / "verdict.json").read_text())["data"]["classes"] == sorted(
        [SPECIMENS["label"], SPECIMENS["other label"]]
    )


def test_names_change_no_structure_of_the_page(hostile: dict[str, tuple[Path, Page]]) -> None:
    """Long names may wrap or be cut, so only elements that hold content are compared."""
    content = ("h1", "h2", "section", "table", "tr", "details", "figure")
    counts = [[tag for tag, _ in page.tags if tag in content] for _, page in (hostile["plain"], hostile["hostile"])]
    assert counts[0] == counts[1]


def test_predictions_carry_hostile_labels_as_csv(
    hostile: dict[str, tuple[Path, Page]], command: Callable, tmp_path: Path
) -> None:
    folder, _ = hostile["hostile"]
    new = hostile_table(SPECIMENS).drop(columns="y").head(9)
    new.to_csv(tmp_path / "new.csv", index=False)
    table = pd.read_csv(io.StringIO(command("predict", str(folder), str(tmp_path / "new.csv"))))
    assert len(table) == 9
    assert set(table.iloc[:, 0]) <= {SPECIMENS["label"], SPECIMENS["other label"]}
    assert f"probability of {SPECIMENS['label']}" in table.columns
