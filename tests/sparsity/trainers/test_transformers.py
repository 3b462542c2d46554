"""Oracles: the same training in a plain loop, bit for bit; a run that was never interrupted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.trainers import transformers as room

try:
    import accelerate
    import transformers
except ImportError:
    accelerate = transformers = None

needs_transformers = pytest.mark.skipif(accelerate is None, reason="the extra 'transformers' is not installed")
METHODS = ["static", "rigl", "set", "gmp", "sign-in", "rigl+sign-in", "cyclic"]
ROWS, BATCH, EPOCHS = 24, 4, 4


class Model(nn.Module):
    """A model in the manner of transformers: it returns its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.net.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.net(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def rows() -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(ROWS, 6, generator=generator), torch.randint(0, 3, (ROWS,), generator=generator)
    return [{"x": one, "labels": label} for one, label in zip(x, y, strict=True)]


def surroundings(model: nn.Module) -> tuple[Any, Any]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))


def fit(where: Path, model: nn.Module, callback: Any, resume: str | None = None, **options: Any) -> Any:
    class Trainer(transformers.Trainer):
        def get_train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(self.train_dataset, batch_size=BATCH)

    args = transformers.TrainingArguments(
        output_dir=str(where), num_train_epochs=EPOCHS, max_grad_norm=0.0, use_cpu=True, report_to=[],
        disable_tqdm=True, **{"save_strategy": "no", "logging_strategy": "no", **options},
    )  # fmt: skip
    made = Trainer(model, args, train_dataset=rows(), optimizers=surroundings(model), callbacks=[callback])
    made.train(resume_from_checkpoint=resume)
    return made


def by_hand(method: str) -> nn.Module:
    model = Model()
    optimizer, scheduler = surroundings(model)
    steps = EPOCHS * ROWS // BATCH
    topology = sparsify(model, 0.3, method, optimizer=optimizer, scheduler=scheduler, steps=steps, rng=0)
    data = rows()
    for _ in range(EPOCHS):
        for start in range(0, ROWS, BATCH):
            x, y = (torch.stack([row[key] for row in data[start : start + BATCH]]) for key in ("x", "labels"))
            model(x, y)["loss"].backward()
            optimizer.step(), scheduler.step(), topology.step(), optimizer.zero_grad()
    return model


def same(one: nn.Module, two: nn.Module) -> bool:
    first, second = one.state_dict(), two.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@needs_transformers
@pytest.mark.parametrize("method", METHODS)
def test_the_trainer_does_what_a_plain_loop_does(method: str, tmp_path: Path) -> None:
    model = Model()
    fit(tmp_path, model, room.SparsityCallback(0.3, method, rng=0))
    assert masks.density(model) == round(0.3 * 108) / 108
    assert same(model, by_hand(method))


@needs_transformers
def test_micro_batches_are_not_steps(tmp_path: Path) -> None:
    counted = []

    class Counting(room.SparsityCallback):
        def on_train_end(self, *args: Any, **options: Any) -> None:
            counted.append(self.topology.steps_done)
            super().on_train_end(*args, **options)

    model = Model()
    fit(tmp_path, model, Counting(0.3, "rigl", rng=0), gradient_accumulation_steps=3)
    assert counted == [EPOCHS * ROWS // BATCH // 3]
    assert masks.density(model) == round(0.3 * 108) / 108


@needs_transformers
@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_training_is_the_one_that_was_not_interrupted(method: str, tmp_path: Path) -> None:
    whole, again = Model(), Model()
    fit(tmp_path, whole, room.SparsityCallback(0.3, method, rng=0), save_strategy="steps", save_steps=10)
    stored = load_file(tmp_path / "checkpoint-10" / "model.safetensors")
    assert stored.keys() == Model().state_dict().keys()  # anything can load it
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.add_(1.0)
    fit(tmp_path, again, room.SparsityCallback(0.3, method, rng=0), resume=str(tmp_path / "checkpoint-10"))
    assert same(again, whole)


@needs_transformers
def test_a_checkpoint_of_a_pretrained_model_loads_as_a_plain_one(tmp_path: Path) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
    config = transformers.BertConfig(vocab_size=11, max_position_embeddings=6, **sizes)
    model = transformers.BertForSequenceClassification(config)
    data = [{"input_ids": torch.arange(5) + row % 3, "labels": torch.tensor(row % 2)} for row in range(ROWS)]
    args = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=6, save_steps=6, use_cpu=True, report_to=[], disable_tqdm=True
    )
    callback = room.SparsityCallback(0.2, "rigl", rng=0, bake=True)
    transformers.Trainer(model, args, train_dataset=data, callbacks=[callback]).train()
    found = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "checkpoint-6")
    assert masks.masks(model) == {}
    assert masks.density(model) == masks.density(found)
    assert abs(masks.density(found) - 0.2) < 1e-3
    assert same(model, found)


def arguments(**options: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"world_size": 1, "load_best_model_at_end": False, "output_dir": "none", **options})


def begin(hooks: Any, args: Any, model: nn.Module, step: int = 0) -> None:
    optimizer, scheduler = surroundings(model)
    state = SimpleNamespace(max_steps=20, global_step=step)
    hooks.on_train_begin(args, state, None, model=model, optimizer=optimizer, lr_scheduler=scheduler)


def test_processes_and_best_models_that_do_not_go_together_are_refused() -> None:
    model = Model()
    with pytest.raises(UserError, match="adds parameters"):
        begin(room.Hooks(0.3, "sign-in"), arguments(world_size=2), model)
    with pytest.raises(UserError, match="other masks"):
        begin(room.Hooks(0.3, "rigl"), arguments(load_best_model_at_end=True), model)
    assert masks.masks(model) == {}
    begin(room.Hooks(0.3, "static"), arguments(load_best_model_at_end=True, world_size=2), model)
    assert len(masks.masks(model)) == 2


def test_a_checkpoint_that_the_callback_has_not_seen_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing that resumes the masks"):
        begin(room.Hooks(0.3, "static"), arguments(output_dir=str(tmp_path)), Model(), step=5)


def test_a_topology_that_restarts_the_scheduler_waits_for_it() -> None:
    for method, early, late in (("rigl", 1, 1), ("cyclic", 0, 1)):
        hooks = room.Hooks(0.3, method)
        begin(hooks, arguments(), model := Model())
        assert hooks.topology is not None
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        hooks.on_optimizer_step()
        assert hooks.topology.steps_done == early
        hooks.on_step_end()
        assert hooks.topology.steps_done == late


@pytest.mark.skipif(accelerate is not None, reason="the extra 'transformers' is installed")
def test_without_the_extra_it_is_named() -> None:
    with pytest.raises(UserError, match=r"sparsefire\[transformers\]"):
        room.SparsityCallback  # noqa: B018


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="Nothing"):
        room.Nothing  # noqa: B018
