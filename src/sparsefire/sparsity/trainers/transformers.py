"""The callback for the Hugging Face Trainer: ``Trainer(..., callbacks=[SparsityCallback(0.1, "rigl")])``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity.methods import sparsify
from sparsefire.sparsity.recipes import Recipe, recipe
from sparsefire.sparsity.topology.base import Topology
from sparsefire.sparsity.trainers.callback import check_processes, made_late

FILE = "sparsity.pt"
_OPTIMIZER = "optimizer.pt"


class Hooks:
    """What ``SparsityCallback`` does; it is this class and ``transformers.TrainerCallback``.

    The model is masked when training begins, with the trainer's optimizer, scheduler and number of steps; the topology
    steps after every step of the optimizer, not after every micro-batch that is accumulated. A checkpoint then holds
    the plain model (effective weights under their usual names, which ``from_pretrained`` loads), and ``sparsity.pt``
    with masks, topology, optimizer and scheduler: ``resume_from_checkpoint`` goes on bit for bit, with this callback
    given again.

    Args:
        density, method, layout: as of :func:`~sparsefire.sparsity.sparsify`. Models whose output layer is tied to the
            embedding need ``layers=`` without it.
        bake: whether the model is plain again after training.
        resume_from: the checkpoint folder, if it is not ``output_dir/checkpoint-<step>``.
        options: what else ``sparsify`` takes: ``rng``, ``data`` and ``loss``, ``layers``.

    Raises:
        UserError: when training begins: several processes with a method that adds parameters, the best model to be
            loaded at the end though masks move, no ``sparsity.pt`` to resume from, or what ``sparsify`` raises.

    >>> Hooks(0.1, "rigl", rng=0).method
    'rigl'
    """

    def __init__(
        self,
        density: float,
        method: str | Recipe = "static",
        layout: str | None = None,
        *,
        bake: bool = False,
        resume_from: str | Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.density, self.method, self.layout = density, method, layout
        self.bake, self.resume_from, self.options = bake, resume_from, options
        self.topology: Topology | None = None

    def on_train_begin(
        self, args: Any, state: Any, control: Any, *, model: nn.Module, optimizer: Any, lr_scheduler: Any, **_: Any
    ) -> None:
        """Mask the model, and go on from a checkpoint if the trainer does."""
        chosen = check_processes(self.method, args.world_size)
        if args.load_best_model_at_end and chosen.topology is not None:
            raise UserError(
                "the best model may have other masks than the last one.",
                came=f"load_best_model_at_end=True with method {chosen.name!r}",
                expected="load_best_model_at_end=False, or a method whose masks rest",
            )
        own, scheduler = _bare(optimizer), _bare(lr_scheduler)
        held = scheduler.optimizer
        scheduler.optimizer = own  # it may have been made from the wrapped one, which is the same to it
        try:
            self.topology = sparsify(
                model, self.density, self.method, self.layout, own, scheduler, state.max_steps, **self.options
            )
        finally:
            scheduler.optimizer = held
        if state.global_step:
            self._resume(Path(self.resume_from or f"{args.output_dir}/checkpoint-{state.global_step}"), own, scheduler)

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        """Step the topology while the gradients are there."""
        if self.topology is not None and not self._waits:
            self.topology.step()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Step a topology that restarts the scheduler: the trainer has moved that by now, and cleared the gradients."""
        if self.topology is not None and self._waits:
            self.topology.step()

    def on_save(
        self, args: Any, state: Any, control: Any, *, model: Any, optimizer: Any, lr_scheduler: Any, **_: Any
    ) -> None:
        """Write the plain model over the masked one, and what resumes the run beside it."""
        if self.topology is None or not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        plain = {name: value.contiguous() for name, value in masks.dense_state_dict(model).items()}
        if hasattr(model, "save_pretrained"):
            model.save_pretrained(folder, state_dict=plain)
        else:
            save_file(plain, folder / "model.safetensors", metadata={"format": "pt"})  # as the trainer does
        kept = {"net": model.state_dict(), "topology": self.topology.state_dict()}
        if not args.save_only_model:
            kept |= {"optimizer": _bare(optimizer).state_dict(), "scheduler": _bare(lr_scheduler).state_dict()}
            (folder / _OPTIMIZER).unlink(missing_ok=True)  # the trainer would load it before the masks are there
        torch.save(kept, folder / FILE)

    def on_train_end(self, args: Any, state: Any, control: Any, *, model: nn.Module, **_: Any) -> None:
        """Make the model plain if that was asked for."""
        if self.bake and self.topology is not None:
            masks.bake(model, self.topology.setting.optimizer, self.topology.setting.scheduler)
        self.topology = None

    @property
    def _waits(self) -> bool:
        return "scheduler" in recipe(self.method).needs

    def _resume(self, folder: Path, optimizer: Any, scheduler: Any) -> None:
        if not (folder / FILE).is_file():
            raise UserError(
                "there is nothing that resumes the masks.",
                came=f"no {FILE} in {folder}",
                expected="a checkpoint that this callback has seen",
                attempt="SparsityCallback(..., resume_from=folder)",
            )
        kept = torch.load(folder / FILE, weights_only=True)
        topology: Any = self.topology
        topology.net.load_state_dict(kept["net"])
        if "optimizer" in kept:
            optimizer.load_state_dict(kept["optimizer"])
            scheduler.load_state_dict(kept["scheduler"])
        topology.load_state_dict(kept["topology"])


def _bare(wrapped: Any) -> Any:
    """Return the optimizer or scheduler that accelerate has wrapped."""
    if type(wrapped).__module__.startswith("accelerate."):
        return getattr(wrapped, "optimizer", None) or wrapped.scheduler
    return wrapped


def __getattr__(name: str) -> Any:
    """Make ``SparsityCallback`` when it is first asked for: transformers is imported no earlier."""
    return made_late(name, globals(), "transformers.TrainerCallback", "the Trainer of transformers", "transformers")
