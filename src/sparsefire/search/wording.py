"""The words of the verdict: plain values in, sentences out.

*Selected* means: passed on the out-of-fold scores of the development rows. *Confirmed* means: passed once, at the full
level, on test rows nobody had touched. The two never share a word, and "is not worse" is said only when confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparsefire.data import figures
from sparsefire.search import limits, score_text
from sparsefire.search.example import EXAMPLE as EXAMPLE
from sparsefire.search.names import at_density

Verdict = Mapping[str, Any]
Line = dict[str, str]

STATES = ("confirmed", "not-confirmable", "not-confirmed", "contradicted", "nothing-passed", "no-network-needed")


def words(verdict: Verdict) -> dict[str, Any]:
    """Return everything the verdict says, ready to be merged into ``verdict.json``.

    Args:
        verdict: the dictionary of ``verdict.json``; the four keys returned here need not be there yet.

    Returns:
        ``headline`` (str), ``chips`` (list of ``text``, ``tone``, ``sign``), ``evidence`` (list of ``lead``, ``text``
        and sometimes ``strong``, a part of the text to stress) and ``limits`` (list of str).

    >>> sorted(words(EXAMPLE))
    ['chips', 'evidence', 'headline', 'limits']
    """
    return {
        "headline": headline(verdict),
        "chips": chips(verdict),
        "evidence": evidence(verdict),
        "limits": limits.limits(verdict),
    }


def headline(verdict: Verdict) -> str:
    """Return the one sentence of the verdict.

    >>> headline(EXAMPLE)
    'A network with 13,310 weights, 20 times fewer than the dense one, is not worse.'
    """
    state = verdict["state"]
    if state == "nothing-passed":
        return f"No smaller network was shown to be not worse.{_dense_size(verdict)}"
    if state == "no-network-needed":
        return f"No evidence that a network is needed: {_no_need(verdict['gate'])}."

    subject = _subject(verdict)
    if state == "confirmed":
        return _confirmed_headline(verdict, subject)
    if state == "not-confirmed":
        return f"{subject} was selected, but fell short on the test rows."
    if state == "contradicted":
        return f"{subject} was selected, but is worse on the test rows by more than the margin."

    fewer = f", {_fewer(verdict)}," if verdict["kind"] == "sparse" else ""
    no_sparse = " No sparse one was smaller." if verdict["kind"] == "narrow" else ""
    return f"{subject}{fewer} was selected as not worse.{no_sparse} {_too_few(verdict)}"


def chips(verdict: Verdict) -> list[Line]:
    """Return the status chips, each with its words, its tone and a sign, so that colour never stands alone.

    >>> [(chip["sign"], chip["text"], chip["tone"]) for chip in chips(EXAMPLE)]
    [('✓', 'Selected', 'selected'), ('✓', 'Confirmed', 'confirmed')]
    """
    state = verdict["state"]
    if state == "nothing-passed":
        return [_chip("–", "Nothing passed", "caution")]
    if state == "no-network-needed":
        return [_chip("–", "No network needed", "caution")]
    out = [_chip("✓", "Selected", "selected")]
    if state == "confirmed":
        out.append(_chip("✓", "Confirmed", "confirmed"))
    elif state == "not-confirmed":
        out.append(_chip("✕", "Not confirmed", "caution"))
    elif state == "contradicted":
        out.append(_chip("✕", "Contradicted", "caution"))
    else:
        rows = _test_rows(verdict)
        how = f"with {figures.count(rows)} test rows" if rows else "without test rows"
        out.append(_chip("!", f"Not confirmable {how}", "caution"))
    if verdict["kind"] == "linear":
        out.append(_chip("", "not a network", "plain"))
    return out


def evidence(verdict: Verdict) -> list[Line]:
    """Return at most three short lines: what, rows, chosen score, dense score, difference, bound, what the margin allows.

    >>> for line in evidence(EXAMPLE):
    ...     print(line["lead"], line["text"])
    Selected by 5-fold cross-validation on 8,000 rows: 97.7% correct against 98.0% for dense, −0.3 points, lower bound −0.6. The margin allows −1.0.
    Confirmed on 2,000 untouched test rows: 97.9% against 98.1%, −0.2 points, lower bound −0.7.
    """  # noqa: E501
    state = verdict["state"]
    if state == "nothing-passed":
        lines = _nothing_passed(verdict)
    elif state == "no-network-needed":
        lines = _nothing_needed(verdict)
    else:
        lines = [_selected(verdict), _confirmation(verdict)]
    better = verdict.get("better_than_both")
    if better:
        score = score_text.score_value(better["score"], verdict["data"]["score"], unit=True)
        named = score if verdict["data"]["score"] == "accuracy" else f"{_with_article(verdict)} of {score}"
        lead = "Better than both:" if verdict.get("selected") else "Better than dense:"
        lines.append({"lead": lead, "text": f"gradient boosting, {named}. If size does not matter to you, use it."})
    return lines


def find(verdict: Verdict, *, kind: str | None = None, identifier: str | None = None) -> Mapping[str, Any] | None:
    """Return the first candidate of this kind or with this id, or None.

    >>> find(EXAMPLE, kind="dense")["weights"]
    266200
    """
    for candidate in verdict.get("candidates") or ():
        if (kind is None or candidate["kind"] == kind) and (identifier is None or candidate["id"] == identifier):
            return candidate
    return None


def closest(verdict: Verdict) -> Mapping[str, Any] | None:
    """Return the smaller network that came nearest to passing: the one with the greatest lower bound.

    >>> closest(EXAMPLE)["id"]
    'gmp@0.02'
    """
    tested = [
        row
        for row in verdict.get("candidates") or ()
        if row["kind"] in ("sparse", "narrow") and row["walk"] in ("stopped", "fell-short") and row["lower"] is not None
    ]
    return max(tested, key=lambda row: row["lower"], default=None)


def cross_validation(plan: Mapping[str, Any]) -> str:
    """Return how the scores of the development rows were made.

    >>> cross_validation({"folds": 10, "rounds": 3}), cross_validation({"folds": 5, "rounds": 1})
    ('10-fold cross-validation × 3 initialisations', '5-fold cross-validation')
    """
    text = f"{plan['folds']}-fold cross-validation"
    return f"{text} × {plan['rounds']} initialisations" if plan["rounds"] > 1 else text


def rows_compared(verdict: Verdict) -> str:
    """Return on how many development rows the candidates were compared: with a time, only later rows are ever held out.

    >>> rows_compared(EXAMPLE)
    '8,000'
    """
    return figures.count(verdict["data"].get("rows_compared") or verdict["data"]["rows_development"])


# the parts ----------------------------------------------------------------------------------------------------------


def _chip(sign: str, text: str, tone: str) -> Line:
    return {"sign": sign, "text": text, "tone": tone}


def _subject(verdict: Verdict) -> str:
    weights = figures.count(verdict["selected"]["weights"])
    noun = {"sparse": "A network", "narrow": "A narrow dense network", "linear": "A linear model"}[verdict["kind"]]
    return f"{noun} with {weights} weights"


def _fewer(verdict: Verdict) -> str:
    many, few = verdict["selected"]["dense_weights"], verdict["selected"]["weights"]
    if many < 1.1 * few:  # "1 times fewer" would say nothing
        return f"{figures.count(many - few)} fewer than the dense one"
    return f"{figures.times_fewer(many, few)} times fewer than the dense one"


def _confirmed_headline(verdict: Verdict, subject: str) -> str:
    if verdict["kind"] == "narrow":
        return f"{subject} is enough. No sparse one was smaller."
    if verdict["kind"] == "linear":
        dense = figures.count(verdict["selected"]["dense_weights"])
        return f"{subject} is enough: it is not worse than the dense network with {dense}."
    return f"{subject}, {_fewer(verdict)}, is not worse."


def _too_few(verdict: Verdict) -> str:
    rows = _test_rows(verdict)
    if not rows:
        return "No test rows were set aside to confirm it."
    why = "are too few to confirm it" if verdict.get("confirmation") else "cannot confirm it"
    return f"{figures.count(rows)} test rows {why}."


def _test_rows(verdict: Verdict) -> int:
    test = verdict.get("confirmation")
    return test["rows"] if test else verdict["data"].get("rows_test") or 0


def _dense_size(verdict: Verdict) -> str:
    dense = find(verdict, kind="dense")
    return f" The dense one has {figures.count(dense['weights'])} weights." if dense and dense["weights"] else ""


def _no_need(gate: Mapping[str, Any]) -> str:
    if gate["lower"] > gate["threshold"]:  # a bound on so few groups that it may not speak
        return "the data are too few to tell dense from a constant guess"
    if gate["estimate"] <= 0:
        return "dense was no better than a constant guess"
    more = " by more than the margin" if gate["lower"] > 0 else ""
    return f"dense was not surely better than a constant guess{more}"


def _with_article(verdict: Verdict) -> str:
    return "an " + score_text.score_name(verdict["data"]["score"])


def _achieved(verdict: Verdict, value: float) -> str:
    """`97.7% correct` or `an AUC of 0.912`."""
    score = verdict["data"]["score"]
    text = score_text.score_value(value, score, unit=True)
    return f"{text} correct" if score == "accuracy" else f"{_with_article(verdict)} of {text}"


def _points(text: str, score: str) -> str:
    unit = score_text.difference_unit(score)
    return f"{text} {unit}" if unit else text


def _selected(verdict: Verdict) -> Line:
    score = verdict["data"]["score"]
    chosen = find(verdict, identifier=verdict["selected"]["candidate"])
    dense = find(verdict, kind="dense")
    assert chosen is not None, "the selected candidate stands in the table"
    assert dense is not None, "dense stands in the table"
    shift, lower, allowed = score_text.told(chosen["difference"], chosen["lower"], verdict["margin"], score)
    text = (
        f"by {cross_validation(verdict['plan'])} on {rows_compared(verdict)} rows: "
        f"{_achieved(verdict, chosen['score'])} against {score_text.score_value(dense['score'], score, unit=True)} "
        f"for dense, {_points(shift, score)}, lower bound {lower}. The margin allows {allowed}."
    )
    return {"lead": "Selected", "text": text}


def _confirmation(verdict: Verdict) -> Line:
    test = verdict.get("confirmation")
    if not test:
        return {"lead": "Not confirmable.", "text": _sentence(verdict.get("why_not") or "No test rows were set aside")}
    score, margin = verdict["data"]["score"], verdict["margin"]
    shift, lower, allowed = score_text.told(test["difference"], test["lower"], margin, score)
    rows = f"{figures.count(test['rows'])} untouched test rows"
    dense = score_text.score_value(test["score_dense"], score, unit=True)
    if verdict["state"] == "confirmed":
        chosen = score_text.score_value(test["score_chosen"], score, unit=True)
        named = chosen if score == "accuracy" else f"{_with_article(verdict)} of {chosen}"
        text = f"on {rows}: {named} against {dense}, {_points(shift, score)}, lower bound {lower}."
        return {"lead": "Confirmed", "text": text}

    got = score_text.score_value(test["score_chosen"], score, unit=True)
    scored = f"got {got} right" if score == "accuracy" else f"had {_with_article(verdict)} of {got}"
    text = f"On {rows} it {scored}, dense {dense}: {_points(shift, score)}, "
    if verdict["state"] == "contradicted":
        decimals = score_text.decimals_to_tell([test["upper"], test["lower"]], margin, score)
        best = score_text.difference(test["upper"], score, decimals=decimals)
        allowed = score_text.difference(-margin, score, decimals=decimals)
        text += f"at best {best}, below the {allowed} allowed. Do not use it as a replacement."
        return {"lead": "Contradicted.", "text": text, "strong": "Do not use it as a replacement."}

    if test["lower"] > -margin:  # the bound is fine, but its level cannot be promised on so few rows
        text += f"lower bound {lower}, inside the {allowed} allowed. "
        text += _sentence(verdict.get("why_not") or "So few rows cannot promise the level of that bound")
    else:
        text += f"lower bound {lower}, below the {allowed} allowed."
    line = {"lead": "Not confirmed.", "text": text}
    needed, power = test.get("rows_needed"), test.get("power")
    if verdict["state"] == "not-confirmable":
        line["lead"] = "Not confirmable at this size."
        if needed and needed > test["rows"]:
            line["strong"] = f"{figures.about_count(needed, above=test['rows'])} test rows"
            line["text"] += f" About {line['strong']} would do if the two are equal."
    elif power is not None:
        line["text"] += f" An equal one would have passed with a chance of {figures.fixed(100 * power, 0)}%."
    return line


def _nothing_passed(verdict: Verdict) -> list[Line]:
    score, margin = verdict["data"]["score"], verdict["margin"]
    near = closest(verdict)
    advice = {
        "lead": "What to do:",
        "text": "more rows, or a margin you can defend before looking. This is no evidence that small is worse.",
        "strong": "before",
    }
    if near is None:
        return [{"lead": "Why:", "text": "no smaller network could be tested."}, advice]
    decimals = score_text.decimals_to_tell([near["lower"]], margin, score)
    unit = score_text.difference_unit(score)

    def plain(value: float) -> str:
        return figures.fixed(abs(score_text.scale(score) * value), decimals) + (f" {unit}" if unit else "")

    moved = f"lost {plain(near['difference'])}" if near["difference"] <= 0 else f"gained {plain(near['difference'])}"
    text = (
        f"{at_density(near)}, {moved}, at worst {'lost ' if near['difference'] > 0 else ''}"
        f"{figures.fixed(abs(score_text.scale(score) * near['lower']), decimals)}, "
        f"by {cross_validation(verdict['plan'])} on {rows_compared(verdict)} rows. "
        f"The margin allows {figures.fixed(score_text.scale(score) * margin, decimals)}."
    )
    return [{"lead": "The closest,", "text": text}, advice]


def _nothing_needed(verdict: Verdict) -> list[Line]:
    score, gate = verdict["data"]["score"], verdict["gate"]
    decimals = score_text.decimals_to_tell([gate["lower"]], -gate["threshold"], score)
    shift, lower, bar = (
        score_text.difference(gate[key], score, decimals=decimals) for key in ("estimate", "lower", "threshold")
    )
    text = (
        f"{_points(shift, score)}, lower bound {lower}, by {cross_validation(verdict['plan'])} "
        f"on {rows_compared(verdict)} rows. Only above {bar} would “not worse than dense” mean anything."
    )
    return [
        {"lead": "Dense minus a constant guess:", "text": text},
        {"lead": "What to do:", "text": "more rows, other inputs, or a target these inputs can tell."},
    ]


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
