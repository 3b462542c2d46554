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


def quick(piece: Piece) -> list[Record]:
    """Return the records of a piece; linear ones with a twelfth of the steps."""
    return linear.run(piece, 5000) if isinstance(piece, linear.Problem) else networks.run(piece)


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
    lines = [linear.Problem(t, n, r) for t in ("dense", "sparse") for n in (50, 200) for r in range(3)]
    name = next(iter(networks.PROBLEMS))
    nets = [networks.Problem(name, n, r, arm, 0.01) for arm in networks.ARMS for n in (128, 512) for r in range(3)]
    return [*nets, *lines]


def key(record: Record) -> tuple[Any, ...]:
    """Return what tells a stored record from another."""
    return record["problem"], record["rows"], record["replicate"], record["arm"]


def done(piece: Piece, found: set[tuple[Any, ...]]) -> bool:
    """Return whether a piece is stored."""
    if isinstance(piece, linear.Problem):
        return (piece.name, piece.rows, piece.replicate, linear.GRADIENT) in found
    return (piece.name, piece.rows, piece.replicate, piece.arm) in found
