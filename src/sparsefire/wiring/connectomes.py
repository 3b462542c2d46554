"""Readers of measured wirings, as published files; none is shipped. Each result says whom to cite and on what terms.

Compare with :mod:`sparsefire.wiring.nulls` before claiming anything about such a wiring.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.wiring.convert import from_frame
from sparsefire.wiring.graph import Wiring


@dataclass(frozen=True)
class Connectome:
    """A measured wiring with its source.

    Attributes:
        wiring: weights are synapse counts or sizes; labels name the cells.
        groups: type of each cell, or ``()``.
        sha256: of each file that was read, in hexadecimal.
        citation, licence: what the owners ask for.
        note: what the numbers mean and leave out.
    """

    wiring: Wiring
    groups: tuple[str, ...]
    sha256: tuple[str, ...]
    citation: str
    licence: str
    note: str


def celegans(
    path: str | Path, *, sex: str = "hermaphrodite", synapses: str = "chemical", sha256: str | None = None
) -> Connectome:
    """Read a C. elegans connectome (Cook et al. 2019, doi:10.1038/s41586-019-1352-7).

    Args:
        path: an .npz file with ``{herm,male}_names`` and ``{herm,male}_{chem,elec}_{src,dst,w}``.
        sex: ``"hermaphrodite"`` (473 cells, muscles and end organs among them) or ``"male"`` (598).
        synapses: ``"chemical"`` (directed) or ``"electrical"`` (gap junctions: undirected edges, from one half of the
            symmetric table as it is published).
        sha256: of the file as expected; another is an error.
    """
    sexes, kinds = {"hermaphrodite": "herm", "male": "male"}, {"chemical": "chem", "electrical": "elec"}
    if sex not in sexes or synapses not in kinds:
        raise UserError(
            "there is no such connectome.",
            came=f"sex={sex!r}, synapses={synapses!r}",
            expected=f"{' or '.join(sexes)}; {' or '.join(kinds)}",
        )
    digest = _checked(path, sha256)
    part = f"{sexes[sex]}_{kinds[synapses]}"
    arrays = _arrays(path, [f"{sexes[sex]}_names", *(f"{part}_{end}" for end in ("src", "dst", "w"))])
    names, tails, heads, weights = arrays
    once = tails <= heads if synapses == "electrical" else np.ones(len(tails), dtype=bool)
    return Connectome(
        Wiring.from_edges(
            tails[once],
            heads[once],
            weights[once],
            units=len(names),
            labels=names.tolist(),
            directed=synapses == "chemical",
        ),
        (),
        (digest,),
        "Cook et al. 2019, Whole-animal connectomes of both Caenorhabditis elegans sexes, Nature 571:63–71.",
        "MIT for the repository that distributes the tables; the tables themselves carry no licence text.",
        "Weights are numbers of serial sections. Not all cells are neurons.",
    )


def larval_drosophila(edges: str | Path, nodes: str | Path, *, sha256: tuple[str, str] | None = None) -> Connectome:
    """Read the larval Drosophila brain (Winding et al. 2023, doi:10.1126/science.add9330).

    Args:
        edges: a table with src and dst (row numbers in ``nodes``) and w (synapses).
        nodes: a table with id and simple_group.
        sha256: of both files as expected; another is an error.
    """
    from sparsefire.data.read_table import read_table  # late: it loads pandas

    digests = tuple(_checked(path, sha256[i] if sha256 else None) for i, path in enumerate((edges, nodes)))
    cells = read_table(nodes, as_text=("id", "simple_group")).frame
    missing = [name for name in ("id", "simple_group") if name not in cells.columns]
    if missing:
        raise UserError("the table of cells lacks columns.", came=f"no {', '.join(missing)}")
    found = from_frame(read_table(edges).frame, sender="src", receiver="dst", weight="w", units=len(cells))
    wiring = Wiring.from_edges(
        found.senders, found.receivers, found.weights, units=len(cells), labels=cells["id"].tolist()
    )
    return Connectome(
        wiring,
        tuple(str(group) for group in cells["simple_group"]),
        digests,
        "Winding et al. 2023, The connectome of an insect brain, Science 379:eadd9330; "
        "Pedigo et al. 2023, Generative network modeling reveals quantitative definitions of bilateral symmetry "
        "exhibited by a whole insect brain connectome, eLife 12:e83739.",
        "MIT (the repository that distributes the tables).",
        "Weights are synapse counts. Sensory, ascending and partial neurons are included; some have no arc.",
    )


def fly_visual_system(path: str | Path, *, sha256: str | None = None) -> Connectome:
    """Read the cell-type template of the fly's visual system (Lappalainen et al. 2024, doi:10.1038/s41586-024-07939-3).

    Args:
        path: the JSON file (also .gz) with nodes and edges.
        sha256: of the file as expected; another is an error.

    Returns:
        One unit per cell type. A weight is the sign of the connection (1 or −1) times the synapses of one receiving
        cell, summed over column offsets. Groups are ``input``, ``output`` or ``hidden``.
    """
    digest = _checked(path, sha256)
    try:
        opener: Any = gzip.open if str(path).endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8") as stream:
            content = json.load(stream)
        names = [str(node["name"]) for node in content["nodes"]]
        number = {name: i for i, name in enumerate(names)}
        tails = [number[edge["src"]] for edge in content["edges"]]
        heads = [number[edge["tar"]] for edge in content["edges"]]
        weights = [edge["alpha"] * sum(count for _, count in edge["offsets"]) for edge in content["edges"]]
        inputs, outputs = set(content["input_units"]), set(content["output_units"])
    except (KeyError, TypeError, ValueError, EOFError, OSError) as error:
        raise UserError(
            f"{Path(path).name} is no template of cell types.",
            came=f"{type(error).__name__}: {error}",
            expected="JSON with nodes, edges, input_units and output_units",
        ) from None
    return Connectome(
        Wiring.from_edges(tails, heads, weights, units=len(names), labels=names),
        tuple("input" if name in inputs else "output" if name in outputs else "hidden" for name in names),
        (digest,),
        "Lappalainen et al. 2024, Connectome-constrained networks predict neural activity across the fly visual "
        "system, Nature 634:1132–1140.",
        "MIT (flyvis).",
        "A template of cell types, from the FIB-25 and FIB-19 reconstructions; each type stands for many columns.",
    )


def _checked(path: str | Path, expected: str | None) -> str:
    from sparsefire.data.bounded import existing, file_sha256

    found = file_sha256(existing(Path(path)))
    if expected is not None and found != expected.lower():
        raise UserError(
            f"{Path(path).name} is not the file that was expected.", came=f"SHA-256 {found}", expected=expected
        )
    return found


def _arrays(path: str | Path, names: list[str]) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as content:
            return [content[name] for name in names]
    except (KeyError, ValueError, OSError) as error:
        raise UserError(
            f"{Path(path).name} does not hold this connectome.", came=str(error), expected=", ".join(names)
        ) from None
