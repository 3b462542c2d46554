"""What the callbacks of all trainers share: they are made late, and they know what several processes do not."""

from __future__ import annotations

import importlib
from typing import Any

from sparsefire.errors import UserError
from sparsefire.sparsity.recipes import Recipe, recipe

NAME = "SparsityCallback"


def made_late(asked: str, module: dict[str, Any], base: str, trainer: str, extra: str) -> Any:
    """Return the class ``SparsityCallback`` of a module, ``Hooks`` and the trainer's own base; its package comes now.

    Args:
        asked: name of the attribute that the module lacks.
        module: its globals, which keep the class.
        base: where the base is, as ``package.Class``.
        trainer: what the callback works inside of, for messages.
        extra: of sparsefire, which installs it.

    Raises:
        AttributeError: another name was asked for.
        UserError: the package is not installed.
    """
    if asked != NAME:
        raise AttributeError(f"module {module['__name__']!r} has no attribute {asked!r}")
    package, _, name = base.rpartition(".")
    try:
        parent = getattr(importlib.import_module(package), name)
    except ImportError as error:
        raise UserError(
            f"this callback works inside {trainer}, which is not installed.",
            expected=f"the extra {extra!r}",
            attempt=f"pip install 'sparsefire[{extra}]'",
        ) from error
    hooks = module["Hooks"]
    module[NAME] = type(NAME, (hooks, parent), {"__doc__": hooks.__doc__, "__module__": module["__name__"]})
    return module[NAME]


def check_processes(method: str | Recipe, processes: int) -> Recipe:
    """Return the recipe of a method, or raise where it adds parameters to a network that is shared out already.

    ``DistributedDataParallel`` averages the gradients of the parameters it found when it wrapped the network. Trainers
    wrap before they have an optimizer to hand over, so what is added here would drift apart, process by process.

    >>> check_processes("rigl", 2).name
    'rigl'
    """
    chosen = recipe(method)
    if processes > 1 and chosen.parameterisation is not None:
        raise UserError(
            f"method {chosen.name!r} adds parameters, and the processes have been joined without them.",
            came=f"{processes} processes",
            expected="one process, or a method that keeps the parameters as they are",
            attempt="a loop of your own: sparsify first, then DistributedDataParallel",
        )
    return chosen
