"""All or nothing: what an error leaves behind is the network and the optimizer as they were."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sparsefire import masks
from sparsefire.sparsity.setting import Setting

_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
_PER_GROUP = ("base_lrs", "max_lrs", "min_lrs", "lr_lambdas", "_last_lr")


@contextmanager
def undone_on_error(setting: Setting) -> Iterator[None]:
    """Bring network, optimizer and scheduler back to what they were if the block raises.

    >>> from torch import nn
    >>> net = nn.Linear(2, 1)
    >>> try:
    ...     with undone_on_error(Setting(net)):
    ...         masks.attach_(net, net.weight != 0)
    ...         raise ValueError
    ... except ValueError:
    ...     masks.masks(net)
    {}
    """
    layers: dict[str, Any] = masks.maskable(setting.net, setting.layers)
    weights = {name: module.weight.detach().clone() for name, module in layers.items()}
    optimizer: Any = setting.optimizer
    groups = [(group, dict(group), list(group["params"])) for group in optimizer.param_groups] if optimizer else []
    hooks = {name: dict(getattr(optimizer, name)) for name in _HOOKS if hasattr(optimizer, name)}
    lists = [(part, {n: list(getattr(part, n)) for n in _PER_GROUP if isinstance(getattr(part, n, None), list)})
             for part in _schedulers(setting.scheduler)]  # fmt: skip
    try:
        yield
    except Exception:
        masks.bake(setting.net)
        for name, weight in weights.items():
            masks.write_weight_(layers[name], weight)
        if optimizer:
            optimizer.param_groups[:] = [group for group, _, _ in groups]
        for group, options, parameters in groups:
            group.clear()
            group.update(options, params=parameters)
        for name, kept in hooks.items():
            held = getattr(optimizer, name)
            for key in [key for key in held if key not in kept]:
                del held[key]
        for part, values in lists:
            for name, value in values.items():
                setattr(part, name, copy.copy(value))
        raise


def _schedulers(scheduler: Any) -> list[Any]:
    if scheduler is None:
        return []
    return [scheduler, *(inner for part in getattr(scheduler, "_schedulers", ()) for inner in _schedulers(part))]
