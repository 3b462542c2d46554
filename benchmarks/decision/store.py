"""Finished pieces on disk: one small file each, put in place in one move, so that a kill loses nothing finished."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decision import experiments
from decision.cells import Cell

TRUTH_CHUNK = {"single": 400, "family": 100}  # trainings per file


@dataclass(frozen=True)
class Piece:
    """A chunk of data sets of a cell (``what="sets"``), or of trainings for its true difference (``what="truth"``)."""

    cell: Cell
    what: str
    number: int
    size: int

    def path(self, results: Path) -> Path:
        """Return where the piece is kept."""
        return results / self.cell.folder / f"{self.what}-{self.number:04d}.jsonl"


def pieces(cells: tuple[Cell, ...]) -> list[Piece]:
    """Return all pieces: the truth first, then the chunks of all cells in turn, so that cells grow together."""
    first, later = [], []
    for cell in cells:
        size = TRUTH_CHUNK.get(cell.kind, 1)
        first += [Piece(cell, "truth", i, size) for i in range(-(-cell.truth // size))]
        count = -(-cell.sets // cell.chunk)
        later += [(i / count, order, Piece(cell, "sets", i, cell.chunk)) for order, i in enumerate(range(count))]
    later.sort(key=lambda entry: entry[:2])
    return first + [piece for *_, piece in later]


def make(piece: Piece, results: Path) -> float:
    """Compute a piece, write it, and return the CPU seconds it took."""
    import time

    began = time.process_time()
    if piece.what == "truth":
        records = [experiments.truth(piece.cell, piece.number, piece.size)]
    else:
        records = experiments.chunk(piece.cell, piece.number)
    spent = time.process_time() - began
    path = piece.path(results)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".part{os.getpid()}")
    with part.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(record) + "\n" for record in records)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, path)
    return spent


def load(cell: Cell, what: str, results: Path) -> list[dict[str, Any]]:
    """Return all finished records of a cell, in order, as many as the cell asks for."""
    found = []
    for path in sorted((results / cell.folder).glob(f"{what}-*.jsonl")):
        found += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return found if what == "truth" else found[: cell.sets]
