"""Oracle: the pages themselves. Code blocks run as written, links lead somewhere, tables agree with the code."""

from __future__ import annotations

import os
import re
import sys
import types
from pathlib import Path

import pytest

from sparsefire.sparsity import list_methods

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?P<skip><!-- not run[^\n]*-->\n)?```python\n(?P<code>.*?)```", re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
MOST_SKIPPED = 2


def blocks(page: Path) -> list[tuple[bool, int, str]]:
    """Return for each python block whether it is skipped, its first line in the file, and the code."""
    text = page.read_text(encoding="utf-8")
    return [
        (found["skip"] is not None, text[: found.start("code")].count("\n"), found["code"])
        for found in BLOCK.finditer(text)
    ]


def headings(page: Path) -> set[str]:
    """Return the anchors a page offers, spelled as usual: lower case, hyphens for blanks, no punctuation."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.name)
def test_code_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("__page__")
    monkeypatch.setitem(sys.modules, "__page__", module)  # a factory defined in a block has a module to be named by
    ran = 0
    for skipped, line, code in blocks(page):
        if not skipped:
            # Empty lines in front, so that a traceback points at the line of the page.
            exec(compile("\n" * line + code, str(page), "exec"), module.__dict__)
            ran += 1
    assert ran


def test_few_blocks_are_skipped() -> None:
    assert sum(skipped for page in PAGES for skipped, _, _ in blocks(page)) <= MOST_SKIPPED


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for found in LINK.finditer(text):
        target, _, anchor = found["target"].partition("#")
        if target.startswith(("https://", "http://")):
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), found[0]
        assert os.path.commonpath([there, ROOT]) == str(ROOT), f"{found[0]} leads out of the project"
        assert not anchor or anchor in headings(there), found[0]


def test_every_picture_is_shown() -> None:
    shown = {Path(found["target"]).name for page in PAGES for found in LINK.finditer(page.read_text(encoding="utf-8"))}
    assert {path.name for path in (ROOT / "docs" / "images").iterdir()} <= shown


def test_every_page_is_reached_from_the_index() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = {found["target"] for found in LINK.finditer(text)}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= linked


def test_the_table_of_methods_is_that_of_the_code() -> None:
    text = (ROOT / "docs" / "sparse-training.md").read_text(encoding="utf-8")
    rows = [line for line in text.split("<!-- methods -->")[1].split("<!-- end of methods -->")[0].splitlines() if line]
    table = list_methods()
    assert [cell.strip() for cell in rows[0].strip("|").split("|")] == list(table.columns)
    written = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    assert written == [[str(cell) or "–" for cell in row] for row in table.itertuples(index=False)]
