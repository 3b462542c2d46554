"""NIR files: written whole, read with suspicion."""

from __future__ import annotations

import io
import math
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from sparsefire.deploy.folder import MOST_BYTES, MOST_VALUES, replace_file
from sparsefire.errors import UserError

DEEPEST = 16  # groups within groups


def library(name: str = "nir") -> Any:
    """Return an optional package, or raise where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"NIR files need the package {name}.", came="it is not installed", attempt='pip install "sparsefire[nir]"'
        ) from error


def check_path(path: Any) -> None:
    """Raise for what is no path of a file."""
    if not isinstance(path, str | os.PathLike):
        raise UserError("a NIR file has a path.", came=repr(path)[:60], expected='a path, such as "net.nir"')


def write_graph(path: str | os.PathLike[str], graph: Any) -> None:
    """Write a graph; the file appears whole or not at all."""
    held = io.BytesIO()
    library().write(held, graph)
    try:
        replace_file(Path(path), held.getvalue())
    except OSError as error:
        raise UserError(
            "the NIR file cannot be written.", came=f"{str(path)!r}: {error.strerror or error}",
            expected="a path in a folder that exists",
        ) from error  # fmt: skip


def read_graph(path: str | os.PathLike[str], supported: tuple[str, ...]) -> Any:
    """Return the graph of a file, after a look at every part of it: no links, no other files, sizes in bounds.

    Raises:
        UserError: no such file, no HDF5, no graph, a node of a type that is not supported, by its name.
    """
    nir, h5py = library(), library("h5py")
    content = _content(Path(path))
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            _inspect(path, file, h5py)
            _types(path, file, supported, h5py)
        return nir.read(io.BytesIO(content))
    except UserError:
        raise
    except OSError as error:
        _broken(path, "it is not HDF5, or is cut off", _line(error))
    except Exception as error:  # the package asserts, and raises whatever its constructors raise
        _broken(path, "the package nir refuses it", _line(error))


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=lambda p, flags: os.open(p, flags | getattr(os, "O_NONBLOCK", 0))) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
                _broken(path, "it is no ordinary file of a sensible size", f"{status.st_size:,} bytes")
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(
            "there is no such NIR file.",
            came=f"{str(path)!r}: {error.strerror or error}",
            expected="a file from to_nir",
        ) from error


def _inspect(path: Any, group: Any, h5py: Any, depth: int = 0, total: int = 0) -> int:
    """Return how many values there are; raise at links, at data in other files, at too many of anything."""
    if depth > DEEPEST:
        _broken(path, "its groups are too deep", f"more than {DEEPEST}")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            _broken(path, "it links to somewhere else", f"{group.name}/{name}")
        item = group[name]
        if isinstance(item, h5py.Group):
            total = _inspect(path, item, h5py, depth + 1, total)
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                _broken(path, "its data lie in other files", f"{group.name}/{name}")
            total += math.prod(item.shape or ())
        else:
            _broken(path, "it holds something that is neither group nor data", f"{group.name}/{name}")
        if total > MOST_VALUES:
            _broken(path, "it is too large to load", f"more than {MOST_VALUES:,} numbers")
    return total


def _types(path: Any, file: Any, supported: tuple[str, ...], h5py: Any) -> None:
    """Raise for a file without a graph, or with a node of a type that is not supported."""
    root = file.get("node")
    nodes = root.get("nodes") if isinstance(root, h5py.Group) else None
    if not isinstance(nodes, h5py.Group) or "edges" not in root:
        _broken(path, "it holds no NIR graph", "no node/nodes and node/edges")
    for name, node in nodes.items():
        kind = _text(node["type"][()]) if isinstance(node, h5py.Group) and "type" in node else "no type"
        if kind not in supported:
            raise UserError(
                f"the node {name!r} of this NIR graph is of a type that is not supported.",
                came=f"{kind} (a graph within the graph)" if kind == "NIRGraph" else kind,
                expected=", ".join(supported),
                attempt="nothing was built",
            )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _broken(path: Any, what: str, came: str) -> NoReturn:
    raise UserError(
        f"{str(path)!r} cannot be read as NIR: {what}.", came=came, expected="an HDF5 file with a NIR graph"
    )


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]
