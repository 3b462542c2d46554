"""An NPZ file whose headers are checked before any array is read: no pickles, nothing larger than it says."""

from __future__ import annotations

import math
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from sparsefire.data.bounded import refuse_if_too_large
from sparsefire.data.words import plain
from sparsefire.errors import UserError


class Archive:
    """An open NPZ file whose headers have been checked; arrays are read when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.zip = zipfile.ZipFile(path)
            members = self.zip.infolist()
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise UserError(
                f"{plain(path.name)} cannot be opened.", came=error.strerror or "", expected="an NPZ file that exists"
            ) from None
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise self._broken(error) from None
        self.members = {entry.filename.removesuffix(".npy"): entry for entry in members}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def __enter__(self) -> Archive:
        try:
            packed = self.path.stat().st_size
            refuse_if_too_large(self.path.name, sum(entry.file_size for entry in self.members.values()), packed)
            for key, entry in self.members.items():
                refuse_if_too_large(self.path.name, entry.file_size, entry.compress_size)
                with self._reading(), self.zip.open(entry) as stream:
                    self.shapes[key] = _header(stream)[0]
        except BaseException:
            self.zip.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.zip.close()

    def find(self, name: str) -> str | None:
        """Return the key that equals ``name``, else the one that differs from it in case only."""
        if name in self.members:
            return name
        return next((key for key in self.members if key.casefold() == name.casefold()), None)

    def load(self, key: str) -> np.ndarray:
        entry = self.members[key]
        with self._reading():
            with self.zip.open(entry) as stream:
                shape, kind = _header(stream)
                start = stream.tell()
            if kind.hasobject:
                raise UserError(
                    f"the array {plain(key)} of {plain(self.path.name)} holds Python objects, which are never loaded.",
                    came="an array of type object (a pickle)",
                    expected="numbers, or texts of type str",
                    attempt="save it again with a plain type, such as y.astype(str)",
                )
            if kind.names or kind.kind not in "buifUM":
                raise UserError(
                    f"the array {plain(key)} of {plain(self.path.name)} is of a type that is not understood.",
                    came=f"type {plain(kind)}",
                    expected="real numbers, truth values, dates or texts",
                )
            if start + math.prod(shape) * kind.itemsize != entry.file_size:
                raise ValueError(f"{key} claims shape {shape} but has {entry.file_size - start} bytes")
            with self.zip.open(entry) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what zipfile and NumPy raise for broken files into one readable error."""
        try:
            yield
        except UserError:
            raise
        except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
            raise self._broken(error) from None

    def _broken(self, error: BaseException) -> UserError:
        return UserError(
            f"{plain(self.path.name)} is no complete NPZ file.",
            came=plain(error) or type(error).__name__,
            expected="a file written by numpy.savez or numpy.savez_compressed",
            attempt="write or copy it again",
        )


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"array format {version} is not understood")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape, _, kind = read(stream)
    return shape, kind
