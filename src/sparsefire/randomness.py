"""Random streams that depend on what they are for, never on who drew before (``rng=``, SPEC 7)."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from sparsefire.errors import UserError

_MASK = (1 << 128) - 1


def entropy(rng: Any = None) -> int:
    """Turn anything accepted as ``rng=`` into one integer of 128 bits.

    Args:
        rng: ``None`` (fresh entropy from the system), a non-negative int, a NumPy ``SeedSequence``,
            ``Generator`` or ``RandomState``, or a torch ``Generator``. Generators are advanced by one draw, so that
            using the same object twice gives different results, as with any generator.

    Returns:
        An integer in [0, 2¹²⁸).

    Raises:
        UserError: for anything else, and for a negative int.

    >>> entropy(3)
    3
    """
    if rng is None:
        return int(np.random.SeedSequence().entropy) & _MASK  # type: ignore[arg-type]
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool):
        if rng < 0:
            raise UserError("rng must be a non-negative integer.", came=str(rng), expected="0 or more")
        return int(rng) & _MASK
    if isinstance(rng, np.random.SeedSequence):
        return int.from_bytes(rng.generate_state(4, np.uint32).tobytes(), "little")
    if isinstance(rng, np.random.Generator):
        return int.from_bytes(rng.bytes(16), "little")
    if isinstance(rng, np.random.RandomState):
        return int.from_bytes(rng.bytes(16), "little")
    torch: Any = sys.modules.get("torch")  # loaded where its object is here; this module does not depend on it
    if torch is not None and isinstance(rng, torch.Generator):
        words = torch.randint(0, 2**32, (4,), generator=rng, device=rng.device, dtype=torch.int64).tolist()
        return sum(int(word) << (32 * i) for i, word in enumerate(words))
    raise UserError(
        "rng is no source of random numbers.", came=repr(rng)[:60],
        expected="None, an int, a NumPy SeedSequence, Generator or RandomState, or a torch Generator",
    )  # fmt: skip


def _digest(rng: Any, key: tuple[int | str, ...]) -> bytes:
    text = repr((entropy(rng), tuple(int(part) if isinstance(part, np.integer) else part for part in key)))
    return hashlib.sha256(text.encode()).digest()


def stream(rng: Any, *key: int | str) -> np.random.Generator:
    """Return the generator that belongs to ``key`` under ``rng``.

    Args:
        rng: see :func:`entropy`. With an int the stream is a pure function of ``(rng, key)``.
        key: integers and strings that name what the numbers are for, such as ``("folds", 3)``.

    Returns:
        A NumPy ``Generator`` over the counter-based Philox 4×64 (Salmon et al. 2011, doi:10.1145/2063384.2063405),
        whose 128-bit key is a SHA-256 digest: streams of different names are independent, and it does not matter
        which worker draws them or in which order.

    >>> bool(stream(0, "folds", 1).random() == stream(0, "folds", 1).random())
    True
    """
    digest = _digest(rng, key)
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def integer(rng: Any, *key: int | str) -> int:
    """Return one integer in [0, 2⁶³) for libraries that take nothing else (torch, scikit-learn take the low bits).

    >>> integer(0, "init") == integer(0, "init")
    True
    """
    return int.from_bytes(_digest(rng, key)[16:24], "little") >> 1


def sequences_begun(modules: Iterable[Any]) -> list[tuple[Any, int]]:
    """Return the modules that count their noise in ``begun``, as noisy neurons do, and how far they are.

    To put them back after a look: ``for module, number in found: module.begun = number``.

    >>> sequences_begun([object()])
    []
    """
    return [
        (module, module.begun)
        for module in modules
        if getattr(module, "noise", None) is not None and hasattr(module, "begun")
    ]
