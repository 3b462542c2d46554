"""Oracle: SciPy's paired tests, a search for Fieller's ends, sparsefire.train bit for bit; hand-made records."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import published
import pytest
import torch
from claims import cases, judge, page, picture
from claims.cases import Arm, Choice, Look, run, shuffled, trained, units
from claims.experiments import EXPERIMENTS, all_arms
from claims.parts import Comparison, Experiment, Rise, Share
from claims.places import PLACES, Place, residual
from claims.statistics import not_worse, same, share_interval, spearman_interval
from claims.training import Plan, optimizer_of, train
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from sparsefire import masks
from sparsefire import train as room
from sparsefire.sparsity import HAM, recipe
from sparsefire.sparsity.methods import check_sparse
from sparsefire.train import Training, build

SMALL = {"kind": "mlp", "widths": [12, 16, 8, 3]}


def rows(number):
    rng = np.random.default_rng(number)
    x = rng.standard_normal((150, 12)).astype(np.float32)
    return x, (x[:, :3] + 0.1 * rng.standard_normal((150, 3))).argmax(1)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A place of 248 weights, its tickets apart."""
    place = Place("small", 150, 4, 32, lambda rng: build(SMALL, rng=rng))
    monkeypatch.setitem(PLACES, "mlp", place)
    monkeypatch.setattr(cases, "split", lambda name, number, inner=False: (*rows(number), *rows(number + 50 + inner)))
    monkeypatch.setattr(cases, "TICKETS", tmp_path / "tickets")


# statistics


gaps = st.lists(st.floats(-2, 2), min_size=3, max_size=12).filter(lambda values: np.std(values) > 1e-3).map(np.array)


@given(gaps, st.floats(0.1, 3))
def test_two_one_sided_tests_are_an_interval_inside_the_margin(gap, margin):
    low, high = stats.t.interval(0.90, len(gap) - 1, gap.mean(), stats.sem(gap))
    p = same(gap, margin)
    if abs(p - 0.05) > 1e-9:
        assert (p < 0.05) == (low > -margin and high < margin)
    if margin > abs(gap).max() + 3 * (high - low):
        assert p < 0.05


def test_not_worse_is_scipys_paired_test():
    ours, base = np.array([3.0, 2.0, 4.0, 3.5]), np.array([3.2, 2.4, 3.9, 3.6])
    wanted = stats.ttest_rel(ours, base - 0.5, alternative="greater").pvalue
    assert not_worse(ours - base, 0.5) == pytest.approx(wanted)


@pytest.mark.parametrize("number", range(5))
def test_ends_of_fiellers_interval_are_where_the_t_test_stops_rejecting(number):
    rng = np.random.default_rng(number)
    whole = 3 + rng.standard_normal(10)
    part = 0.6 * whole + rng.standard_normal(10)

    def above(theta):
        return stats.ttest_1samp(part - theta * whole, 0).pvalue - 0.05

    at = part.mean() / whole.mean()
    wanted = optimize.brentq(above, at - 5, at), optimize.brentq(above, at, at + 5)
    assert share_interval(part, whole) == pytest.approx(wanted, abs=1e-3)


def test_a_gap_that_may_be_zero_bounds_no_share():
    assert share_interval(np.array([1.0, 2.0, 1.5]), np.array([-1.0, 1.0, 0.2])) == (-np.inf, np.inf)


def test_spearman_is_that_of_the_means():
    x, y = [[1, 1], [2, 2], [3, 3], [4, 4]], [[0, 4], [1, 1], [5, 5], [6, 8]]
    rho, low, high = spearman_interval(x, y)
    assert rho == pytest.approx(stats.spearmanr([1, 2, 3, 4], [2, 1, 5, 7]).statistic)
    assert low == pytest.approx(rho)  # only a draw of the first replicate twice has another order
    assert high == pytest.approx(1.0)


# verdicts and page


def record(arm, replicate, accuracy, **more):
    plain = {"weights": 10, "flipped": 0.1, "live": 1.0, "even": True, "rate": 0.01, "alpha": None, "seconds": 1.0}
    return {"arm": arm.key, "replicate": replicate, "accuracy": accuracy, **plain, **more}


DENSE, STATIC, GMP = Arm("dense"), Arm("static", 0.1), Arm("gmp", 0.1)
BASE, NOISE = [0.90, 0.91, 0.92, 0.93], [0.001, -0.001, 0.002, 0.0]


def outcomes():
    found = [record(DENSE, r, a) for r, a in enumerate(BASE)]
    found += [record(STATIC, r, a - 0.02 + e, explored=0.1) for r, (a, e) in enumerate(zip(BASE, NOISE, strict=True))]
    found += [record(GMP, r, a + e, explored=0.2) for r, (a, e) in enumerate(zip(BASE, NOISE, strict=True))]
    return [*found, record(GMP, 9, 0.1), {"arm": GMP.key, "choice": {"rate": 0.01, "alpha": None}, "tried": {}}]


def judged(*parts):
    return judge.judged(outcomes(), [Experiment(1, "title", "claim", "source", parts)])


@pytest.mark.parametrize(
    ("part", "word"),
    [
        (Comparison(GMP, STATIC, "better", "a"), "holds"),
        (Comparison(STATIC, GMP, "better", "a"), "contradicted"),
        (Comparison(GMP, DENSE, "better", "a"), "not shown"),
        (Comparison(GMP, DENSE, "same", "a", None, 1.0), "holds"),
        (Comparison(GMP, DENSE, "same", "a", None, 0.1), "not shown"),
        (Comparison(STATIC, DENSE, "same", "a", None, 1.0), "contradicted"),
        (Comparison(STATIC, DENSE, "not worse", "a", None, 2.5), "holds"),
        (Comparison(STATIC, DENSE, "not worse", "a", None, 1.0), "contradicted"),
        (Share(GMP, STATIC, DENSE, "at least", 0.5, "a"), "holds"),
        (Share(GMP, STATIC, DENSE, "at most", 0.5, "a"), "contradicted"),
        (Share(GMP, STATIC, DENSE, "at least", 1.0, "a"), "not shown"),
        (Rise((STATIC, GMP), "explored", "a", 0.7), "holds"),
    ],
)
def test_words(part, word):
    (verdict,) = judged(part)
    assert (verdict.word, verdict.count) == (word, 4)


def test_differences_are_paired_and_in_points():
    (verdict,) = judged(Comparison(STATIC, DENSE, "better", "a"))
    wanted = stats.t.interval(0.95, 3, loc=-1.95, scale=stats.sem([0.1, -0.1, 0.2, 0.0]))
    assert verdict.value == pytest.approx(-1.95)
    assert (verdict.low, verdict.high) == pytest.approx(wanted)


def test_arms_that_were_not_trained_give_no_verdict():
    assert (
        judged(Comparison(Arm("set", 0.1), DENSE, "better", "a"), Share(Arm("lrr"), DENSE, GMP, "at most", 1, "a"))
        == []
    )


def test_page_and_picture(monkeypatch):
    experiment = Experiment(
        3,
        "A title",
        "A claim.",
        "arXiv:1.",
        (Comparison(STATIC, DENSE, "not worse", "static − dense", (-1.0, "X"), 2.5),),
    )
    monkeypatch.setattr(page, "EXPERIMENTS", (experiment,))
    found = judge.judged(outcomes(), [experiment])
    text = page.markdown(outcomes(), found)
    assert "| static − dense | > −2.5 | -1.95 [-2.16, -1.74] (4 replicates) |" in text
    assert "| static 0.1 | 89.55 ± " in text
    ElementTree.fromstring(str(picture.forest(found)))
    (one,) = page.records(found)
    assert one["ours"] == pytest.approx(-1.95)
    assert (one["peer"], one["verdict"]) == (-1.0, "holds")


def test_every_experiment_can_be_trained():
    assert len({arm.key for arm in all_arms()}) == len(all_arms())
    assert "kept" not in Arm("gmp", 0.1, kept=True).key
    assert {one.number for one in EXPERIMENTS} == {5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18}
    for arm in all_arms():
        plan = cases.plan_of(arm, Choice(0.01))
        if plan.recipe is not None:
            check_sparse(PLACES[arm.place].network(0), arm.density, plan.recipe, arm.layout)
    assert sum(layer.weight.numel() for layer in masks.layers(residual(0)).values()) == 18_312


# training


@pytest.mark.parametrize("method", ["dense", "static", "gmp", "rigl", "lrr", "snip"])
def test_training_is_that_of_the_package(method):
    x, y = rows(0)
    ours, theirs = build(SMALL, rng=1), build(SMALL, rng=1)
    density, chosen = (1.0, None) if method == "dense" else (0.3, recipe(method))
    kept = train(ours, x, y, Plan(chosen, density, None, "adamw", 0.01, None, 6, 32), rng=1)
    room.train(theirs, x, y, Training(method, density, rate=0.01, epochs=6, batch=32), task="classification", rng=1)
    for one, other in zip(masks.layers(ours).values(), masks.layers(theirs).values(), strict=True):
        assert torch.equal(one.weight, other.weight)
    assert sum(int(mask.sum()) for mask in kept.values()) == round(density * (12 * 16 + 16 * 8 + 8 * 3))


def test_ham_wraps_the_optimizer_and_moves_weights():
    plan = Plan(recipe("static"), 0.5, None, "sgd", 0.1, 20.0, 2, 32)
    assert isinstance(optimizer_of(build(SMALL), plan), HAM)
    nets = [build(SMALL, rng=1), build(SMALL, rng=1)]
    for net, alpha in zip(nets, (20.0, None), strict=True):
        train(net, *rows(0), replace(plan, alpha=alpha), rng=1)
    assert not torch.equal(nets[0][1].weight, nets[1][1].weight)


def test_options_make_as_many_schedules(small):
    seen = {}
    for cycles in (1, 2):
        arm = Arm("cyclic", 0.3, options=(("cycles", cycles),))
        seen[cycles] = trained(arm, 0, Choice(0.03), {})["accuracy"], cases.plan_of(arm, Choice(0.03)).recipe.options
    assert seen[2][1] == {"cycles": 2}
    assert trained(Arm("static", 0.3), 0, Choice(0.03), {})["accuracy"] == seen[1][0]


def test_shuffling_keeps_counts_alone():
    mask = torch.rand(20, 30) < 0.2
    other = shuffled(mask, 3, "1")
    assert other.sum() == mask.sum()
    assert not torch.equal(other, mask)
    assert torch.equal(other, shuffled(mask, 3, "1"))


def started(arm, known):
    """Return first weights and masks of an arm, by training it for no step."""
    net, source = PLACES["mlp"].network(0), cases.ticket_of(arm.source, 0, known)
    cases.begin_(net, arm, 0, source)
    own = {name: torch.ones_like(layer.weight, dtype=torch.bool) for name, layer in masks.layers(net).items()}
    return cases.weights_of(net), cases.chosen_masks(arm, 0, source)(own), source


def test_what_arms_take_from_a_source(small):
    source = Arm("gmp", 0.3, kept=True)
    known = {source.key: Choice(0.03)}
    assert trained(source, 0, Choice(0.03), known)["weights"] == round(0.3 * 344)
    fresh = cases.weights_of(PLACES["mlp"].network(cases.FRESH))
    for weights in ("fresh", "early", "early signs", "learned signs", "learned magnitudes", "learned"):
        arm = Arm("static", 0.3, masks="source", weights=weights, source=source)
        first, kept, ticket = started(arm, known)
        for name, weight in first.items():
            mask, learned, early = kept[name], ticket["last"][f"{name}.weight"], ticket["early"][f"{name}.weight"]
            assert torch.equal(mask, ticket["masks"][name])
            sizes = {"early": early, "learned": learned, "learned magnitudes": learned}.get(weights, fresh[name])
            signs = (
                {"e": early, "l": learned}[weights[0]]
                if "sign" in weights or weights in ("early", "learned")
                else fresh[name]
            )
            assert torch.equal(weight[mask].abs(), sizes[mask].abs())
            assert torch.equal(weight[mask].sign(), signs[mask].sign())
        found = run(arm, [0], known)
        assert found[1]["weights"] == round(0.3 * 344)
    counts = started(Arm("static", 0.3, masks="source shuffled", source=source), known)[1]
    assert {n: int(m.sum()) for n, m in counts.items()} == {n: int(m.sum()) for n, m in ticket["masks"].items()}


def test_what_is_seen_in_training(small):
    moved = trained(Arm("rigl", 0.3, options=(("every", 2),)), 0, Choice(0.03), {})
    assert moved["explored"] > 0.31
    still = trained(Arm("rigl", 0.3, options=(("every", 900),)), 0, Choice(0.03), {})
    assert still["explored"] == pytest.approx(0.3, abs=0.002)
    assert 0.3 < trained(Arm("ac-dc", 0.3), 0, Choice(0.03), {})["twin"] <= 1
    assert trained(Arm("srigl", 0.3), 0, Choice(0.03), {})["even"]
    last = torch.tensor([[True, False]])
    assert units([torch.tensor([[True, True], [False, False]]), last]) == {"live": 0.5, "even": True}
    assert units([torch.tensor([[True, True], [True, False]]), last]) == {"live": 1.0, "even": False}
    assert Look(None, None, 150, 32).epoch == 5


def test_rates_are_chosen_on_rows_apart_and_work_is_not_done_twice(small, tmp_path, monkeypatch, capsys):
    arm = Arm("snip", 0.3, masks="shuffled", epochs=1)
    (choice, *found) = run(arm, [0, 1], {})
    assert choice["arm"] == replace(arm, masks="own").key
    assert set(choice["tried"]) == {"0.003", "0.01", "0.03"}
    assert choice["tried"][f"{choice['choice']['rate']:g}"] == max(choice["tried"].values())
    assert [one["rate"] for one in found] == [choice["choice"]["rate"]] * 2
    assert "choice" not in run(arm, [2], {choice["arm"]: Choice(**choice["choice"])})[0]
    experiment = Experiment(7, "t", "c", "s", (Comparison(arm, replace(arm, masks="own"), "same", "words"),))
    monkeypatch.setattr(published, "EXPERIMENTS", (experiment,))
    monkeypatch.setattr(page, "EXPERIMENTS", (experiment,))
    monkeypatch.setattr(published, "all_arms", lambda *_: list(experiment.arms()))
    monkeypatch.setattr(published, "STORE", tmp_path / "cases.jsonl")
    monkeypatch.setattr(published, "REPLICATES", 3)
    assert published.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["replicates"] == 3
    kept = (tmp_path / "cases.jsonl").read_text()
    assert published.main([]) == 0
    assert (tmp_path / "cases.jsonl").read_text() == kept
    assert "## 7. t" in capsys.readouterr().out
