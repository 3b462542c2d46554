"""One batch asked about many times: the same noise in all queries, statistics that move once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sparsefire.randomness import sequences_begun
from sparsefire.rules.call import call


class SameNoise:
    """Where the noise of a network is, to come back to before each query of one batch.

    That is the state of torch's global generators, which dropout draws from, and how many sequences of noise have begun
    in layers that draw their own: those with ``noise`` and ``begun``, as spiking neurons have them.

    >>> net = nn.Dropout(); noise = SameNoise(net); first = net(torch.ones(9))
    >>> noise.rewind(); bool((net(torch.ones(9)) == first).all())
    True
    """

    def __init__(self, net: nn.Module) -> None:
        self._begun = sequences_begun(net.modules())
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None

    def rewind(self) -> None:
        """Let the next query draw what the first one drew."""
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)
        for module, begun in self._begun:
            module.begun = begun


def own_inputs(net: nn.Module, x: Any) -> Any:
    """Return the inputs, or copies of them where a layer writes in place: a query must not see what another left.

    >>> x = torch.ones(2); own_inputs(nn.ReLU(), x) is x, own_inputs(nn.ReLU(inplace=True), x) is x
    (True, False)
    """
    if not any(getattr(module, "inplace", False) for module in net.modules()):
        return x
    if isinstance(x, torch.Tensor):
        return x.clone()
    if isinstance(x, tuple):
        return tuple(part.clone() if isinstance(part, torch.Tensor) else part for part in x)
    if hasattr(x, "items"):
        return {name: part.clone() if isinstance(part, torch.Tensor) else part for name, part in x.items()}
    return x


def with_statistics(net: nn.Module) -> list[nn.modules.batchnorm._NormBase]:
    """Return the norm layers whose running statistics would move."""
    return [
        module
        for module in net.modules()
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.training and module.track_running_stats
    ]


@torch.no_grad()
def settle(net: nn.Module, x: Any, noise: SameNoise) -> None:
    """After all queries: let batch norms see the batch once, under the noise that the queries had.

    The queries have left the noise where one pass leaves it, and so does this.
    """
    if with_statistics(net):
        noise.rewind()
        call(net, own_inputs(net, x))


@contextmanager
def frozen_statistics(net: nn.Module) -> Iterator[None]:
    """Take the running statistics away: an instance norm would move them even when told not to track."""
    held = [(module, module.running_mean, module.running_var) for module in with_statistics(net)]
    for module, _, _ in held:
        module.track_running_stats, module.running_mean, module.running_var = False, None, None
    try:
        yield
    finally:
        for module, mean, variance in held:
            module.track_running_stats, module.running_mean, module.running_var = True, mean, variance
