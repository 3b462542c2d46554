"""The callback for Lightning: ``Trainer(callbacks=[SparsityCallback(0.1, "rigl")])``."""

from __future__ import annotations

from typing import Any

from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity.methods import sparsify
from sparsefire.sparsity.recipes import Recipe
from sparsefire.sparsity.topology.base import Topology
from sparsefire.sparsity.trainers.callback import check_processes, made_late


class Hooks:
    """What ``SparsityCallback`` does; it is this class and ``lightning.pytorch.Callback``.

    The module is masked when the fit starts, with its one optimizer, the first scheduler and
    ``trainer.estimated_stepping_batches``; the topology steps after every step of the optimizer, not after every
    micro-batch that is accumulated. Checkpoints hold the plain network, effective weights under the names that a dense
    twin has, so that anything can load them; what resumes the run bit for bit stands beside, with the callback. A
    checkpoint of weights alone (``save_weights_only=True``) is written without the callback and keeps the names of the
    masked network.

    Args:
        density, method, layout: as of :func:`~sparsefire.sparsity.sparsify`.
        part: name of the submodule to mask; None takes the whole module.
        bake: whether the module is plain again after the fit.
        options: what else ``sparsify`` takes: ``rng``, ``data`` and ``loss``, ``layers``.

    Raises:
        UserError: when the fit starts: more than one optimizer, a method that adds parameters in several processes, or
            what ``sparsify`` raises.

    >>> Hooks(0.1, "rigl", rng=0).method
    'rigl'
    """

    def __init__(
        self,
        density: float,
        method: str | Recipe = "static",
        layout: str | None = None,
        *,
        part: str | None = None,
        bake: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        self.density, self.method, self.layout = density, method, layout
        self.part, self.bake, self.options = part, bake, options
        self.topology: Topology | None = None
        self._saved: dict[str, Any] | None = None
        self._seen = 0

    def on_fit_start(self, trainer: Any, module: nn.Module) -> None:
        """Mask the module, and go on from a checkpoint if there is one."""
        if len(trainer.optimizers) != 1:
            raise UserError(
                "one optimizer trains a sparse network.", came=f"{len(trainer.optimizers)} optimizers", expected="one"
            )
        check_processes(self.method, trainer.world_size)
        scheduler = next((config.scheduler for config in trainer.lr_scheduler_configs), None)
        steps = trainer.estimated_stepping_batches
        net = module if self.part is None else module.get_submodule(self.part)
        self.topology = sparsify(
            net, self.density, self.method, self.layout, trainer.optimizers[0], scheduler,
            int(steps) if steps < float("inf") else None, **self.options,
        )  # fmt: skip
        self._resume()

    def on_train_start(self, trainer: Any, module: nn.Module) -> None:
        """Count from where the trainer stands."""
        self._seen = trainer.global_step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Step the topology if the optimizer has stepped; gradients are still there, the scheduler has moved."""
        if self.topology is not None and trainer.global_step > self._seen:
            self.topology.step()
        self._seen = trainer.global_step

    def on_fit_end(self, trainer: Any, module: nn.Module) -> None:
        """Make the module plain if that was asked for."""
        if self.bake and self.topology is not None:
            masks.bake(module, self.topology.setting.optimizer, self.topology.setting.scheduler)

    def on_save_checkpoint(self, trainer: Any, module: nn.Module, checkpoint: dict[str, Any]) -> None:
        """Write effective weights in place of what the masked network is made of."""
        checkpoint["state_dict"] = masks.dense_state_dict(module)

    def state_dict(self) -> dict[str, Any]:
        """Return the topology's state and that of the masked layers."""
        if self.topology is None:
            return {}
        return {"topology": self.topology.state_dict(), "masked": masked_state(self.topology.net)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` returned, as soon as the network is masked."""
        self._saved = state or None
        if self.topology is not None:
            self._resume()

    def _resume(self) -> None:
        if self._saved is not None and self.topology is not None:
            self.topology.net.load_state_dict(self._saved["masked"], strict=False)
            self.topology.load_state_dict(self._saved["topology"])
            self._saved = None


def masked_state(net: nn.Module) -> dict[str, Any]:
    """Return what a dense twin does not have: the entries of the state that belong to masked layers.

    >>> import torch
    >>> net = nn.Linear(2, 1); masks.attach_(net, torch.tensor([[True, False]]))
    >>> list(masked_state(net))
    ['parametrizations.weight.original', 'parametrizations.weight.0.mask']
    """
    chains = tuple(f"{name}.{masks.CHAIN}" if name else masks.CHAIN for name in masks.masked(net))
    return {key: value.clone() for key, value in net.state_dict().items() if key.startswith(chains)}


def __getattr__(name: str) -> Any:
    """Make ``SparsityCallback`` when it is first asked for: Lightning is imported no earlier."""
    return made_late(name, globals(), "lightning.pytorch.Callback", "Lightning", "lightning")
