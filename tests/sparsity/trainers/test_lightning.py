"""Oracles: the same training in a plain loop, bit for bit; a run that was never interrupted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.trainers import lightning as room

try:
    import lightning.pytorch as pl
except ImportError:
    pl = None

needs_lightning = pytest.mark.skipif(pl is None, reason="the extra 'lightning' is not installed")
METHODS = ["static", "rigl", "set", "gmp", "sign-in", "rigl+sign-in", "cyclic"]
ROWS, BATCH, EPOCHS = 24, 4, 4


def network() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return net


def rows() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(ROWS, 6, generator=generator), torch.randint(0, 3, (ROWS,), generator=generator)


def module() -> Any:
    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: Any, number: int) -> Tensor:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    return Module()


def fit(where: Path, made: Any, callback: Any, epochs: int = EPOCHS, resume: Path | None = None, **options: Any) -> Any:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*rows()), batch_size=BATCH)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, callbacks=[callback],
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=where, **options,
    )  # fmt: skip
    trainer.fit(made, loader, ckpt_path=resume)
    return trainer


def by_hand(method: str, gathered: int = 1) -> nn.Module:
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    steps = EPOCHS * ROWS // BATCH // gathered
    topology = sparsify(net, 0.3, method, optimizer=optimizer, scheduler=scheduler, steps=steps, rng=0)
    x, y = rows()
    micro = 0
    for _ in range(EPOCHS):
        for start in range(0, ROWS, BATCH):
            loss = nn.functional.cross_entropy(net(x[start : start + BATCH]), y[start : start + BATCH])
            (loss / gathered).backward()
            micro += 1
            if micro % gathered == 0:
                optimizer.step(), scheduler.step(), topology.step(), optimizer.zero_grad()
    return net


def same(one: nn.Module, two: nn.Module) -> bool:
    first, second = one.state_dict(), two.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@needs_lightning
@pytest.mark.parametrize("gathered", [1, 3])
@pytest.mark.parametrize("method", METHODS)
def test_the_trainer_does_what_a_plain_loop_does(method: str, gathered: int, tmp_path: Path) -> None:
    made = module()
    callback = room.SparsityCallback(0.3, method, part="net", rng=0)
    fit(tmp_path, made, callback, accumulate_grad_batches=gathered)
    assert callback.topology.steps_done == EPOCHS * ROWS // BATCH // gathered
    assert masks.density(made.net) == round(0.3 * 108) / 108
    assert same(made.net, by_hand(method, gathered))


@needs_lightning
@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_fit_is_the_fit_that_was_not_interrupted(method: str, tmp_path: Path) -> None:
    class Saver(pl.Callback):
        def on_train_epoch_end(self, trainer: Any, made: Any) -> None:
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "half.ckpt")

    whole = module()
    callback = room.SparsityCallback(0.3, method, rng=0)
    fit(tmp_path, whole, callback)
    first = module()
    sparse = room.SparsityCallback(0.3, method, rng=0)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*rows()), batch_size=BATCH)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    pl.Trainer(
        max_epochs=EPOCHS, enable_checkpointing=False, callbacks=[sparse, Saver()], default_root_dir=tmp_path, **quiet
    ).fit(first, loader)
    stored = torch.load(tmp_path / "half.ckpt", weights_only=True)
    assert stored["state_dict"].keys() == module().state_dict().keys()  # anything can load it
    again = module()
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.add_(1.0)
    fit(tmp_path, again, room.SparsityCallback(0.3, method, rng=0), resume=tmp_path / "half.ckpt")
    assert same(again, whole)


@needs_lightning
def test_the_module_is_plain_at_the_end_if_asked_for(tmp_path: Path) -> None:
    made = module()
    fit(tmp_path, made, room.SparsityCallback(0.3, "gmp", bake=True))
    assert masks.masks(made) == {}
    assert made.state_dict().keys() == module().state_dict().keys()
    assert masks.density(made) == round(0.3 * 108) / 108


@needs_lightning
def test_a_second_fit_of_a_masked_module_is_refused(tmp_path: Path) -> None:
    made = module()
    fit(tmp_path, made, room.SparsityCallback(0.3), epochs=1)
    with pytest.raises(UserError, match="masked already"):
        fit(tmp_path, made, room.SparsityCallback(0.3), epochs=1)


def trainer(**options: Any) -> SimpleNamespace:
    """Stand-in with what the callback reads."""
    net = network()
    found = {
        "optimizers": [torch.optim.SGD(net.parameters(), lr=0.1)], "world_size": 1, "lr_scheduler_configs": [],
        "estimated_stepping_batches": 10, "global_step": 0, "net": net,
    }  # fmt: skip
    return SimpleNamespace(**{**found, **options})


def test_several_optimizers_or_processes_that_do_not_go_together_are_refused() -> None:
    given = trainer(optimizers=[])
    with pytest.raises(UserError, match="one optimizer"):
        room.Hooks(0.3).on_fit_start(given, given.net)
    given = trainer(world_size=2)
    with pytest.raises(UserError, match="adds parameters"):
        room.Hooks(0.3, "sign-in").on_fit_start(given, given.net)
    assert masks.masks(given.net) == {}
    room.Hooks(0.3, "rigl").on_fit_start(given, given.net)
    assert len(masks.masks(given.net)) == 2


def test_a_training_without_end_lets_static_masks_be_and_stops_others() -> None:
    given = trainer(estimated_stepping_batches=float("inf"))
    with pytest.raises(UserError, match="number of training steps"):
        room.Hooks(0.3, "rigl").on_fit_start(given, given.net)
    room.Hooks(0.3, "static").on_fit_start(given, given.net)


def test_micro_batches_are_not_steps() -> None:
    given = trainer()
    hooks = room.Hooks(0.3)
    hooks.on_fit_start(given, given.net)
    hooks.on_train_start(given, given.net)
    for step in (0, 0, 1, 1, 1, 2):
        given.global_step = step
        hooks.on_train_batch_end(given)
    assert hooks.topology is not None
    assert hooks.topology.steps_done == 2


def test_a_resumed_count_is_no_step() -> None:
    given = trainer()
    hooks = room.Hooks(0.3)
    hooks.on_fit_start(given, given.net)
    given.global_step = 5
    hooks.on_train_start(given, given.net)
    hooks.on_train_batch_end(given)
    assert hooks.topology is not None
    assert hooks.topology.steps_done == 0


@pytest.mark.skipif(pl is not None, reason="the extra 'lightning' is installed")
def test_without_the_extra_it_is_named() -> None:
    with pytest.raises(UserError, match=r"sparsefire\[lightning\]"):
        room.SparsityCallback  # noqa: B018


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="Nothing"):
        room.Nothing  # noqa: B018
