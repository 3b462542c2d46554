"""Network weights as named arrays: each matrix dense or as sparse rows, whichever takes fewer bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsefire.kernels.csr import from_csr, to_csr

TYPES = frozenset({"float64", "float32", "float16", "int64", "int32", "int16", "uint16", "int8", "uint8", "bool"})
_PARTS = ("values", "columns", "starts")


def pack(state: Mapping[str, np.ndarray], prefix: str = "network.") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays to store, and for each entry of the state its layout and shape.

    Args:
        state: name → array of a type in :data:`TYPES`. float32 arrays of two or more dimensions are taken as
            matrices [first, rest] and stored as sparse rows (values float32, columns uint16 if they fit, else int32,
            row starts int32) when that is smaller, which is below a density of about 2/3 or 1/2.
        prefix: put before every name.

    Raises:
        ValueError: another type.

    >>> arrays, index = pack({"w": np.eye(20, dtype=np.float32), "b": np.zeros(20, np.float32)})
    >>> sorted(arrays), index["w"]
    (['network.b', 'network.w#columns', 'network.w#starts', 'network.w#values'], {'layout': 'csr', 'shape': [20, 20]})
    """
    arrays: dict[str, np.ndarray] = {}
    index: dict[str, Any] = {}
    for name, array in state.items():
        if array.dtype.name not in TYPES:
            raise ValueError(f"{name} is of type {array.dtype.name}; only plain numbers can be stored")
        parts = _sparse(array)
        index[name] = {"layout": "csr" if parts else "dense", "shape": list(array.shape)}
        if parts:
            arrays |= {f"{prefix}{name}#{part}": parts[part] for part in _PARTS}
        else:
            arrays[prefix + name] = np.ascontiguousarray(array).reshape(array.shape)  # keeps 0-d as it is
    return arrays, index


def _sparse(array: np.ndarray) -> dict[str, np.ndarray] | None:
    if array.dtype != np.float32 or array.ndim < 2 or array.size == 0:
        return None
    matrix = array.reshape(array.shape[0], -1)
    width = 2 if matrix.shape[1] <= 2**16 else 4
    if np.count_nonzero(matrix) * (4 + width) + 4 * (len(matrix) + 1) >= array.nbytes:
        return None
    values, columns, starts = to_csr(matrix)
    return {"values": values, "columns": columns.astype(np.uint16 if width == 2 else np.int32), "starts": starts}


def unpack(
    arrays: Mapping[str, np.ndarray], index: Mapping[str, Any], prefix: str = "network."
) -> dict[str, np.ndarray]:
    """Return the state again; every index is checked.

    Raises:
        ValueError: arrays that are missing, left over, of a wrong type or shape, or indices out of range.
    """
    state = {}
    used = set()
    for name, entry in index.items():
        shape = tuple(entry["shape"])
        names = [f"{prefix}{name}#{part}" for part in _PARTS] if entry["layout"] == "csr" else [prefix + name]
        missing = [part for part in names if part not in arrays]
        if missing:
            raise ValueError(f"the array {missing[0]!r} is missing")
        used.update(names)
        if entry["layout"] == "csr":
            values, columns, starts = (arrays[part] for part in names)
            types = (values.dtype.name, columns.dtype.name, starts.dtype.name)
            if len(shape) < 2 or 0 in shape or types not in _CSR_TYPES:
                raise ValueError(f"{name} has the shape {shape} and the types {types} as sparse rows")
            try:
                state[name] = from_csr(values, columns, starts, (shape[0], int(np.prod(shape[1:])))).reshape(shape)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        elif arrays[prefix + name].shape != shape:
            raise ValueError(f"{name} has the shape {arrays[prefix + name].shape}, not {shape}")
        else:
            state[name] = arrays[prefix + name]
    extra = [name for name in arrays if name.startswith(prefix) and name not in used]
    if extra:
        raise ValueError(f"the array {extra[0]!r} belongs to nothing")
    return state


_CSR_TYPES = {("float32", "uint16", "int32"), ("float32", "int32", "int32")}
