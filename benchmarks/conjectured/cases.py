"""What is run: linear problems part by part, networks arm by arm."""

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
    lines = [
        linear.Problem(truth, n, r, part=part)
        for part in linear.PARTS for truth in linear.TRUTHS[part] for r in LINEAR_REPLICATES for n in LINEAR_ROWS
    ]  # fmt: skip
    nets = [
        networks.Problem(name, n, r, arm)
        for r in NETWORK_REPLICATES for arm in reversed(networks.ARMS) for n in reversed(NETWORK_ROWS)
        for name in networks.PROBLEMS
    ]  # fmt: skip
    return [*nets, *lines]


def few() -> list[Piece]:
    """Return a small study of a few seconds."""
    lines = [
        linear.Problem(truth, n, r, 0.1, part)
        for part in linear.PARTS for truth in linear.TRUTHS[part] for n in (50, 200) for r in range(3)
    ]  # fmt: skip
    name = next(iter(networks.PROBLEMS))
    nets = [networks.Problem(name, n, r, arm, 0.01) for arm in networks.ARMS for n in (128, 512) for r in range(3)]
    return [*nets, *lines]


def done(piece: Piece, found: list[Record]) -> bool:
    """Return whether a piece is stored; a linear one stores all arms of its part at once."""
    arm = linear.PARTS[piece.part][0] if isinstance(piece, linear.Problem) else piece.arm
    wanted = (piece.name, piece.rows, piece.replicate, arm)
    return any((one["problem"], one["rows"], one["replicate"], one["arm"]) == wanted for one in found)
