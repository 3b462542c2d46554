"""Oracles: the same training done the plain way, for every method of the registry.

A method that joins the registry is trained here without being named: in micro-batches, in mixed precision, with skipped
steps, stopped and resumed, copied, called as a function, and on other numbers of threads.
"""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.sparsity import METHODS, Topology, recipe, sparsify
from sparsefire.sparsity.steps.sam import SAM
from sparsefire.sparsity.steps.wrapper import needs_closure

STEPS, DENSITY, ROWS = 28, 0.3, 16
SIZE = 24 + 192 + 24
COMPILED = ["static", "rigl", "sign-in"]


@dataclass
class Run:
    """A training at some step."""

    net: nn.Module
    optimizer: Any
    scheduler: Any
    topology: Topology

    def parts(self) -> dict[str, Any]:
        return vars(self)

    def state(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self.parts().items()}


def network(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    net = nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 3)
    ).to(dtype)  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3)
    return net


def batch(number: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 + number)
    x = torch.randn(ROWS, 2, 8, generator=generator, dtype=torch.float64).to(dtype)
    return x, torch.randint(0, 3, (ROWS,), generator=generator)


def second_pass(method: str) -> bool:
    return "closure" in recipe(method).needs


def made(method: str, dtype: torch.dtype = torch.float32, rng: int = 0, net: nn.Module | None = None) -> Run:
    net = network(dtype) if net is None else net
    optimizer: Any = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.01)
    if second_pass(method):
        optimizer = SAM(optimizer)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.97**step)
    topology = sparsify(
        net, DENSITY, method, optimizer=optimizer, scheduler=scheduler, steps=STEPS,
        data=batch(-1, dtype), loss=nn.functional.cross_entropy, rng=rng,
    )  # fmt: skip
    return Run(net, optimizer, scheduler, topology)


def advance(run: Run, numbers: Any, micro: int = 1, context: Any = contextlib.nullcontext, call: Any = None) -> Run:
    call = run.net if call is None else call
    dtype = next(run.net.parameters()).dtype
    for number in numbers:
        x, y = batch(number, dtype)

        def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
            total = torch.zeros(())
            for rows, labels in zip(x.chunk(micro), y.chunk(micro), strict=True):
                with context():
                    loss = nn.functional.cross_entropy(call(rows), labels) / micro
                loss.backward()
                total = total + loss.detach()
            return total

        closure()
        run.optimizer.step(closure) if needs_closure(run.optimizer) else run.optimizer.step()
        run.scheduler.step(), run.topology.step(), run.optimizer.zero_grad()
    return run


def nonzero_outside(run: Run) -> int:
    count = 0
    for parameter, mask in masks.active(run.net).items():
        if mask is not None:
            state = run.optimizer.state.get(parameter, {}).values()
            held = [parameter, *(v for v in state if isinstance(v, Tensor) and v.shape == parameter.shape)]
            count += sum(int((value[~mask] != 0).sum()) for value in held)
    return count


def ends_right(run: Run) -> None:
    """The promises at the end of every training: exact count, exact zeros, finite weights, exported as computed.

    Patterns keep whole groups of weights: half of the units of the smallest layer may be off, at the start and later.
    """
    run.net.eval()
    x, _ = batch(99, next(run.net.parameters()).dtype)
    expected = run.net(x).detach()
    assert nonzero_outside(run) == 0
    count = sum(int(mask.sum()) for mask in masks.masks(run.net).values())
    assert abs(count - round(DENSITY * SIZE)) <= (0 if run.topology.setting.pattern == "unstructured" else 1)
    masks.bake(run.net)
    assert torch.equal(run.net(x), expected)
    assert all(bool(parameter.isfinite().all()) for parameter in run.net.parameters())


def differing(one: Any, two: Any) -> list[str]:
    """Return the names of what is not the same to the last bit, in two nested states."""
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        return [f"{key}: {name}" for key in one for name in differing(one[key], two[key])]
    if isinstance(one, list | tuple):
        assert len(one) == len(two)
        return [name for a, b in zip(one, two, strict=True) for name in differing(a, b)]
    equal = torch.equal(one, two) if isinstance(one, Tensor) else one == two
    return [] if equal else [type(one).__name__]


@pytest.mark.parametrize("method", METHODS)
def test_micro_batches_add_up_to_one_batch(method: str) -> None:
    whole = advance(made(method, torch.float64), range(STEPS))
    parts = advance(made(method, torch.float64), range(STEPS), micro=4)
    for name, mask in masks.masks(whole.net).items():
        assert torch.equal(mask, masks.masks(parts.net)[name]), name
    for one, two in zip(whole.net.parameters(), parts.net.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-9)
    ends_right(parts)


@pytest.mark.parametrize("method", METHODS)
def test_mixed_precision_keeps_the_promises(method: str) -> None:
    run = made(method)

    def bfloat16() -> Any:
        return torch.autocast("cpu", dtype=torch.bfloat16)

    advance(run, range(STEPS), context=bfloat16)
    assert all(parameter.dtype is torch.float32 for parameter in run.net.parameters())
    run.net.eval()
    with bfloat16():
        expected = run.net(batch(7)[0])
        assert expected.dtype is torch.bfloat16
        twin = masks.bake(copy.deepcopy(run.net))
        assert torch.equal(twin(batch(7)[0]), expected)
    ends_right(run)


@pytest.mark.parametrize("method", [name for name in METHODS if not second_pass(name)])
def test_steps_that_a_gradient_scaler_skips(method: str) -> None:
    run = made(method)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    skipped = 0
    for number in range(STEPS):
        x, y = batch(number)
        if number % 5 == 3:
            x = x * 1e38 * 10  # infinite inputs: the gradients are infinite or no numbers
        scaler.scale(nn.functional.cross_entropy(run.net(x), y)).backward()
        before = scaler.get_scale()
        scaler.step(run.optimizer)
        scaler.update()
        skip = scaler.get_scale() < before
        skipped += skip
        assert skip or nonzero_outside(run) == 0
        for layer in masks.masked(run.net).values():
            assert not layer.weight[~masks.mask_of(layer).mask].any()
        run.scheduler.step(), run.topology.step(), run.optimizer.zero_grad()
    assert skipped == len(range(3, STEPS, 5))
    ends_right(run)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_stopped_and_resumed_is_the_run(method: str) -> None:
    whole = advance(made(method), range(STEPS))
    first = advance(made(method), range(13))
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    stored = torch.load(file, weights_only=True)
    again = made(method, rng=1)  # whatever was drawn must come from the checkpoint
    with torch.no_grad():
        for parameter in again.net.parameters():
            parameter.add_(1.0)
    for name, part in again.parts().items():
        part.load_state_dict(stored[name])
    assert differing(again.state(), stored) == []
    advance(again, range(13, STEPS))
    assert differing(again.state(), whole.state()) == []
    ends_right(again)


@pytest.mark.parametrize("method", METHODS)
def test_looking_at_a_copy_changes_nothing(method: str) -> None:
    alone, watched = made(method), made(method)
    for number in range(STEPS):
        advance(alone, [number])
        advance(watched, [number])
        if number % 9 == 4:
            twin = copy.deepcopy(watched.net)
            state = torch.get_rng_state()
            x, _ = batch(50)
            assert torch.equal(twin(x), watched.net(x))
            assert torch.equal(torch.get_rng_state(), state)
            masks.bake(twin)
            assert masks.masks(twin) == {}
            with torch.no_grad():
                for parameter in twin.parameters():
                    parameter.fill_(9.0)
    assert differing(alone.state(), watched.state()) == []


@pytest.mark.parametrize("method", METHODS)
def test_a_functional_call_is_the_call(method: str) -> None:
    run = advance(made(method), range(9))
    x, y = batch(60)
    values = {name: value.detach() for name, value in run.net.named_parameters()}

    def loss(values: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(torch.func.functional_call(run.net, values, (x,)), y)

    nn.functional.cross_entropy(run.net(x), y).backward()
    gradients = torch.func.grad(loss)(values)
    for name, parameter in run.net.named_parameters():
        own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(gradients[name], own)


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_gets_the_network_from_a_factory_and_a_pickled_state(method: str) -> None:
    run = advance(made(method), range(9))
    state, plain = pickle.loads(pickle.dumps((run.net.state_dict(), masks.dense_state_dict(run.net.eval()))))
    x, _ = batch(70)
    again = made(method, rng=5).net.eval()
    again.load_state_dict(state)
    assert torch.equal(again(x), run.net(x))
    twin = network().eval()
    twin.load_state_dict(plain)
    assert torch.equal(twin(x), run.net(x))


@pytest.fixture
def threads() -> Iterator[Any]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_number_of_threads_changes_no_mask(method: str, threads: Any) -> None:
    found = []
    for count in (1, 2):
        threads(count)
        run = made(method, torch.float64)  # sums are taken in another order: weights may differ in their last bits
        drawn = {name: mask.clone() for name, mask in masks.masks(run.net).items()}
        found.append((drawn, masks.masks(advance(run, range(STEPS)).net)))
    assert differing(*found) == []


@pytest.mark.slow
def test_the_number_of_threads_changes_no_mask_of_large_layers(threads: Any) -> None:
    found = []
    for count in (1, 2):
        threads(count)
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 300), nn.ReLU(), nn.Linear(300, 200)).double()
        with torch.no_grad():
            for number, parameter in enumerate(net.parameters()):  # many ties
                generator = torch.Generator().manual_seed(number)
                parameter.copy_(torch.randint(-9, 10, parameter.shape, generator=generator) / 64)
        own = []
        for method in ("lrr", "rigl"):
            run = made(method, torch.float64, net=copy.deepcopy(net))
            own.append(masks.masks(advance(run, range(5)).net))
        found.append(own)
    assert differing(*found) == []


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("method", COMPILED)
def test_a_compiled_network_trains_as_the_eager_one(method: str, backend: str) -> None:
    eager = advance(made(method), range(STEPS))
    run = made(method)
    torch.compiler.reset()
    advance(run, range(STEPS), call=torch.compile(run.net, backend=backend))
    for name, mask in masks.masks(eager.net).items():
        assert torch.equal(mask, masks.masks(run.net)[name]), name
    for one, two in zip(eager.net.parameters(), run.net.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
    ends_right(run)
