"""Opening files that strangers made: every size is checked before memory is spent on it."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

from sparsefire.data.words import plain
from sparsefire.errors import UserError

LIMIT = 4 * 2**30  # bytes after decompression
RATIO = 1000  # a compression ratio above this ...
RATIO_FROM = 100 * 2**20  # ... is refused from this size on
_CHUNK = 2**20


def existing(path: Path, expected: str = "the path of a file") -> Path:
    """Return ``path`` if it is a file with something in it.

    Args:
        path: of a file that somebody named.
        expected: what could have been named, for the message where there is no such file.

    Raises:
        UserError: where it is missing, a folder, unreadable or empty.
    """
    shown = plain(path.name or path)
    if path.is_dir():
        raise UserError(f"{shown} is a folder.", came="a folder", expected="one file of data")
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise UserError(
            f"there is no file {plain(path)}.",
            came=f"{plain(path)}, looked for from {plain(Path.cwd())}",
            expected=expected,
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"{shown} cannot be read: {reason}.", expected="a file that you may read") from None
    if size == 0:
        raise UserError(f"{shown} is empty.", came="0 bytes", expected="a header line and rows of data")
    return path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def refuse_if_too_large(name: str, unpacked: int, packed: int) -> None:
    """Stop before a compressed file fills the memory.

    Args:
        name: of the file, for the message.
        unpacked: bytes after decompression (claimed, or counted so far).
        packed: bytes on disk.

    Raises:
        UserError: above 4 GiB, or above 100 MiB at more than 1,000 bytes for one.
    """
    if unpacked > LIMIT or (unpacked > RATIO_FROM and unpacked > RATIO * max(packed, 1)):
        raise UserError(
            f"{plain(name)} unpacks to far more than it should, so it was not opened.",
            came=f"{packed:,} bytes that unpack to at least {unpacked:,}",
            expected=f"at most {LIMIT:,} bytes, and at most {RATIO:,} for each packed byte",
            attempt="unpack it yourself, and check where it came from",
        )


def unpack_gzip(path: Path) -> bytes:
    """Return the decompressed bytes of a ``.gz`` file, refusing bombs and broken files."""
    packed = path.stat().st_size
    unpacked = bytearray()
    try:
        with gzip.open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                unpacked += chunk
                refuse_if_too_large(path.name, len(unpacked), packed)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{plain(path.name)} is no complete gzip file.",
            came=f"{plain(error)}",
            expected="a whole .gz file",
            attempt="fetch or copy it again",
        ) from None
    return bytes(unpacked)
