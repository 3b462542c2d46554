"""The packed weights of an attention module, each as a layer of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


class Projection(nn.Module):
    """A weight that an attention module holds beside others, as a layer of its own.

    ``nn.MultiheadAttention`` has the weights of query, key and value in one Parameter ``in_proj_weight`` [3·E, E], or
    in three where key or value have a width of their own. The attention module stays as it is until a mask is attached;
    then the projection is its child (``in_proj``, or ``q_proj``, ``k_proj``, ``v_proj``), and the attention module
    reads the masked weight under the name it knows, in its fast path too. :func:`bake` puts the Parameter back.

    Args:
        host: the attention module.
        attribute: name of its Parameter.

    >>> Projection(nn.MultiheadAttention(4, 2), "in_proj_weight").weight.shape
    torch.Size([12, 4])
    """

    def __init__(self, host: nn.Module, attribute: str) -> None:
        super().__init__()
        self.weight = host._parameters[attribute]
        self._place = (host, attribute)  # in a tuple, for the host is no child

    def open_(self) -> None:
        """Become a child of the attention module."""
        host, attribute = self._place
        if not isinstance(type(host).__dict__.get(attribute), property):
            shared = type(host)
            read = {name: property(_reader(name)) for name in PROJECTIONS}
            host.__class__ = type(shared.__name__, (shared,), {"__module__": shared.__module__, **read})
            host.register_load_state_dict_pre_hook(_accept_joint)
        host._parameters[attribute] = None  # not deleted: its place in the order is kept
        host.add_module(child_name(attribute), self)

    def close_(self) -> None:
        """Give the Parameter back; the attention module is then what it was."""
        host, attribute = self._place
        host._parameters[attribute] = self.weight
        del host._modules[child_name(attribute)]
        if not any(child_name(name) in host._modules for name in PROJECTIONS):
            host.__class__ = type(host).__bases__[0]
            remove_hook(host, _accept_joint)


def child_name(attribute: str) -> str:
    """Return what a projection is called among the children of its attention module.

    >>> child_name("in_proj_weight")
    'in_proj'
    """
    return attribute.removesuffix("_weight")


def remove_hook(module: nn.Module, hook: Any) -> None:
    """Take a hook that acts before a state is loaded off a module."""
    for key, held in list(module._load_state_dict_pre_hooks.items()):
        if getattr(held, "hook", held) is hook:
            del module._load_state_dict_pre_hooks[key]


def _reader(attribute: str) -> Callable[[nn.Module], Any]:
    def read(host: nn.Module) -> Any:
        child = host._modules.get(child_name(attribute))
        return child.weight if isinstance(child, Projection) else host._parameters[attribute]

    return read


def _accept_joint(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Hand the weights of a dense attention module to the projections that hold them now."""
    for attribute in PROJECTIONS:
        if isinstance(module._modules.get(child_name(attribute)), Projection) and prefix + attribute in state_dict:
            state_dict[f"{prefix}{child_name(attribute)}.weight"] = state_dict.pop(prefix + attribute)
