"""Do the layers of a network follow each other, each fed by the one before it alone?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire.propagation.plain import Plain

PATTERNS = 16  # a skip is overlooked with probability (3/4)^16, 1%
ROWS = 4


@torch.no_grad()
def is_chain(found: Plain, order: list[str], rows: Tensor, generator: torch.Generator) -> bool:
    """Return whether every layer hears the layer before it and nothing else, and the output the last one.

    The outputs of layers are replaced, at random, by zeros or by noise: what listens to zeros alone must be the same
    for all rows.

    Args:
        found: a network.
        order: names of its layers as they were reached.
        rows: inputs [rows, ...].
        generator: draws the replacements.

    >>> from sparsefire.propagation.plain import plain_copy
    >>> net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    >>> found = plain_copy(net, torch.float32, torch.Generator())
    >>> is_chain(found, ["0", "2"], torch.randn(4, 4), torch.Generator())
    True
    """
    if order != list(found.layers):
        return False
    if isinstance(found.net, nn.Sequential) and not any(part for child in found.net for part in child.children()):
        return True  # by how it is made
    few = rows[:ROWS]
    few = few.to(next(found.net.parameters()).dtype) if few.is_floating_point() else few
    for _ in range(PATTERNS):
        silent = torch.rand(len(order), generator=generator) < 0.5
        heard: list[tuple[str, bool]] = []
        with _replaced(found, dict(zip(order, silent.tolist(), strict=True)), heard, generator):
            output = found.net(few)
        if [name for name, _ in heard] != order:
            return False  # a layer is used more than once, or in another order with other values
        varies = [moving for _, moving in heard[1:]] + [bool((output != output[0]).any())]
        if any(moving and quiet for moving, quiet in zip(varies, silent.tolist(), strict=True)):
            return False
    return True


@contextmanager
def _replaced(
    found: Plain, silent: dict[str, bool], heard: list[tuple[str, bool]], generator: torch.Generator
) -> Iterator[None]:
    def replace(name: str) -> Any:
        def hook(module: Any, received: tuple[Any, ...], given: Any) -> Any:
            heard.append((name, bool((received[0] != received[0][0]).any())))
            if silent[name]:
                return torch.zeros_like(given)
            return torch.randn(given.shape, generator=generator, dtype=torch.float32).to(given.dtype)

        return hook

    handles = [layer.module.register_forward_hook(replace(name)) for name, layer in found.layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
