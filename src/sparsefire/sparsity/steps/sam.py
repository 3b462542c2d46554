"""SAM: the gradient is taken where the loss is highest nearby.

P. Foret, A. Kleiner, H. Mobahi, B. Neyshabur. Sharpness-aware minimization for efficiently improving generalization,
ICLR 2021. arXiv:2010.01412

    e = ρ · g / ‖g‖₂,   g = ∂L/∂θ at θ;        then the optimizer steps from θ with ∂L/∂θ at θ + e.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.steps.wrapper import Wrapper, optimizer_of
from sparsefire.sparsity.topology.base import Control

_LOOP = "def closure(): loss = loss_fn(net(x), y); loss.backward(); return loss"


class SAM(Wrapper):
    """Any optimizer, stepping with the gradient at the worst point within a distance ρ.

    In the loop: ``closure(); optimizer.step(closure); optimizer.zero_grad()``, where ``closure`` computes the loss and
    calls ``backward()``. Penalties that pre-hooks add to gradients stay outside the ascent, as in the paper. Parameters
    are what is perturbed: of a product m · w both factors. ``GradScaler`` takes no closures: use bfloat16 with SAM.

    Args:
        optimizer: the one to wrap.
        rho: Euclidean length of the ascent over all parameters together, at least 0; 0 is the wrapped optimizer.
        net: the network; only weights that exist are perturbed, and the second pass leaves the running statistics of
            its norms alone. ``sparsify`` fills it in; without it every parameter with a gradient is moved, and both
            passes count.

    Raises:
        UserError: a negative ``rho``.

    >>> net = nn.Linear(2, 1)
    >>> optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), net=net)
    >>> def closure():
    ...     loss = net(torch.ones(3, 2)).square().mean()
    ...     loss.backward()
    ...     return loss
    >>> _ = closure(); _ = optimizer.step(closure); optimizer.zero_grad()
    """

    second_pass = True

    def __init__(self, optimizer: Optimizer, rho: float = 0.05, net: nn.Module | None = None) -> None:
        super().__init__(optimizer)
        if not rho >= 0:
            raise UserError("rho is the length of the ascent.", came=f"rho={rho}", expected="0 or more")
        self.rho, self.net = rho, net

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Climb along the gradients that are there, take them anew, come back and step.

        Args:
            closure: computes the loss, calls ``backward()`` and returns the loss.

        Returns:
            The loss of the second pass; None where rho is 0, which needs none.

        Raises:
            UserError: no closure, or no gradients of a first pass.
        """
        if closure is None:
            raise UserError(
                "SAM takes the gradient a second time: its step needs a closure.",
                came="optimizer.step()",
                expected="closure(); optimizer.step(closure); optimizer.zero_grad()",
                attempt=_LOOP,
            )
        if self.rho == 0:
            self.optimizer.step()
            return None
        moved, ascent = self._ascent()
        before = [parameter.clone() for parameter in moved]
        torch._foreach_add_(moved, ascent)
        try:
            self.optimizer.zero_grad()
            with torch.enable_grad(), _statistics_kept(self.net):
                loss = closure()
        finally:
            torch._foreach_copy_(moved, before)
        self.optimizer.step()
        return loss

    def _ascent(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the parameters to move and by how much."""
        present = masks.active(self.net) if self.net is not None else {}
        moved = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        gradients = [p.grad if present.get(p) is None else p.grad * present[p] for p in moved]
        if not moved:
            raise UserError(
                "SAM climbs along the gradients of a first pass, and there are none.",
                came="optimizer.step(closure) before closure()",
                expected="closure(); optimizer.step(closure); optimizer.zero_grad()",
            )
        norm = torch.linalg.vector_norm(torch.stack([g.norm().to(gradients[0]) for g in gradients]))
        scale = self.rho / (norm + 1e-12)
        return moved, [g.to(p) * scale.to(p) for p, g in zip(moved, gradients, strict=True)]


class SecondPass(Control):
    """SAM as a part of a recipe: it hands the network to the :class:`SAM` that the training steps with.

    Args:
        setting: its optimizer is a :class:`SAM`, perhaps inside another wrapper.

    Raises:
        UserError: the optimizer is none.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"optimizer", "closure"})

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        _sam_of(setting).net = setting.net

    @classmethod
    def check(cls, setting: Setting) -> None:
        _sam_of(setting)


def _sam_of(setting: Setting) -> SAM:
    """Return the SAM that steps, or raise how to make one."""
    optimizer: Any = optimizer_of(setting)
    while isinstance(optimizer, Wrapper):
        if isinstance(optimizer, SAM):
            return optimizer
        optimizer = optimizer.optimizer
    raise UserError(
        f"method {setting.method!r} computes the gradient twice, which a plain optimizer does not.",
        came=type(setting.optimizer).__name__,
        expected="optimizer=SAM(optimizer), stepped as closure(); optimizer.step(closure); optimizer.zero_grad()",
        attempt=f"from sparsefire.sparsity.steps import SAM; {_LOOP}",
    )


@contextmanager
def _statistics_kept(net: nn.Module | None) -> Iterator[None]:
    """Bring running statistics of norms back to what they were."""
    norms = [] if net is None else [m for m in net.modules() if getattr(m, "track_running_stats", False)]
    held = [(buffer, buffer.clone()) for module in norms for buffer in module.buffers(recurse=False)]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in held:
                buffer.copy_(value)
