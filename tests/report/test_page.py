# Oracle: an HTML parser that knows nothing of the templates, and the numbers of the verdict the page was made from.
import html
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sparsefire.deploy.arrays import pack
from sparsefire.deploy.folder import write_folder
from sparsefire.errors import UserError
from sparsefire.report import candidates_table, page, run_folder, write_report
from sparsefire.report.repeat import repeat
from sparsefire.search import wording
from sparsefire.studies.parquet import write_parquet

sys.path.insert(0, str(Path(__file__).resolve().parent))
import verdicts

VOID = {"meta", "link", "br", "img", "input", "hr"}
ALLOWED = {
    "html", "head", "meta", "link", "title", "style", "body", "header", "main", "section", "aside", "figure", "footer",
    "div", "p", "span", "b", "bdi", "small", "br", "h1", "h2", "dl", "dt", "dd", "ul", "li", "table", "thead", "tbody",
    "tr", "th", "td", "details", "summary", "pre", "code", "svg", "path", "rect", "circle", "text",
}  # fmt: skip


class Tree(HTMLParser):
    """Collects tags, attributes and visible text, and checks that every tag is closed where it was opened."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.words, self.open, self.attributes = [], [], [], []
        self.unclosed = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unclosed.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.attributes if name == tag]


def build(verdict, network=None, curves=None):
    return page.build_page(verdict, curves or {}, network, rebuild="sparsefire report runs/x")


def curves_of(verdict):
    return {row["id"]: [[0.5, 0.8, row["score"]]] * 3 for row in verdict["candidates"] if row["score"] is not None}


@pytest.mark.parametrize(("state", "kind", "score"), verdicts.every_case())
def test_every_case_makes_a_sound_page(state, kind, score):
    made = verdicts.verdict(state, kind, score)
    network = (
        verdicts.network((64, 1)) if kind == "linear" else verdicts.network((64, 24, 10 if score == "accuracy" else 2))
    )
    text = build(made, network, curves_of(made))
    tree = Tree(text)
    assert tree.unclosed == []
    assert tree.open == []
    assert set(tree.tags) <= ALLOWED
    assert tree.tags.count("h1") == 1
    assert wording.headline(made) in tree.text
    headings = [tag for tag in tree.tags if tag in ("h1", "h2", "h3")]
    assert headings[0] == "h1"
    assert set(headings[1:]) == {"h2"}
    assert len(text.encode()) < 1_000_000
    assert "None" not in tree.text
    assert not re.search(r"\bnan\b|\binf\b", text.lower())
    for line in wording.evidence(made):
        assert " ".join(line["text"].split()) in tree.text.replace(" ,", ",").replace(line["lead"] + ",", line["lead"])


def test_pictures_say_what_they_show_and_tables_have_scopes():
    tree = Tree(build(verdicts.verdict(), verdicts.network(), curves_of(verdicts.verdict())))
    pictures = tree.all("svg")
    assert len(pictures) > 20
    for attributes in pictures:
        assert attributes["role"] == "img"
        assert attributes["aria-label"].strip()
    labels = " ".join(attributes["aria-label"] for attributes in pictures)
    assert "Selection, 1,437 rows: −0.2 points, at least −0.8, right of the margin −1.0" in labels
    assert "Confirmation, 360 rows: −0.6 points, at least −1.8, not wholly right of the margin −1.0" in labels
    assert all(attributes.get("scope") in ("col", "row") for attributes in tree.all("th"))


def test_the_page_is_offline_and_runs_nothing():
    text = build(verdicts.verdict(), verdicts.network(), curves_of(verdicts.verdict()))
    tree = Tree(text)
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text
    for _, attributes in tree.attributes:
        assert "src" not in attributes
        assert attributes.get("href", "data:,") == "data:,"
        assert not any(name.startswith("on") for name in attributes)
    assert "default-src 'none'" in text


def test_hostile_names_stay_text():
    made = verdicts.verdict("not-confirmed", "sparse", "auc", groups=True, hostile=True)
    made.update(wording.words(made))
    network = verdicts.network((8, 12, 2), 0.6, hostile=True)
    calm = verdicts.verdict("not-confirmed", "sparse", "auc", groups=True)
    hostile, plain = Tree(build(made, network)), Tree(build(calm, verdicts.network((8, 12, 2), 0.6)))
    assert set(hostile.tags) <= ALLOWED
    assert hostile.unclosed == []
    assert hostile.tags.count("img") == hostile.tags.count("script") == 0
    assert hostile.tags.count("h1") == plain.tags.count("h1") == 1
    assert hostile.tags.count("td") == plain.tags.count("td")
    assert verdicts.HOSTILE in hostile.text  # shown, as the user wrote it
    assert "{{ 7 * 7 }}" in hostile.text
    assert "49" not in [word.strip() for word in hostile.words]
    raw = build(made, network)
    assert not any(ord(c) < 32 and c != "\n" for c in raw)
    assert "\u202e" not in raw


def test_names_that_are_no_text_at_all():
    made = verdicts.verdict("confirmed", "sparse", "auc")
    made["data"].update(name="\ud800broken", target="a" * 50_000, classes=["\x00", "\ud83d"])
    text = build(made, verdicts.network((8, 12, 2), 0.6))
    assert Tree(text).unclosed == []
    assert "\ud800" not in text
    assert len(text) < 1_000_000


def test_the_numbers_of_the_page_are_those_of_the_verdict():
    made = verdicts.verdict()
    tree = Tree(build(made))
    assert "4,224 of 84,480" in tree.text
    assert "density 0.05, sparsity 95%" in tree.text
    for row in made["candidates"]:
        assert f"{row['weights']:,}" in tree.text if row["weights"] else "no network" in tree.text
        if row["score"] is not None:
            assert f"{100 * row['score']:.1f}" in tree.text
            assert f"[{100 * row['score_low']:.1f}, {100 * row['score_high']:.1f}]" in tree.text
        if row["difference"] is not None and row["kind"] != "dense":
            assert f"{100 * row['difference']:+.1f}".replace("-", "−").replace("+0.0", "0.0") in tree.text


def test_sections_come_in_the_promised_order_and_absent_ones_are_absent():
    made = verdicts.verdict("confirmed", "linear", groups=True)
    text = build(made, verdicts.network((14, 1)), curves_of(made))
    titles = [html.unescape(re.sub("<[^>]+>", "", title)) for title in re.findall(r"<h2>(.*?)</h2>", text)]
    assert titles == [
        "Scores by sex", "Score against size", "Candidates", "Largest coefficients", "Learning curves", "Where it errs",
        "What this does not tell you", "Repeat this run",
    ]  # fmt: skip
    bare = verdicts.verdict("confirmed", "sparse")
    bare.update(errors=None)
    titles = re.findall(r"<h2>(.*?)</h2>", build(bare))
    assert titles == ["Score against size", "Candidates", "What this does not tell you", "Repeat this run"]


def test_the_rows_that_were_compared_are_told():
    made = verdicts.verdict()
    made["data"]["rows_compared"] = 1_200
    text = Tree(build(made)).text
    assert "on 1,200 rows: 97.8% correct" in text
    assert "1,437 development (1,200 held out in turn), 360 test" in text
    labels = " ".join(attributes["aria-label"] for attributes in Tree(build(made)).all("svg"))
    assert "Selection, 1,200 rows" in labels


def test_every_setting_stands_in_the_box_that_repeats_the_run():
    made = verdicts.verdict(rounds=2)
    made["plan"]["command"] = ""  # called from Python
    assert dict(repeat(made)) | {"data": "", "split": "", "versions": "", "runs": ""} == {
        "data": "", "split": "", "versions": "", "runs": "", "effort": "standard",
        "methods": "gmp, lrr, rigl, static, sign-in", "densities": "0.5 0.2 0.1 0.05 0.02 0.01",
        "folds": "5 × 2 initialisations", "training": "40 epochs, 3 rates tried, batches of 64, backprop",
        "margin": "1.0 points, the default", "level": "5%", "model": "mlp, hidden 256 256", "rng": "0",
        "power": "two equal networks would be confirmed with a chance of 28%",
    }  # fmt: skip
    text = Tree(build(made)).text
    assert all(fact in text for _, fact in repeat(made))
    made["plan"]["margin_given"] = True
    assert dict(repeat(made))["margin"] == "1.0 points, as given"
    made["plan"]["retain"] = 0.95
    assert dict(repeat(made))["margin"] == "1.0 points, keeps 95% of dense's gain"


def test_one_column_has_one_number_of_decimals():
    made = verdicts.verdict()
    made["candidates"][5]["lower"] = -0.00996
    lines = candidates_table.table(made).everything
    told = [line.difference.partition(".")[2] for line in lines if line.bounds]
    assert {len(decimals) for decimals in told} == {3}


def test_the_stored_words_win_over_new_ones():
    made = verdicts.verdict()
    made["headline"] = "A sentence of its own."
    assert "<h1>A sentence of its own.</h1>" in build(made)


def test_warnings_are_shown_once():
    made = verdicts.verdict()
    made["warnings"] = ["On the test rows: few groups"]
    made["confirmation"]["warnings"] = ["few groups"]
    assert Tree(build(made)).text.count("few groups") == 1


def test_the_largest_page_stays_small():
    made = verdicts.verdict("confirmed", "sparse", "accuracy", groups=True)
    made["groups"] = made["groups"] * 4
    made["errors"] = {"confusion": np.ones((15, 15), dtype=int).tolist()}
    made["data"]["classes"] = [f"class {i}" for i in range(15)]
    network = verdicts.network((2000, 1024, 1024, 15), 0.01)
    curves = {row["id"]: np.random.default_rng(0).random((50, 400)).tolist() for row in made["candidates"]}
    assert len(build(made, network, curves).encode()) < 1_000_000


# the run folder ------------------------------------------------------------------------------------------------------


def test_a_run_folder_becomes_a_report(tmp_path):
    made = verdicts.verdict()
    made.update(wording.words(made))
    run = verdicts.write_run(tmp_path / "runs [1] *" / "digits", made)
    out = write_report(run)
    assert out == run / "report.html"
    tree = Tree(out.read_text(encoding="utf-8"))
    assert "Learning curves" in tree.text
    assert "gmp 5%, chosen" in tree.text
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []


def test_the_same_run_gives_the_same_bytes(tmp_path):
    run = verdicts.write_run(tmp_path / "run", verdicts.verdict())
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_curves_are_those_of_the_file(tmp_path):
    made = verdicts.verdict()
    run = verdicts.write_run(tmp_path / "a'b", made)
    curves = run_folder.read_curves(run / "results.parquet")
    trained = {row["id"] for row in made["candidates"] if row["score"] is not None}
    assert set(curves) == trained - {"linear", "boosting"}
    assert {len(runs) for runs in curves.values()} == {10}
    assert {len(curve) for runs in curves.values() for curve in runs} == {40}


def test_losses_that_were_read_are_those_of_the_file(tmp_path):
    run = verdicts.write_run(tmp_path / "old", verdicts.verdict())
    assert run_folder.read_curves(run / "results.parquet", "losses_read") == {}  # a run of before they were kept
    row = {"candidate": "dense", "round": 0, "curve": [0.1, 0.2]}
    rows = [row | {"fold": 0, "losses_read": [16, 32]}, row | {"fold": 1, "losses_read": [17, 34]}]
    rows += [row | {"candidate": "backprop", "fold": 0, "losses_read": []}, row | {"round": -1, "fold": 0}]
    write_parquet(tmp_path / "results.parquet", rows)
    assert run_folder.read_curves(tmp_path / "results.parquet", "losses_read") == {"dense": [[16, 32], [17, 34]]}


@pytest.mark.parametrize(("reads", "told"), [({"dense": [[8, 16]]}, True), ({"dense": [[0, 0]]}, False), ({}, False)])
def test_the_page_says_what_curves_lie_over(reads, told):
    text = page.build_page(verdicts.verdict(), {"dense": [[0.1, 0.2]]}, None, reads)
    assert ("how many losses the rule has read" in text) == told
    assert (">losses read</text>" in text) == told


def test_a_convolutional_network_is_counted_not_drawn(tmp_path):
    run = verdicts.write_run(tmp_path / "run", verdicts.verdict())
    kernel = np.zeros((4, 1, 3, 3), dtype=np.float32)
    kernel.ravel()[:7] = 1
    arrays, index = pack({"convolution.weight": kernel, "convolution.bias": np.ones(4, dtype=np.float32)})
    settings = {"description": {"kind": "cnn"}, "network": index, "preparation": {}, "schema": {}, "extra": {}}
    write_folder(run, arrays, settings)
    network = run_folder.load_network(run)
    assert network.layers is None
    assert network.kept_by_layer == (("convolution.weight", 7, 36),)
    tree = Tree(write_report(run).read_text(encoding="utf-8"))
    assert "The wiring picture is drawn for fully connected networks only." in tree.text
    assert "convolution.weight 7 36" in tree.text


def test_no_run_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="holds no finished run") as error:
        write_report(tmp_path)
    assert "verdict.json" in error.value.expected


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2, "state": "confirmed"}', "\xff"])
def test_a_damaged_verdict_is_a_user_error(tmp_path, content):
    (tmp_path / "verdict.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


CHANGES = (None, "x", [None], -1e308)


@pytest.mark.parametrize(
    ("change", "first", "every"),
    [
        *[pytest.param(change, number, len(CHANGES), id=f"{change}") for number, change in enumerate(CHANGES)],
        *[pytest.param(change, 0, 1, id=f"{change} anywhere", marks=pytest.mark.slow) for change in CHANGES],
    ],
)
def test_a_verdict_that_was_changed_makes_a_page_or_a_user_error(tmp_path, change, first, every):
    """Each key in turn, down to two levels, removed or given another value."""
    whole = verdicts.verdict("confirmed", "sparse", groups=True, rounds=2, better=True)
    whole["candidates"] = whole["candidates"][:9]  # the chosen one, gmp at 5%, is among them
    places = [(key,) for key in whole]
    places += [(key, sub) for key in ("data", "plan", "selected", "gate", "confirmation") for sub in whole[key]]
    places += [("candidates", 3, sub) for sub in whole["candidates"][3]]
    places += [("groups", 0, "rows", 0, sub) for sub in whole["groups"][0]["rows"][0]]
    refused = []
    for *way, last in places[first::every]:
        made = json.loads(json.dumps(whole))
        inner = made
        for step in way:
            inner = inner[step]
        if change is None:
            del inner[last]
        else:
            inner[last] = change
        (tmp_path / "verdict.json").write_text(json.dumps(made), encoding="utf-8")
        try:
            write_report(tmp_path)
        except UserError as error:
            refused.append(error)
    assert 5 // every < len(refused) < len(places[first::every])
    assert all("verdict.json" in error.message for error in refused)
    assert all("repeat the sparsefire fit command" in error.attempt for error in refused)


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b.replace(b"curve", b"curse")])
def test_a_damaged_results_file_is_a_user_error(tmp_path, spoil):
    run = verdicts.write_run(tmp_path / "run", verdicts.verdict())
    file = run / "results.parquet"
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(UserError, match=r"results\.parquet cannot be read") as error:
        write_report(run)
    assert "repeat the sparsefire fit command" in error.value.attempt


def test_a_file_in_place_of_a_run_is_a_user_error(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("a,b\n")
    with pytest.raises(UserError, match="holds no finished run"):
        write_report(file)


def test_an_example_of_the_words_is_a_verdict():
    assert json.loads(json.dumps(wording.EXAMPLE))["state"] == "confirmed"
    assert Tree(build(wording.EXAMPLE)).unclosed == []
