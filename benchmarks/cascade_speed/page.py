"""The records as rows of a table, and as the page of the documentation."""

from __future__ import annotations

from importlib.metadata import version

from cascade_speed.comparison import Record

PAGE = """# Cascades: how fast

Written by `python benchmarks/cascades.py --docs docs/cascade_speed.md`. One random graph per size (5 n undirected
edges, mean degree 10, both directions tried independently) and one set of 20 sources, the same for everybody. Rounds
are interleaved; the figures are medians over {rounds} rounds, the ratio is the median of the ratios of the rounds, with
their range. Mean sizes agree within four standard errors of their difference, exact laws to 1e-12; otherwise there
would be no table. Floor and stretch are what the project set itself to reach. The load is the average of the last
minute, of which the measurement itself is 1.

{versions}.

"""


def figure(value: float | None) -> str:
    """Return three digits."""
    if value is None:
        return "–"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:.3g}"


def row(found: Record) -> str:
    """Return the line of a record."""
    times, least = ("×", "≥ ") if found["target_on"] == "ratio" else ("", "≤ ")
    targets = [least + figure(found[name]) + times if found[name] else "–" for name in ("floor", "stretch")]
    spread = "–" if found["ratio_range"] is None else "–".join(figure(end) + "×" for end in found["ratio_range"])
    cells = [
        found["job"] + ", " + found["unit"],
        figure(found["ours"]),
        found["peer_name"] or "–",
        figure(found["peer"]),
        "–" if found["ratio"] is None else figure(found["ratio"]) + "×",
        spread,
        *targets,
        {None: "–", True: "yes", False: "no"}[found["met"]],
        figure(found["load"]),
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| job | ours | beside | theirs | ratio | range over rounds | floor | stretch | floor met | load |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)


def page(records: list[Record]) -> str:
    """Return the page of the documentation."""
    known = {f"{found['peer_name']} {found['peer_version']}" for found in records if found["peer_version"]}
    rounds = max(found.get("rounds", 1) for found in records)
    versions = f"sparsefire {version('sparsefire')} beside " + ", ".join(sorted(known, key=str.lower) or ["nobody"])
    notes = [
        f"The file of {found['job'].split(' from')[0]} was read in {found['seconds_reading']:.1f} s and its cascades "
        f"took {found['seconds_running']:.2f} s, with {found['ours']:.2f} GiB in use at most.\n"
        for found in records
        if "seconds_reading" in found
    ]
    table = HEAD + "\n".join(map(row, records)) + "\n"
    return PAGE.format(rounds=rounds, versions=versions) + "\n".join([table, *notes])
