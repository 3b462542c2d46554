"""What is run: linear problems with all arms at once, networks arm by arm."""

from __future__ import annotations

from typing import Any

from conjectured import linear, networks

Record = dict[str, Any]
Piece = linear.Problem | networks.Problem
LINEAR_ROWS, NETWORK_ROWS = (50, 100, 200, 400, 800), (128, 512, 2048)
LINEAR_REPLICATES, NETWORK_REPLICATES = range(30), range(6)


def run(piece: Piece) -> list[Record]:
    """Return the records of a piece."""
    return linear.run(piece) if isinstance(piece, linear.Problem) else networks.run(piece)


def all_pieces() -> list[Piece]:
    """Return the study, replicate after replicate."""
    lines = [linear.Problem(t, n, r) for r in LINEAR_REPLICATES for n in LINEAR_ROWS for t in ("dense", "sparse")]
    nets = [
        networks.Problem(name, n, r, arm)
        for r in NETWORK_REPLICATES for arm in reversed(networks.ARMS) for n in reversed(NETWORK_ROWS)
        for name in networks.PROBLEMS
    ]  # fmt: skip
    return [*nets, *lines]


def few() -> list[Piece]:
    """Return a small study of a few seconds."""
    lines = [linear.Problem(t, n, r, 0.1) for t in ("dense", "sparse") for n in (50, 200) for r in range(3)]
    name = next(iter(networks.PROBLEMS))
    nets = [networks.Problem(name, n, r, arm, 0.01) for arm in networks.ARMS for n in (128, 512) for r in range(3)]
    return [*nets, *lines]


def done(piece: Piece, found: list[Record]) -> bool:
    """Return whether a piece is stored; a linear one stores all its arms at once."""
    arm = linear.GRADIENT if isinstance(piece, linear.Problem) else piece.arm
    wanted = (piece.name, piece.rows, piece.replicate, arm)
    return any((one["problem"], one["rows"], one["replicate"], one["arm"]) == wanted for one in found)
