"""What all neurons share: how currents and states are checked, and how a parameter stands for all units."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import array, choice, number
from sparsefire.spiking.neurons._noise import Noise

DISCRETISATIONS = ("exponential", "euler")


class Drawn(NamedTuple):
    """State of units that remember nothing but where their noise is: int64 [batch, 2]."""

    drawn: Tensor | None = None


class Neuron(nn.Module):
    """A layer of neurons that turns currents [time, batch, unit] into spikes [time, batch, unit].

    The state goes in and comes out: ``spikes, state = neuron(current, state)``, None for rest. A state is a named tuple
    of tensors [batch, unit]; its last one, ``drawn``, int64 [batch, 2], says which random numbers come next and is zero
    where nothing is drawn.

    Deterministic neurons remember nothing between calls. Noisy ones remember one whole number, :attr:`begun`: how many
    sequences have begun at rest, so that no two draw the same. Any call without a state thus moves the noise of the
    calls after it, one for evaluation too; set :attr:`begun` back, or give a state with ``drawn``, to fix it. All that
    ``torch.func.vmap`` asks at once see the same noise, and so do all queries of one call of a learning rule.

    Numbers given for parameters are kept in double precision, tensors in their own; both are brought to the type of the
    current. Given as an ``nn.Parameter`` they are learned, and time constants below dt then refused in each call.
    Parameters and :attr:`begun` are part of ``state_dict``; one without :attr:`begun` leaves it as it is. As everywhere
    in torch, what the constructor decides, dt and words such as ``reset``, is not part of it.

    Args:
        units: how many neurons, or the shape of a layer that is not flat, such as ``(16, 12, 12)``.
        dt: seconds per step.
    """

    state_type: type[tuple[Any, ...]] = Drawn

    def __init__(self, units: int | tuple[int, ...], dt: float) -> None:
        super().__init__()
        shape = tuple(units) if isinstance(units, tuple | list) else (units,)
        if not shape or any(isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1 for n in shape):
            raise UserError("units is a number of neurons.", came=repr(units), expected="1 or more")
        self.shape = tuple(int(n) for n in shape)
        self.dt = number("dt", dt)
        self.noise: Noise | None = None
        self.stochastic = True

    @property
    def units(self) -> int:
        """How many neurons."""
        return math.prod(self.shape)

    @property
    def begun(self) -> int:
        """How many sequences of noise have begun, the number of the next; 0 and not to be set without noise.

        >>> from sparsefire.spiking import Bernoulli
        >>> cell, x = Bernoulli(100, rng=0), torch.zeros(1, 8, 100)
        >>> first, _ = cell(x)
        >>> cell.begun
        8
        >>> cell.begun = 0
        >>> torch.equal(cell(x)[0], first)
        True
        """
        return 0 if self.noise is None else self.noise.begun

    @begun.setter
    def begun(self, number: int) -> None:
        if self.noise is None:
            raise UserError("these neurons draw nothing.", came=type(self).__name__, expected="neurons with noise")
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
            raise UserError("sequences are counted.", came=repr(number), expected="a whole number, 0 or more")
        self.noise.begun = int(number)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.noise is not None:
            destination[prefix + "begun"] = torch.tensor(self.noise.begun)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for name, own in (*self._buffers.items(), *self._parameters.items()):
            self._check_loaded(name, own, state_dict.get(prefix + name))
        begun = state_dict.pop(prefix + "begun", None)  # a copy: torch hands none of the caller's on
        super()._load_from_state_dict(state_dict, prefix, *args)
        if begun is not None and self.noise is not None:
            self.begun = int(begun)

    def _check_loaded(self, name: str, own: Tensor | None, given: Any) -> None:
        """Raise where a parameter that is loaded is not finite, or a time constant shorter than a step."""
        if own is None or not isinstance(given, Tensor) or given.shape != own.shape or given.is_meta:
            return  # torch says what is wrong
        if not bool(torch.isfinite(given).all()):
            raise UserError(f"a state holds a {name} that is not finite.", came=repr(given)[:60], expected="numbers")
        if name.startswith("tau"):
            check_step(self.dt, "exponential", **{name: given})

    def initial_state(self, batch: int, like: Tensor | None = None) -> Any:
        """Return the state at rest, tensors [batch, unit] of the type and device of ``like``."""
        return Drawn(self.drawn(batch, like))

    def potential(self, state: Any) -> Tensor | None:
        """Return what decides over spikes, [batch, unit], in which a NaN stays; None without memory."""
        return getattr(state, "v", None)

    def fits(self, current: Tensor) -> bool:
        """Whether a current is of a shape that these neurons take."""
        return current.ndim == 2 + len(self.shape) and tuple(current.shape[2:]) == self.shape

    def run(self, current: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return spikes and the state after the last step; currents and state are of the right shape."""
        raise NotImplementedError

    def forward(self, current: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return spikes [time, batch, unit] and the state after the last step.

        Args:
            current: [time, batch, unit], floating point. Once it is NaN, whether the unit fires is NaN as well from
                then on; a neuron that is refractory does not read it.
            state: from an earlier call, or None for rest.

        Raises:
            UserError: for currents of another shape, a state of another batch size.
        """
        if not isinstance(current, Tensor) or not current.is_floating_point():
            came = f"{current.dtype}" if isinstance(current, Tensor) else type(current).__name__
            raise UserError("a current is a floating-point tensor.", came=came, expected="[time, batch, unit]")
        if not self.fits(current):
            raise UserError(
                "the current does not fit the neurons.", came=f"shape {list(current.shape)}",
                expected=f"[time, batch, {', '.join(map(str, self.shape))}]",
            )  # fmt: skip
        begin = self.initial_state(current.shape[1], current) if state is None else self._checked(state, current)
        spikes, after = self.run(current, begin)
        return unknown(spikes, self.potential(after), current), after

    def _checked(self, state: Any, current: Tensor) -> Any:
        """Return the state as the kind of tuple that it should be; without ``drawn``, noise begins anew."""
        kind: Any = self.state_type
        batch, number = current.shape[1], len(kind._fields)
        if not isinstance(state, tuple) or not number - 1 <= len(state) <= number:
            raise UserError(
                "this is no state of these neurons.", came=type(state).__name__, expected=kind.__name__,
                attempt="state=None begins at rest",
            )  # fmt: skip
        last = state[-1] if len(state) == number else None
        state = kind(*state[: number - 1], self.drawn(batch, current) if last is None else last)
        for name, part in zip(kind._fields, state, strict=True):
            expected = [batch, 2] if name == "drawn" else [batch, *self.shape]
            if not isinstance(part, Tensor) or list(part.shape) != expected:
                came = f"shape {list(part.shape)}" if isinstance(part, Tensor) else type(part).__name__
                raise UserError(
                    "the state is of another batch or layer.", came=f"{name}: {came}", expected=f"{expected}",
                    attempt="state=None begins at rest",
                )  # fmt: skip
        return kind(*(part if part.dtype == torch.int64 else part.to(current) for part in state))

    @property
    def noisy(self) -> bool:
        """Whether spikes are drawn."""
        return self.noise is not None and self.stochastic

    def drawn(self, batch: int, like: Tensor | None = None) -> Tensor:
        """Return int64 [batch, 2]: the numbers of new sequences of noise, all at step 0; zeros without noise."""
        device = None if like is None else like.device
        if self.noise is not None and self.stochastic:
            return self.noise.begin(batch, device)
        return torch.zeros((batch, 2), dtype=torch.int64, device=device)

    def places(self, drawn: Tensor) -> Tensor:
        """Return where the noise of every unit begins, for :meth:`draw`."""
        return self.noise.streams(drawn) if self.noise is not None and self.stochastic else drawn

    def draw(self, chance: Tensor, places: Tensor, step: int) -> Tensor:
        """Return 1 with this probability, else 0, with the gradient of the probability."""
        assert self.noise is not None
        fired = (self.noise.uniforms(places, step).view_as(chance) < chance).to(chance)
        return chance + (fired - chance).detach()  # 0 or 1 exactly; differentiated forward and under vmap too

    def later(self, drawn: Tensor, steps: int) -> Tensor:
        """Return ``drawn`` after so many steps."""
        return drawn + torch.tensor([0, steps], device=drawn.device) if self.noisy else drawn

    def like(self, current: Tensor, *names: str) -> list[Tensor]:
        """Return parameters in the type and on the device of ``current``."""
        return [getattr(self, name).to(current) for name in names]

    def parameter(self, name: str, value: Any, *, above: float | None = None) -> None:
        """Keep a number, or one for each unit, as a buffer or Parameter; ``above`` is a bound it must exceed."""
        if isinstance(value, Tensor) and value.is_floating_point():
            found = value if isinstance(value, nn.Parameter) else value.detach().clone()
        else:
            found = torch.as_tensor(array(name, value.cpu() if isinstance(value, Tensor) else value, "iuf"))
        if found.ndim and tuple(found.shape) != self.shape:
            raise UserError(
                f"{name} is one number or one for each unit.", came=f"shape {list(found.shape)}",
                expected=f"{list(self.shape)}",
            )  # fmt: skip
        least = found.detach().min()
        if not bool(torch.isfinite(found.detach()).all()) or (above is not None and bool(least <= above)):
            raise UserError(
                f"{name} is out of range.", came=f"{float(least):g}",
                expected="a finite number" if above is None else f"above {above:g}",
            )  # fmt: skip
        if isinstance(found, nn.Parameter):
            self.register_parameter(name, found)
        else:
            self.register_buffer(name, found)

    def check_learned(self, *taus: str) -> None:
        """Raise a UserError where a time constant that is learned has become shorter than a step."""
        learned = {name: tau for name in taus if isinstance(tau := getattr(self, name), nn.Parameter)}
        if learned and not torch.compiler.is_compiling() and not torch._C._are_functorch_transforms_active():
            check_step(self.dt, "exponential", **learned)

    def zeros(self, batch: int, like: Tensor | None) -> Tensor:
        """Return zeros [batch, unit] of the type and device of ``like``, else those of a new tensor."""
        return torch.zeros((batch, *self.shape)) if like is None else like.new_zeros((batch, *self.shape))

    def extra_repr(self) -> str:
        """Return units and dt."""
        return f"units={self.units if len(self.shape) == 1 else self.shape}, dt={self.dt:g}"


def decay(tau: Tensor, dt: float, discretisation: str) -> Tensor:
    """Return what is left of a potential after dt: exp(−dt/τ), or 1 − dt/τ for ``"euler"``."""
    return torch.exp(-dt / tau) if discretisation == "exponential" else 1 - dt / tau


def check_step(dt: float, discretisation: str, **taus: Any) -> None:
    """Raise a UserError where a step is longer than a time constant, or there is no such discretisation."""
    choice("discretisation", discretisation, DISCRETISATIONS)
    for name, tau in taus.items():
        least = float(tau.detach().min())
        if not least >= dt * (1 - 1e-6):  # nan neither; a tau of one step in single precision is one step
            raise UserError(
                "the time step is longer than a time constant.", came=f"dt = {dt:g} s, {name} = {least:g} s",
                expected=f"dt of at most {name}",
            )  # fmt: skip


def unknown(spikes: Tensor, v: Tensor | None, current: Tensor) -> Tensor:
    """Return spikes that are NaN where v [batch, unit] ended as NaN, from the first current on that is NaN.

    Comparisons with NaN say no, never unknown. If no current is, NaN came with the state, and all steps are unknown.
    """
    if v is None or type(v) is not Tensor or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return spikes
    lost = v.detach().isnan()
    if torch._C._are_functorch_transforms_active() or (lost.device.type == "cpu" and not bool(lost.any())):
        return spikes
    came = current.detach().isnan()
    came = came if came.ndim == spikes.ndim else came.any(2)  # excitation and inhibition apart
    return spikes.masked_fill(lost & ((came.cumsum(0) > 0) | ~came.any(0)), math.nan)


def detach(state: Any) -> Any:
    """Return a state, of neurons or of a whole chain, cut off from what made it: for back-propagation in pieces.

    >>> from sparsefire.spiking import LIF
    >>> cell, current = LIF(3), torch.rand(20, 1, 3, requires_grad=True)
    >>> _, state = cell(current)
    >>> state.v.requires_grad, detach(state).v.requires_grad
    (True, False)
    """
    if isinstance(state, tuple | list):
        parts = [detach(part) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    if state is not None and not isinstance(state, Tensor):
        raise UserError("this is no state of neurons.", came=type(state).__name__, expected="what a call returned")
    return None if state is None else state.detach()


def stacked(found: list[Tensor], current: Tensor) -> Tensor:
    """Return steps as one tensor; none are an empty one."""
    return torch.stack(found) if found else current.new_zeros(current.shape)
