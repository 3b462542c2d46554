"""What topologies share: the counter, the state, and the controls that go along."""

from __future__ import annotations

from inspect import signature
from typing import Any, ClassVar

from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity.setting import Setting


class Topology:
    """A rule for the masks of one network; call :meth:`step` after every optimizer step.

    This base is the topology that never moves: a static mask. Others override :meth:`update`.

    Attributes:
        net: the masked network.
        setting: what the recipe works with.
        steps_done: optimizer steps so far.
        controls: what else moves with the steps, such as the resets of Sign-In.
        needs: what it asks of its surroundings, among ``"optimizer"``, ``"scheduler"``, ``"steps"``, ``"data"``,
            ``"loss"`` and ``"dense gradient"``.
        dense: whether it starts from the dense network, with full masks.
        bounded: whether no weight enters that could not exist under a layout that was given.
        yields: whether it gives way to the topology of another method it is combined with.

    >>> from sparsefire.sparsity import sparsify
    >>> topology = sparsify(nn.Linear(10, 10), density=0.1, rng=0)
    >>> topology.step(); topology.state_dict()
    {'steps_done': 1}
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    dense: ClassVar[bool] = False
    bounded: ClassVar[bool] = True
    yields: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.net: nn.Module = setting.net
        self.steps_done = 0
        self.controls: tuple[Control, ...] = ()
        self._layer = next(iter(masks.masked(setting.net).values()), None)

    @classmethod
    def check(cls, setting: Setting, **options: Any) -> None:
        """Raise what is wrong with a setting and the options, before anything is touched."""
        makers = [vars(one)[name] for one in cls.__mro__ for name in ("__init__", "plan") if name in vars(one)]
        known = {name for maker in makers for name in signature(getattr(maker, "__func__", maker)).parameters}
        known -= {"self", "setting", "density", "options", "args", "kwargs"}
        unknown = sorted(set(options) - known)
        if unknown:
            raise UserError(
                f"{cls.__name__} knows no option {unknown[0]!r}.",
                came=", ".join(sorted(options)),
                expected=", ".join(sorted(known)) or "no options",
            )

    @classmethod
    def start(cls, density: float, **options: Any) -> float:
        """Return the density of the first masks of a sparse start, given the final one."""
        return density

    @classmethod
    def schedules(cls, density: float, **options: Any) -> int:
        """Return how many learning-rate schedules follow one another in a training."""
        return 1

    def begin(self) -> None:
        """Take the weights as they are now for the first ones: to be called where they are drawn after ``sparsify``."""

    def step(self) -> None:
        """Count one optimizer step and move the masks if it is time; a network that is baked is left alone."""
        if self._layer is not None and masks.mask_of(self._layer) is None:
            return
        self.steps_done += 1
        self.update()
        for control in self.controls:
            control.update(self.steps_done)

    def update(self) -> None:
        """Move the masks after step number ``self.steps_done``."""

    def state_dict(self) -> dict[str, Any]:
        """Return the plain numbers that resume the topology, beside the state of the network, which holds the masks."""
        state: dict[str, Any] = {"steps_done": self.steps_done}
        for number, control in enumerate(self.controls):
            state.update({f"control.{number}.{key}": value for key, value in control.state_dict().items()})
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` returned."""
        self.steps_done = int(state["steps_done"])
        for number, control in enumerate(self.controls):
            mark = f"control.{number}."
            control.load_state_dict({k.removeprefix(mark): v for k, v in state.items() if k.startswith(mark)})


class Control:
    """What a parameterisation does as training goes on; this base does nothing.

    Attributes:
        needs: as of :class:`Topology`.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    @classmethod
    def check(cls, setting: Setting) -> None:
        """Raise what is wrong with a setting, before anything is touched."""

    def update(self, step: int) -> None:
        """Act after step number ``step`` of the optimizer, if it is time."""

    def state_dict(self) -> dict[str, Any]:
        """Return plain numbers that resume it."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` returned."""
