"""The wiring of a fully connected network: strongest connections, layer under layer, and the units left dead."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from sparsefire.data import figures
from sparsefire.report import svg

_ALL_INPUTS = 64  # up to here every input is drawn; above, the most used ones
_MOST_INPUTS = 60
_LEVELS = 4  # strengths that are told apart by width and opacity


@dataclass(frozen=True)
class Wiring:
    """The picture for a desktop and a phone, and what is said around it."""

    wide: Markup
    phone: Markup
    drawn: int
    drawn_phone: int
    kept: int
    summary: str
    inputs_left_out: int


def units_in_use(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return which units of every layer take part: something reaches them and something listens.

    Args:
        weights: one matrix [out, in] per layer, from the inputs on.

    Returns:
        one boolean array per layer of units, inputs first; an input is in use when an output depends on it.

    >>> first = np.array([[1.0, 0.0], [0.0, 0.0]])   # the second unit hears nothing
    >>> [alive.tolist() for alive in units_in_use([first, np.array([[1.0, 1.0]])])]
    [[True, False], [True, False], [True]]
    """
    reached = [np.ones(weights[0].shape[1], dtype=bool)]
    for weight in weights:
        reached.append(((weight != 0) & reached[-1][None, :]).any(axis=1))
    listened = [np.ones(weights[-1].shape[0], dtype=bool)]
    for weight in reversed(weights):
        listened.append(((weight != 0) & listened[-1][:, None]).any(axis=0))
    both = [up & down for up, down in zip(reached, reversed(listened), strict=True)]
    both[0] = listened[-1]
    return both


def strongest(weights: Sequence[np.ndarray], most: int) -> list[np.ndarray]:
    """Return the connections to draw per layer as [k, 2] arrays (receiver, sender), weakest first.

    The budget is shared evenly over the layers; in the last it is shared over the outputs, so that none looks unused.
    What a layer cannot use goes to the others.

    >>> layer = np.array([[3.0, -2.0], [0.5, 0.0]])
    >>> strongest([layer], 2)[0].tolist()
    [[1, 0], [0, 0]]
    """
    kept = [int(np.count_nonzero(weight)) for weight in weights]
    shares, left, open_ = [0] * len(kept), most, set(range(len(kept)))
    while open_ and left >= len(open_):
        each = left // len(open_)
        for index in sorted(open_):
            take = min(each, kept[index] - shares[index])
            shares[index] += take
            left -= take
        open_ = {index for index in open_ if shares[index] < kept[index]}
    out = []
    for index, (weight, share) in enumerate(zip(weights, shares, strict=True)):
        size = np.abs(weight)
        if index == len(weights) - 1:
            rank = np.empty_like(size)
            np.put_along_axis(rank, np.argsort(-size, axis=1, kind="stable"), np.arange(size.shape[1])[None, :], axis=1)
            order = np.lexsort((-size.ravel(), np.where(size > 0, rank, np.inf).ravel()))
        else:
            order = np.argsort(-size, axis=None, kind="stable")
        picked = np.array(np.unravel_index(order[:share], weight.shape)).T
        picked = picked[size[picked[:, 0], picked[:, 1]] > 0]
        out.append(picked[np.argsort(size[picked[:, 0], picked[:, 1]], kind="stable")])
    return out


def order_units(weights: Sequence[np.ndarray], alive: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the order of the units of every layer: inputs and outputs as given, hidden ones by what they feed.

    A hidden unit stands at the |weight|-weighted mean place of the units it feeds; dead ones come last.

    >>> weights = [np.ones((2, 1)), np.array([[0.0, 1.0], [1.0, 0.0]])]
    >>> [order.tolist() for order in order_units(weights, units_in_use(weights))]
    [[0], [1, 0], [0, 1]]
    """
    orders = [np.arange(weights[-1].shape[0])]
    place = np.linspace(0, 1, weights[-1].shape[0]) if weights[-1].shape[0] > 1 else np.array([0.5])
    for weight, here in zip(reversed(weights[1:]), reversed(list(alive)[1:-1]), strict=True):
        size = np.abs(weight)
        total = size.sum(axis=0)
        centre = np.where(total > 0, (size * place[:, None]).sum(axis=0) / np.where(total > 0, total, 1), 0.5)
        order = np.lexsort((centre, ~here))
        orders.append(order)
        place = np.empty(len(order))
        place[order] = (np.arange(len(order)) + 0.5) / max(int(here.sum()), 1)
    orders.append(np.arange(weights[0].shape[1]))
    return orders[::-1]


def draw(
    layers: Sequence[tuple[np.ndarray, np.ndarray | None]],
    feature_names: Sequence[str] = (),
    classes: Sequence[str] = (),
    *,
    target: str = "",
    most: int = 400,
    most_phone: int = 220,
) -> Wiring:
    """Return the wiring of a multilayer network.

    Args:
        layers: (weight [out, in], bias) per layer, from the inputs on; exact zeros are absent connections.
        feature_names: one per input; used when they are few enough to be read, or to name the most used ones.
        classes: one per output; empty for a regression.
        target: name of the target, for the single output of a regression.
        most: connections drawn on a desktop.
        most_phone: connections drawn on a phone.

    >>> wiring = draw([(np.eye(3), None), (np.ones((1, 3)), None)], ("a", "b", "c"), target="y")
    >>> wiring.drawn, wiring.summary
    (6, 'inputs 3 of 3 in use · hidden 3 of 3 in use · weights kept per layer 3, 3')
    """
    weights = [np.asarray(weight, dtype=np.float64) for weight, _ in layers]
    alive = units_in_use(weights)
    inputs = _inputs_to_draw(weights[0])
    shown = [weights[0][:, inputs], *weights[1:]]
    used = [alive[0][inputs], *alive[1:]]
    live = [
        np.where(receivers[:, None] & senders[None, :], weight, 0.0)
        for weight, senders, receivers in zip(shown, used[:-1], used[1:], strict=True)
    ]
    orders = order_units(shown, used)
    names = [feature_names[i] if i < len(feature_names) else f"input {i + 1}" for i in inputs]
    outputs = (
        list(classes) if len(classes) == weights[-1].shape[0] else _output_names(weights[-1].shape[0], classes, target)
    )
    kept = tuple(int(np.count_nonzero(weight)) for weight in weights)
    pictures = []
    for width, budget, phone in ((900.0, most, False), (358.0, most_phone, True)):
        edges = strongest(live, budget)
        drawing = _picture(shown, edges, orders, used, names, outputs, width, phone, weights[0].shape[1], bool(classes))
        pictures.append((drawing, sum(len(layer) for layer in edges)))
    return Wiring(
        wide=pictures[0][0],
        phone=pictures[1][0],
        drawn=pictures[0][1],
        drawn_phone=pictures[1][1],
        kept=sum(kept),
        summary=_summary(alive, kept),
        inputs_left_out=weights[0].shape[1] - len(inputs),
    )


def _inputs_to_draw(weight: np.ndarray) -> np.ndarray:
    if weight.shape[1] <= _ALL_INPUTS:
        return np.arange(weight.shape[1])
    used = np.abs(weight).sum(axis=0)
    return np.sort(np.argsort(-used, kind="stable")[:_MOST_INPUTS])


def _output_names(outputs: int, classes: Sequence[str], target: str) -> list[str]:
    if outputs == 1:
        return [classes[-1] if len(classes) == 2 else target or "output"]
    return [str(index) for index in range(outputs)]


def _summary(alive: Sequence[np.ndarray], kept: Sequence[int]) -> str:
    hidden = alive[1:-1]
    names = ["inputs"] + (["hidden"] if len(hidden) == 1 else [f"hidden {index + 1}" for index in range(len(hidden))])
    counts = [
        f"{name} {figures.count(int(layer.sum()))} of {figures.count(len(layer))} in use"
        for name, layer in zip(names, alive[:-1], strict=True)
    ]
    return " · ".join([*counts, f"weights kept per layer {', '.join(figures.count(layer) for layer in kept)}"])


def _picture(
    weights: Sequence[np.ndarray],
    edges: Sequence[np.ndarray],
    orders: Sequence[np.ndarray],
    alive: Sequence[np.ndarray],
    names: Sequence[str],
    outputs: Sequence[str],
    width: float,
    phone: bool,
    all_inputs: int,
    classes: bool,
) -> Markup:
    named = len(names) <= _MOST_INPUTS and not phone
    longest = max((len(svg.shorten(name, 16)) for name in names), default=0)
    crowded = named and (width - 40) / max(len(names), 1) < svg.width_of("x" * longest, 11.5) + 6
    top = 26.0 + ((7.2 * longest if crowded else 14) if named else 6)
    gap = 118.0 if not phone else 92.0
    layers = len(weights) + 1
    ys = [top + gap * index for index in range(layers)]
    xs = [_positions(orders[index], alive[index], width, index == layers - 1, index == 0) for index in range(layers)]
    parts: list[Markup] = []
    for index, layer in enumerate(edges):
        parts += _edges(weights[index], layer, xs[index], xs[index + 1], ys[index], ys[index + 1], index == layers - 2)
    for index in range(layers - 1):
        parts += _units(xs[index], orders[index], alive[index], ys[index], hidden=index > 0, phone=phone)
        if index:
            words = "hidden" if layers == 3 else f"hidden {index}"
            parts.append(svg.text(2, ys[index] - 10, words, "ink strong halo"))
            dead = int((~alive[index]).sum())
            if dead:
                at = xs[index][orders[index][int(alive[index].sum())]]
                parts.append(svg.text(min(at, width - 60), ys[index] - 8, f"{dead} dead", "soft halo small"))
    left_out = all_inputs - len(names)
    words = f"{len(names)} most used of {figures.count(all_inputs)} inputs" if left_out else f"{len(names)} inputs"
    parts.append(svg.text(2, 14, words, "ink strong"))
    if named:
        parts += _input_names(names, xs[0], ys[0], crowded)
    else:
        for name, x in zip(names, xs[0], strict=True):
            hover = svg.tag("title", svg.shorten(name, 80))
            parts.append(svg.tag("circle", hover, cx=float(x), cy=ys[0], r=5.0, class_="hover"))
    foot = _outputs(outputs, xs[-1], ys[-1], width, parts, classes)
    drawn, kept = sum(len(layer) for layer in edges), sum(int(np.count_nonzero(weight)) for weight in weights)
    through = ", ".join(figures.count(len(layer)) for layer in alive[1:-1]) or "no"
    label = (
        f"The {figures.count(drawn)} strongest connections between units in use, of {figures.count(kept)} kept, "
        f"from {len(names)} inputs through {through} hidden units to {len(outputs)} outputs."
    )
    return svg.picture(parts, width=width, height=ys[-1] + foot, label=label)


def _positions(order: np.ndarray, alive: np.ndarray, width: float, outputs: bool, inputs: bool) -> np.ndarray:
    """The x of every unit; dead ones stand at the end, after a gap."""
    x = np.empty(len(order))
    if outputs:
        inset = min(width / 2, max(30.0, 0.14 * width)) if len(order) < 12 else 22.0
        x[order] = np.linspace(inset, width - inset, len(order)) if len(order) > 1 else width / 2
        return x
    if inputs:
        inset = 14.0 if len(order) < 20 else 26.0
        x[order] = np.linspace(inset, width - inset, len(order)) if len(order) > 1 else width / 2
        return x
    dead = int((~alive).sum())
    step = (width - 20 - (16 if dead else 0)) / len(order)
    places = 10 + step * (np.arange(len(order)) + 0.5)
    if dead:
        places[len(order) - dead :] += 16
    x[order] = places
    return x


def _edges(
    weight: np.ndarray,
    layer: np.ndarray,
    senders: np.ndarray,
    receivers: np.ndarray,
    top: float,
    bottom: float,
    last: bool,
) -> list[Markup]:
    """Curves in a few strengths, weakest first, so that the strong ones lie on top."""
    if not len(layer):
        return []
    size = np.abs(weight[layer[:, 0], layer[:, 1]])
    low, high = size.min(), size.max()
    strength = np.zeros(len(size), dtype=int)
    if high > low:
        strength = np.minimum((_LEVELS * ((size - low) / (high - low)) ** 0.8).astype(int), _LEVELS - 1)
    start, end = top + 6, bottom - (12 if last else 5)
    bend = 0.55 * (end - start)
    out = []
    for level, sign in itertools.product(range(_LEVELS), ("positive", "negative")):
        picked = [
            f"M{svg.number(senders[s])},{svg.number(start)}C{svg.number(senders[s])},{svg.number(start + bend)} "
            f"{svg.number(receivers[r])},{svg.number(end - bend)} {svg.number(receivers[r])},{svg.number(end)}"
            for (r, s), here in zip(layer, strength, strict=True)
            if here == level and (weight[r, s] > 0) == (sign == "positive")
        ]
        if picked:
            out.append(svg.tag("path", d="".join(picked), class_=f"edge e{level} {sign}"))
    return out


def _units(x: np.ndarray, order: np.ndarray, alive: np.ndarray, y: float, *, hidden: bool, phone: bool) -> list[Markup]:
    """Dots, or a plain line where there are more units than room."""
    step = abs(x[order[1]] - x[order[0]]) if len(order) > 1 else 20.0
    here, dead = x[order[alive[order]]], x[order[~alive[order]]]
    if hidden and step < 2.6:
        out = []
        if len(here):
            out.append(svg.line(here[0], y, max(here[-1], here[0] + 1), y, "unit-line ink"))
        if len(dead):
            out.append(svg.line(dead[0], y, max(dead[-1], dead[0] + 1), y, "unit-line grey"))
        return out
    size = "tiny" if step < 5 else "small-dots" if hidden or phone or step < 9 else "large"
    radius = {"tiny": 1.3, "small-dots": 2.2, "large": 3.5}[size]
    out = [svg.dots([(place, y) for place in here], f"dots {size}")] if len(here) else []
    out += [svg.tag("circle", cx=float(place), cy=float(y), r=radius, class_="dead") for place in dead]
    return out


def _input_names(names: Sequence[str], x: np.ndarray, y: float, crowded: bool) -> list[Markup]:
    out = []
    for name, place in zip(names, x, strict=True):
        words = svg.shorten(name, 16)
        full = name if words != svg.clean(name) else ""
        if crowded:
            title = (svg.tag("title", svg.clean(full)),) if full else ()
            turn = f"translate({svg.number(place + 4)} {svg.number(y - 9)}) rotate(-90)"
            out.append(svg.tag("text", words, *title, transform=turn, class_="ink small"))
        else:
            out.append(svg.text(place, y - 10, words, "ink small", anchor="middle", full=full))
    return out


def _outputs(
    outputs: Sequence[str], x: np.ndarray, y: float, width: float, parts: list[Markup], classes: bool
) -> float:
    """Outputs as circles with short labels inside, longer ones below; returns the px used under the row."""
    room = abs(x[1] - x[0]) if len(x) > 1 else width - 40
    short = all(len(svg.clean(name)) <= 2 for name in outputs)
    radius = 10.0 if room >= 24 else max(0.4 * room, 2.5)
    for index, (name, place) in enumerate(zip(outputs, x, strict=True)):
        title = (svg.tag("title", svg.shorten(name, 80)),)
        parts.append(svg.tag("circle", *title, cx=float(place), cy=float(y), r=radius, class_="output"))
        if short and radius >= 8:
            parts.append(svg.text(place, y + 4, name, "ink strong small", anchor="middle"))
            continue
        words = svg.shorten(name, max(int(room / 7), 3))
        if room < 24 and index % max(int(24 / room), 2):  # too narrow to name every output
            continue
        parts.append(svg.text(place, y + radius + 16, words, "ink small", anchor="middle", full=name))
    words = f"{len(outputs)} {'classes' if classes else 'outputs'}" if len(outputs) > 1 else "output"
    parts.append(svg.text(2, y - 16, words, "ink strong halo"))
    return 18.0 if short and radius >= 8 else radius + 24
