"""An optimizer around another: what its step changes is all it adds."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from sparsefire.errors import UserError
from sparsefire.sparsity.setting import Setting


class Wrapper(Optimizer):
    """A torch optimizer whose parameters, groups, defaults, state and checkpoints are those of the one it wraps.

    Learning-rate schedulers, ``GradScaler`` and :func:`sparsefire.masks.keep_zero` take it as they take any optimizer.
    Pre-hooks run before the step of the wrapped optimizer, on the gradients it will use; post-hooks after this one's.
    Subclasses override :meth:`step`.

    Args:
        optimizer: the one to wrap, perhaps a wrapper itself.

    Raises:
        UserError: something else was given.
    """

    optimizer: Optimizer

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise UserError(
                f"{type(self).__name__} wraps an optimizer.",
                came=type(optimizer).__name__,
                expected="an object such as torch.optim.SGD(net.parameters(), lr=0.1)",
            )
        self.__setstate__({"optimizer": optimizer})  # torch makes its hooks here; it would own parameters in __init__

    def __getstate__(self) -> dict[str, Any]:
        hidden = ("step", "_optimizer_", "_zero_grad_", "_opt_called")  # hooks and patches belong to one process
        return {key: value for key, value in self.__dict__.items() if not key.startswith(hidden)}

    def __repr__(self) -> str:
        own = {key: value for key, value in self.__getstate__().items() if isinstance(value, int | float)}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in own.items())}) of {self.optimizer!r}"

    @property
    def second_pass(self) -> bool:
        """Say whether :meth:`step` must be given a closure."""
        return needs_closure(self.optimizer)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, value: list[dict[str, Any]]) -> None:
        self.optimizer.param_groups = value

    @property
    def state(self) -> Any:
        return self.optimizer.state

    @state.setter
    def state(self, value: Any) -> None:
        self.optimizer.state = value

    @property
    def defaults(self) -> dict[str, Any]:
        return self.optimizer.defaults

    @defaults.setter
    def defaults(self, value: dict[str, Any]) -> None:
        self.optimizer.defaults = value

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self.optimizer.add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state_dict)

    def register_step_pre_hook(self, *args: Any, **options: Any) -> Any:
        return self.optimizer.register_step_pre_hook(*args, **options)

    def register_state_dict_pre_hook(self, *args: Any, **options: Any) -> Any:
        return self.optimizer.register_state_dict_pre_hook(*args, **options)

    def register_state_dict_post_hook(self, *args: Any, **options: Any) -> Any:
        return self.optimizer.register_state_dict_post_hook(*args, **options)

    def register_load_state_dict_pre_hook(self, *args: Any, **options: Any) -> Any:
        return self.optimizer.register_load_state_dict_pre_hook(*args, **options)

    def register_load_state_dict_post_hook(self, *args: Any, **options: Any) -> Any:
        return self.optimizer.register_load_state_dict_post_hook(*args, **options)


def needs_closure(optimizer: Optimizer) -> bool:
    """Say whether the step of an optimizer must be given a closure that computes the gradient again.

    >>> import torch
    >>> needs_closure(torch.optim.SGD([torch.zeros(1)], lr=0.1))
    False
    """
    return bool(getattr(optimizer, "second_pass", False))


def optimizer_of(setting: Setting) -> Optimizer:
    """Return the optimizer of a setting, or raise when there is none."""
    if setting.optimizer is None:
        raise UserError(
            f"method {setting.method!r} needs the optimizer.", expected="sparsify(..., optimizer=optimizer)"
        )
    return setting.optimizer
