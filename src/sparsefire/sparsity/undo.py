"""All or nothing: what an error leaves behind is the network and the optimizer as they were."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sparsefire import masks
from sparsefire.masks.groups import parts_of, per_group
from sparsefire.sparsity.setting import Setting

_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


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
    lists = [(part, {name: list(values) for name, values in per_group(part).items()})
             for part in parts_of(setting.scheduler)]  # fmt: skip
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
