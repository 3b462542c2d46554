"""The work behind ``sparsefire cascade``: options to a model, its law and marginals, and the folder."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsefire.errors import UserError

if TYPE_CHECKING:
    from sparsefire.cascades.distribution import SizeDistribution
    from sparsefire.cascades.model import CascadeModel
    from sparsefire.cascades.sampling.runs import Marginals
    from sparsefire.wiring.graph import Wiring

MODELS = ("independent", "linear-threshold", "threshold", "load-redistribution")
NEEDS = {  # the options that belong to each model, the ones it cannot do without first
    "independent": ("probability",),
    "linear-threshold": ("influence",),
    "threshold": ("threshold", "load"),
    "load-redistribution": ("load", "capacity", "sharing"),
}
_REQUIRED = {"independent": 1, "linear-threshold": 0, "threshold": 1, "load-redistribution": 2}
_EXAMPLES = {
    "probability": "0.1", "influence": "COLUMN", "threshold": "uniform", "load": "0.3", "capacity": "uniform",
    "sharing": "local",
}  # fmt: skip


@dataclass(frozen=True)
class CascadeRequest:
    """What was asked for, as typed; the fields are the options of ``sparsefire cascade``."""

    edges: Path
    model: str = "independent"
    probability: str | None = None
    influence: str | None = None
    threshold: str | None = None
    load: str | None = None
    capacity: str | None = None
    sharing: str | None = None
    sources: str | None = None
    method: str = "auto"
    runs: int = 100_000
    workers: int | None = None
    rng: int = 0
    undirected: bool = False
    senders: str | None = None
    receivers: str | None = None
    command: str = ""


_OPTION = "|".join(field.name for field in fields(CascadeRequest))
_ARGUMENT = re.compile(rf"""\b({_OPTION})=(["']?)([\w-]+)\2""")


def run(request: CascadeRequest, folder: Path, say: Callable[[str], None], *, colour: bool = False) -> Path:
    """Solve or sample a cascade, print it, and write its folder; return the path of the page.

    Args:
        request: the options.
        folder: fresh, empty, or with the results of the same request.
        say: prints a block of text.
        colour: of the terminal.

    Raises:
        UserError: everything that is wrong with the options, the file or the folder, before anything is computed.
    """
    from sparsefire.data.bounded import file_sha256
    from sparsefire.data.words import plural
    from sparsefire.parallel import checked_workers
    from sparsefire.report.cascade_folder import check_folder, write_cascade
    from sparsefire.report.cascade_terminal import result_block, start_block
    from sparsefire.report.cascade_text import Outcome, sources_text

    _check(request)
    with _as_options(request.model):
        workers = checked_workers(request.workers)
    wiring = read_wiring(request)
    names = wiring.labels or tuple(map(str, range(wiring.units)))
    sources = read_starts(request.sources, names)
    model, title = make_model(request, wiring)
    asked = {
        "format": 1,
        "data": request.edges.name,
        "sha256": file_sha256(request.edges),
        **{name: getattr(request, name) for name in ("senders", "receivers", "undirected", "model", *_EXAMPLES)},
        "sources": sources if isinstance(sources, float) else [names[unit] for unit in sources],
        **{name: getattr(request, name) for name in ("method", "runs", "rng")},
    }
    _check_method(request.method, model, wiring)
    check_folder(folder, asked)
    sampled = f"{plural(request.runs, 'cascade')} on {plural(workers, 'worker')}"
    plan = {"auto": f"exactly where there is a way, else {sampled}", "monte-carlo": sampled}
    rows = [("model", title), ("sources", sources_text(sources, names))]
    rows.append(("run", plan.get(request.method, request.method)))
    say(start_block(request.edges.name, wiring.units, wiring.arcs, rows, colour=colour))
    start = np.full(wiring.units, sources) if isinstance(sources, float) else np.array(sources, dtype=np.int64)
    how = {"runs": request.runs, "rng": request.rng, "workers": workers}
    with _as_options(request.model):
        law = model.size_distribution(start, request.method, **how)
        marginals = marginals_for(model, start, law, how)
    outcome = Outcome(request.edges.name, title, wiring.units, wiring.arcs, names, sources, law, marginals)
    page = write_cascade(folder, outcome, asked, request.command)
    say(result_block(outcome, folder, colour=colour))
    return page


def read_wiring(request: CascadeRequest) -> Wiring:
    """Return the wiring of the file; every name in it is a label, and a column of numbers becomes weights."""
    from sparsefire.data.bounded import existing
    from sparsefire.wiring import read_edges

    column = _column(request)
    existing(request.edges, "the path of an edge list")
    try:
        return read_edges(
            request.edges, sender=request.senders, receiver=request.receivers, weight=column, named=True,
            directed=not request.undirected,
        )  # fmt: skip
    except UserError as error:
        for role, option in (("sender", "senders"), ("receiver", "receivers")):
            given = getattr(request, option)
            if error.came == f"{role}={given!r}":
                raise UserError(error.message, came=f"--{option} {_shown(given)}", expected=error.expected) from None
        if column is None or error.came != f"weight={column!r}":
            raise
        option = next(name for name in NEEDS[request.model] if getattr(request, name) == column)
        raise UserError(
            f"--{option} is neither a number nor a column.",
            came=_shown(column),
            expected=f"a number, or of {error.expected}",
        ) from None


def read_starts(text: str | None, names: Sequence[str]) -> list[int] | float:
    """Return ids from labels with commas between them, or the chance from a number with a % sign.

    Labels that hold a comma stand in double quotes, as in CSV.

    >>> read_starts("b,a", ("a", "b", "c")), read_starts("1%", ("a", "b"))
    ([1, 0], 0.01)
    """
    if text is None:
        return []
    number = {name: unit for unit, name in enumerate(names)}
    words = [text] if text in number else [word.strip() for word in next(csv.reader([text], skipinitialspace=True), [])]
    if len(words) == 1 and words[0].endswith("%") and words[0] not in number:
        chance = _number(words[0][:-1])
        if chance is None or not 0 <= chance <= 100:
            raise UserError("--sources is no percentage.", came=text, expected="0% to 100%")
        return chance / 100
    words = [word for word in words if word]
    if not words:
        raise UserError("--sources names no unit.", came=repr(text), expected="labels with commas between them, or 1%")
    for word in words:
        if word not in number:
            raise _unknown(word, names)
    twice = next((word for i, word in enumerate(words) if word in words[:i]), None)
    if twice is not None:
        raise UserError(f"the source {_shown(twice)} is named twice.", came=f"--sources {text}", expected="each once")
    return [number[word] for word in words]


def make_model(request: CascadeRequest, wiring: Wiring) -> tuple[CascadeModel, str]:
    """Return the model that the options name, and the same in words."""
    from sparsefire import cascades

    if request.model == "independent":
        probability = _value(request.probability, wiring, "probability")
        return cascades.IndependentCascade(wiring, probability), f"independent cascade, {_said(request, 'probability')}"
    if request.model == "linear-threshold":
        influence = None if request.influence is None else _value(request.influence, wiring, "influence")
        if influence is not None:
            _check_influence(wiring, influence)
        said = "influence 1 / in-degree" if influence is None else _said(request, "influence")
        return cascades.LinearThreshold(wiring, influence), f"linear threshold, {said}"
    if request.model == "threshold":
        load = request.load or "exposure"
        given = load if load in ("exposure", "damage") else _value(load, wiring, "load")
        model = cascades.Threshold(wiring, read_law(request.threshold, "threshold"), given)
        words = f"load by {load}" if isinstance(given, str) else _said(request, "load")
        return model, f"thresholds {request.threshold}, {words}"
    from sparsefire.cascades.load_redistribution import LoadRedistribution

    load_each = _number(request.load or "")
    if load_each is None or load_each < 0:
        raise UserError("--load is no number.", came=str(request.load), expected="0 or more, the load of every unit")
    sharing = request.sharing or "local"
    redistribution = LoadRedistribution(wiring, load_each, read_law(request.capacity, "capacity"), sharing)
    return redistribution, f"load {request.load} redistributed, {sharing} sharing, capacity {request.capacity}"


def read_law(text: str | None, option: str) -> Any:
    """Return a number, or a frozen law of scipy from ``uniform``, ``uniform:LOW,HIGH`` or ``normal:MEAN,SD``.

    >>> read_law("0.3", "threshold"), float(read_law("normal:0.5,0.1", "threshold").mean())
    (0.3, 0.5)
    """
    from scipy import stats

    number = _number(text or "")
    if number is not None:
        return number
    kind, _, rest = (text or "").partition(":")
    values = [value for value in map(_number, rest.split(",")) if value is not None]
    if kind == "uniform" and not rest:
        return stats.uniform()
    if len(values) == 2 and rest.count(",") == 1:
        first, second = values
        if kind == "uniform" and second > first:
            return stats.uniform(first, second - first)
        if kind == "normal" and second > 0:
            return stats.norm(first, second)
    raise UserError(
        f"--{option} is neither a number nor a law.",
        came=str(text),
        expected="a number, uniform, uniform:LOW,HIGH or normal:MEAN,SD (SD above 0)",
        attempt=f"--{option} normal:0.5,0.1",
    )


def marginals_for(
    model: CascadeModel, start: np.ndarray, law: SizeDistribution, how: dict[str, Any]
) -> Marginals | None:
    """Return the marginals that go with a law: of the same runs where it was sampled, None where there are none."""
    if law.method == "tree-approximation":
        return None
    if law.samples is not None:
        return model.marginals(start, "monte-carlo", **how)  # run r is the same run again
    return model.marginals(start, "mean-field" if law.method == "mean-field" else "auto", **how)


def in_options(error: UserError, model: str) -> UserError:
    """Return an error of the library in the words of the command line, where arguments are options.

    >>> error = UserError("no.", came="Threshold on Wiring(3 units, 4 arcs)", attempt='method="tree" or "monte-carlo"')
    >>> print(in_options(error, "threshold").render())
    no.
      came      --model threshold on 3 units, 4 arcs
      try       --method tree or monte-carlo
    """

    def typed(text: str) -> str:
        return re.sub(r'"([\w-]+)"', r"\1", _ARGUMENT.sub(r"--\1 \3", text))

    came = re.sub(r"^\w+ on Wiring\((.*)\)$", lambda found: f"--model {model} on {found[1]}", error.came)
    came = typed(came) if _ARGUMENT.fullmatch(came) else came  # elsewhere it may hold what a file says
    return UserError(error.message, came=came, expected=typed(error.expected), attempt=typed(error.attempt))


@contextmanager
def _as_options(model: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise in_options(error, model) from None


def _check(request: CascadeRequest) -> None:
    """Stop where options are missing or belong to another model."""
    if request.model not in MODELS:
        raise UserError(
            f"there is no model {_shown(request.model)}.", came=f"--model {request.model}", expected=", ".join(MODELS)
        )
    own = NEEDS[request.model]
    for name in own[: _REQUIRED[request.model]]:
        if getattr(request, name) is None:
            raise UserError(
                f"the model {request.model} needs --{name}.",
                came=f"--model {request.model} without it",
                expected=f"--{name} and a value",
                attempt=f"--{name} {_EXAMPLES[name]}",
            )
    for name in _EXAMPLES:
        if getattr(request, name) is not None and name not in own:
            raise UserError(
                f"--{name} does not belong to the model {request.model}.",
                came=f"--{name} {getattr(request, name)}",
                expected=" ".join(f"--{word}" for word in own),
            )
    if request.sharing not in (None, "local", "global"):
        raise UserError("there is no such sharing.", came=f"--sharing {request.sharing}", expected="local or global")
    if request.sources is None and request.model in ("independent", "linear-threshold"):
        raise UserError(
            "nobody starts.",
            came="no --sources",
            expected="labels of units with commas between them, or a chance such as 1%",
            attempt="--sources 1%",
        )
    from sparsefire.cascades.model import METHODS

    if request.method not in METHODS:
        raise UserError(
            f"there is no method {_shown(request.method)}.",
            came=f"--method {request.method}",
            expected=", ".join(METHODS),
        )
    if request.runs < 1:
        raise UserError("there must be runs.", came=f"--runs {request.runs}", expected="a whole number, 1 or more")
    if request.rng < 0:
        raise UserError("--rng is negative.", came=str(request.rng), expected="a whole number, 0 or more")


def _check_method(method: str, model: CascadeModel, wiring: Wiring) -> None:
    """Stop where a method does not fit the model or the network."""
    from sparsefire.cascades.exact.forest import is_forest

    if method not in model.methods:
        raise UserError("this model has no such method.", came=f"--method {method}", expected=", ".join(model.methods))
    if method == "tree" and not is_forest(wiring):
        raise UserError(
            "the network has cycles, so it is no tree.",
            came=f"--method tree with {wiring.units:,} units and {wiring.arcs:,} arcs",
            expected="no cycle when directions are ignored, at most one edge each way",
            attempt="--method auto",
        )


def _column(request: CascadeRequest) -> str | None:
    """Return the column of the edge list that holds a number per edge."""
    text = {"independent": request.probability, "linear-threshold": request.influence, "threshold": request.load}.get(
        request.model
    )
    return None if text is None or _number(text) is not None or text in ("exposure", "damage") else text


def _value(text: str | None, wiring: Wiring, option: str) -> Any:
    """Return a number, or one per edge from the column that the file was read with; probabilities are checked."""
    number = _number(text or "")
    most = 1.0 if option in ("probability", "influence") else np.inf
    if number is not None:
        if not 0 <= number <= most:
            raise UserError(f"--{option} is out of range.", came=str(text), expected="0 to 1, or the name of a column")
        return number
    values = np.empty(wiring.edges)
    values[wiring.given] = wiring.weights
    wrong = np.flatnonzero(~((values >= 0) & (values <= most)))
    if len(wrong):
        at = int(wrong[0])
        raise UserError(
            f"the column {_shown(str(text))} holds a number that is no {option}.",
            came=f"{values[at]:g} in row {at + 1:,}" + (f", {len(wrong):,} in all" if len(wrong) > 1 else ""),
            expected="0 to 1" if most == 1 else "0 or more",
        )
    return values


def _check_influence(wiring: Wiring, influence: Any) -> None:
    """Name the unit on which most acts, where that is more than 1."""
    total = np.bincount(wiring.receivers, wiring.per_arc(influence), wiring.units)
    unit = int(np.argmax(total))
    if total[unit] <= 1 + 1e-9:
        return
    name = wiring.labels[unit] if wiring.labels else str(unit)
    over = int((total > 1 + 1e-9).sum())
    raise UserError(
        f"the unit {_shown(name)} is acted on with more than 1 in all.",
        came=f"influences that add up to {total[unit]:.6g}" + (f" ({over:,} such units)" if over > 1 else ""),
        expected="at most 1 over the edges that reach a unit",
        attempt="leave --influence out: every edge then has 1 / in-degree",
    )


def _said(request: CascadeRequest, option: str) -> str:
    text = str(getattr(request, option))
    return f"{option} {text}" if _number(text) is not None else f'{option} from the column "{text}"'


def _unknown(word: str, names: Sequence[str]) -> UserError:
    from sparsefire.data.words import listing, nearest

    close = nearest(word, names) if len(names) <= 100_000 else None
    return UserError(
        f"there is no unit {_shown(word)}.",
        came=f"--sources with {_shown(word)}",
        expected=f"labels as in the file: {listing(names)}",
        attempt=f"--sources {close}" if close is not None else "",
    )


def _shown(text: str) -> str:
    from sparsefire.data.words import quote

    return quote(text)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
