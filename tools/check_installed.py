"""Fail when the environment holds what sparsefire must never pull in: torchvision, CUDA wheels, GPL packages.

Looks at the packages reached from sparsefire's core and its extras, not at everything that happens to be installed.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata

FORBIDDEN = re.compile(r"^(torchvision|torchaudio|triton|nvidia-.*|pytorch-triton.*)$")
GPL = re.compile(r"(?<!L)(?<!Lesser )\b(A?GPL|GNU (Affero )?General Public)", re.IGNORECASE)


def requirements(name: str) -> set[str]:
    """Return the distributions reachable from one, markers that do not apply left out."""
    from packaging.requirements import Requirement

    seen: set[str] = set()
    todo = [(name, frozenset({"bench", "cascades", "dev", "test"}))]
    while todo:
        current, extras = todo.pop()
        key = re.sub(r"[-_.]+", "-", current).lower()
        if key in seen:
            continue
        try:
            found = metadata.distribution(current)
        except metadata.PackageNotFoundError:
            continue
        seen.add(key)
        for text in found.requires or ():
            requirement = Requirement(text)
            environments = [{"extra": extra} for extra in (extras or {""})] + [{"extra": ""}]
            if requirement.marker is None or any(requirement.marker.evaluate(e) for e in environments):
                todo.append((requirement.name, frozenset(requirement.extras)))
    return seen


def licence(name: str) -> str:
    """Return everything a distribution says about its licence in its metadata."""
    data = metadata.distribution(name).metadata
    said = [data.get("License-Expression") or "", (data.get("License") or "")[:80]]
    return " ".join(said + [c for c in data.get_all("Classifier") or () if c.startswith("License")])


def main() -> int:
    """Print what is wrong and return 1, or return 0."""
    names = sorted(requirements("sparsefire"))
    bad = [f"{name}: not wanted" for name in names if FORBIDDEN.match(name)]
    bad += [f"{name}: {licence(name)}" for name in names if GPL.search(licence(name))]
    print("\n".join(bad) if bad else f"{len(names)} packages, none of them unwanted")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
