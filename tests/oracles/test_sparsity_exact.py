"""Oracle: what methods of sparsity promise exactly, against matrix algebra, autograd and solvers written here.

Sources: layer ratios arXiv:2210.02412, arXiv:1911.11134; SNIP arXiv:1810.02340; GraSP arXiv:2002.07376; SynFlow
arXiv:2006.05467; Taylor arXiv:1906.10771; Wanda arXiv:2306.11695; OBC arXiv:2208.11580; products m · w
arXiv:2210.01212, arXiv:2408.09966, arXiv:2504.12801; one neuron arXiv:2402.19262; HAM arXiv:2506.02630; SAM
arXiv:2010.01412. The lasso is scikit-learn's.
"""

from __future__ import annotations

import copy
import io
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import Lasso
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

import sparsefire as sf
from sparsefire.sparsity import Recipe, recipe
from sparsefire.sparsity.parameterisation.product import Product
from sparsefire.sparsity.parameterisation.spred import Spred

TABLE = sf.list_methods().set_index("method")
METHODS = list(TABLE.index)
FAN_IN = ["srigl", "wanda"]  # their pattern rounds counts to whole units
GROWING = ["set", "rigl", "srigl", "chts"]
NOISY = ["synaptic-noise", "poisson-noise"]  # forward passes in training are perturbed until the end
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


# ---------------------------------------------------------------- networks, data and one training loop for all methods


def mlp(widths: tuple[int, ...] = (20, 32, 24, 5), rng: int = 0, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """Leaky ReLU, so that no unit is dead, no gradient is zero, and the network is positively homogeneous."""
    draws = torch.Generator().manual_seed(rng)
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layer = nn.Linear(before, after, dtype=dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(after, before, generator=draws) / math.sqrt(before))
            layer.bias.copy_(0.1 * torch.randn(after, generator=draws))
        modules += [layer, nn.LeakyReLU(0.2)]
    return nn.Sequential(*modules[:-1])


def batch(rows: int = 64, inputs: int = 20, classes: int = 5, rng: int = 1) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(rng)
    x = torch.randn(rows, inputs, generator=draws)
    return x, (x @ torch.randn(inputs, classes, generator=draws)).argmax(1)


def image_net(rng: int = 0) -> nn.Sequential:
    draws = torch.Generator().manual_seed(rng)
    net = nn.Sequential(
        nn.Conv2d(2, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.LeakyReLU(0.2),
        nn.AvgPool2d(2),
        nn.Conv2d(12, 16, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(64, 32),
        nn.LeakyReLU(0.2),
        nn.Linear(32, 4),
    )
    with torch.no_grad():
        for layer in dense_layers(net).values():
            fan_in = layer.weight[0].numel()
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=draws) / math.sqrt(fan_in))
    return net


def images(rows: int = 48, rng: int = 1) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(rng)
    x = torch.randn(rows, 2, 4, 4, generator=draws)
    return x, torch.randint(0, 4, (rows,), generator=draws)


def dense_layers(net: nn.Module) -> dict[str, Any]:
    return {name: module for name, module in net.named_modules() if isinstance(module, LAYERS)}


def levels(method: str, density: float) -> int:
    """Rounds of one schedule: a fifth goes between two; cyclic and SCULPT take four."""
    if method in ("cyclic", "sculpt"):
        return 4
    kept, count = 1.0, 1
    while kept > density * (1 + 1e-9):
        kept, count = kept * 0.8, count + 1
    return count


class Run:
    """One network in training by one method, with whatever the table says that it needs."""

    def __init__(
        self,
        method: str | Recipe,
        density: float,
        net: nn.Module,
        data: tuple[Tensor, Tensor],
        steps: int = 60,
        make: Callable[[Any], torch.optim.Optimizer] | None = None,
        rng: int = 3,
        **options: Any,
    ) -> None:
        name = method if isinstance(method, str) else method.name
        needs = set(str(TABLE.loc[name, "needs"]).split(", ")) if name in TABLE.index else {"optimizer", "steps"}
        self.net, self.data, self.steps, self.done = net, data, steps, 0
        make = make or (lambda parameters: torch.optim.AdamW(parameters, lr=5e-3, weight_decay=0.01))
        inner = make(net.parameters())
        self.optimizer = sf.sparsity.SAM(inner) if "closure" in needs else inner
        self.closure = "closure" in needs
        self.scheduler = None
        if "scheduler" in needs:
            length = steps // levels(name, density)
            self.scheduler = torch.optim.lr_scheduler.LambdaLR(
                self.optimizer, lambda t: 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(t / length, 1)))
            )
        looks = "data" in needs or name == "synflow"  # SynFlow takes the shape alone
        given = {"data": data, "loss": functional.cross_entropy} if looks else {}
        self.topology = sf.sparsify(
            net,
            density,
            method,
            optimizer=self.optimizer,
            scheduler=self.scheduler,
            steps=steps,
            rng=rng,
            **(given | options),
        )

    def go(self, until: int | None = None) -> Run:
        x, y = self.data

        def closure() -> Tensor:
            loss = functional.cross_entropy(self.net(x[rows]), y[rows])
            loss.backward()
            return loss

        while self.done < (self.steps if until is None else until):
            half = len(x) // 2
            rows = slice(0, half) if self.done % 2 else slice(half, None)
            closure()
            self.optimizer.step(closure) if self.closure else self.optimizer.step()
            if self.scheduler is not None:
                self.scheduler.step()
            self.topology.step()
            self.optimizer.zero_grad()
            self.done += 1
        return self

    def state(self) -> dict[str, Any]:
        found = {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "topology": self.topology.state_dict(),
            "done": self.done,
        }
        return found | ({"scheduler": self.scheduler.state_dict()} if self.scheduler else {})

    def resume(self, state: dict[str, Any]) -> Run:
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler:
            self.scheduler.load_state_dict(state["scheduler"])
        self.topology.load_state_dict(state["topology"])
        self.done = state["done"]
        return self


class Seen(TorchFunctionMode):
    """The weights that linear layers and convolutions are really computed with."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(self, function: Any, types: Any, given: Any = (), options: Any = None) -> Any:
        if function in (functional.linear, functional.conv1d, functional.conv2d, torch.conv1d, torch.conv2d):
            self.weights.append((given[1] if len(given) > 1 else options["weight"]).detach().clone())
        return function(*given, **(options or {}))


def seen_weights(net: nn.Module, x: Tensor) -> list[Tensor]:
    with Seen() as seen, torch.no_grad():
        net(x)
    return seen.weights


def bits(a: Tensor, b: Tensor) -> bool:
    """Same bits but for the sign of zero, which no count sees."""
    return torch.equal(a, b)


def counts(net: nn.Module) -> list[int]:
    return [int(mask.sum()) for mask in sf.sparsity.masks(net).values()]


# ---------------------------------------------------------------- 20: density and export, every method


def allowed(method: str, net: nn.Module, total: int) -> float:
    """How far from the count a method may end: nothing, or half of the largest number of units (pattern fan-in)."""
    return max(len(layer.weight) for layer in dense_layers(net).values()) / 2 if method in FAN_IN else 0


@pytest.mark.parametrize(("kind", "density"), [("rows", 0.1), ("rows", 0.05), ("images", 0.1)])
@pytest.mark.parametrize("method", METHODS)
def test_experiment_20(method: str, kind: str, density: float) -> None:
    """Count exact; the weights of the forward pass, of the export and of the baked network are the same bits."""
    net, data = (mlp(), batch()) if kind == "rows" else (image_net(), images())
    total = sum(layer.weight.numel() for layer in dense_layers(net).values())
    if method in FAN_IN and kind == "rows":
        density = 0.1  # one weight for every unit needs more than 0.05
    plain = copy.deepcopy(net)
    run = Run(method, density, net, data).go()
    found = sf.sparsity.masks(net)
    kept = sum(int(mask.sum()) for mask in found.values())
    assert list(found) == list(dense_layers(plain))
    assert abs(kept - round(density * total)) <= allowed(method, plain, total)
    assert sf.density(net) == kept / total

    if method not in NOISY:
        training = copy.deepcopy(net).train()
        assert all(
            bits(a, b) for a, b in zip(seen_weights(training, data[0]), seen_weights(net.eval(), data[0]), strict=True)
        )
    net.eval()
    used, out = seen_weights(net, data[0]), net(data[0]).detach()
    exported = sf.masks.dense_state_dict(net)
    plain.load_state_dict(exported)
    plain.eval()
    baked = sf.bake(copy.deepcopy(net))
    assert [type(module) for module in baked.modules()] == [type(module) for module in plain.modules()]
    for name, weight in zip(found, used, strict=True):
        assert bits(exported[f"{name}.weight"], weight), name
        assert bits(baked.get_submodule(name).weight, weight), name
        assert not weight[~found[name]].any(), name
    assert torch.equal(plain(data[0]), out)
    assert torch.equal(baked(data[0]), out)
    # What grew at zero on a unit that leads nowhere has no gradient and stays; all other weights are not zero.
    functional.cross_entropy(baked(data[0]), data[1]).backward()
    stuck = 0
    for name, weight in zip(found, used, strict=True):
        zeros = found[name] & (weight == 0)
        assert not baked.get_submodule(name).weight.grad[zeros].any(), name
        stuck += int(zeros.sum())
    assert stuck == 0 or method in GROWING
    nonzero = sum(int(weight.count_nonzero()) for weight in used)
    assert nonzero == kept - stuck
    assert sf.density(baked) == nonzero / total
    assert run.topology.state_dict()["steps_done"] == run.steps


# ---------------------------------------------------------------- resuming, every method


def same(a: Any, b: Any, where: str = "") -> None:
    """Equal to the bit, through nested states."""
    if isinstance(a, Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            same(left, right, f"{where}[{i}]")
    elif not callable(a):
        assert a == b or (a != a and b != b), where


@pytest.mark.parametrize("method", METHODS)
def test_resumed_training_is_the_same_to_the_bit(method: str) -> None:
    """Saved early, in the middle and late; loaded with weights_only into another network set up in the same way."""
    data, steps = batch(), 48
    whole = Run(method, 0.1, mlp(), data, steps)
    files = []
    for at in (7, 23, 41):
        file = io.BytesIO()
        torch.save(whole.go(at).state(), file)
        files.append(file)
    whole.go()
    for file in files:
        file.seek(0)
        other = Run(method, 0.1, mlp(rng=99), data, steps)
        other.resume(torch.load(file, weights_only=True)).go()
        for part in ("net", "topology"):
            same(whole.state()[part], other.state()[part], f"{method} {part}")
        same(whole.state()["optimizer"]["state"], other.state()["optimizer"]["state"], f"{method} optimizer")
        same(sf.sparsity.masks(whole.net), sf.sparsity.masks(other.net), f"{method} masks")


# ---------------------------------------------------------------- 31: reproducible over threads


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


QUICK = ["static", "rigl"]


@pytest.mark.parametrize("method", [pytest.param(m, marks=[] if m in QUICK else pytest.mark.slow) for m in METHODS])
def test_experiment_31(method: str, threads: Callable[[int], None]) -> None:
    """One rng gives the same masks with one thread and with two, whatever else draws random numbers."""
    found = []
    for count in (1, 2):
        threads(count)
        torch.manual_seed(count)
        np.random.seed(count)  # noqa: NPY002  # the global state is what must not matter
        found.append(sf.sparsity.masks(Run(method, 0.1, mlp(), batch(), 16).go().net))
    same(*found)


@pytest.mark.parametrize("method", ["static", "snip", "grasp", pytest.param("synflow", marks=pytest.mark.slow)])
def test_experiment_31_where_threads_are_used(method: str, threads: Callable[[int], None]) -> None:
    """Matrices of 400 × 400, which torch splits over threads: sums may differ in the last bit, masks may not."""
    found = []
    for count in (1, 2):
        threads(count)
        net = mlp((64, 400, 400, 10), rng=5)
        given = {"data": batch(256, 64, 10), "loss": functional.cross_entropy} if method != "static" else {}
        sf.sparsify(net, 0.05, method, rng=11, **given)
        found.append(sf.sparsity.masks(net))
    same(*found)


@pytest.mark.parametrize("method", ["static", "rigl", "set", "srigl", "chts"])
def test_another_rng_gives_other_masks(method: str) -> None:
    one, two = (sf.sparsity.masks(Run(method, 0.1, mlp(), batch(), 10, rng=rng).net) for rng in (0, 1))
    assert any(not torch.equal(one[name], two[name]) for name in one)


# ---------------------------------------------------------------- 4: ratios of the layouts


def shares(shapes: list[tuple[int, ...]], layout: str) -> list[float]:
    """Relative amounts a_l: counts are min(N_l, c · a_l)."""
    found = []
    for out, fan_in, *kernel in shapes:
        n = out * fan_in * math.prod(kernel)
        if layout == "uniform":
            found.append(float(n))
        elif layout == "balanced":
            found.append(1.0)
        elif layout == "er":
            found.append(n * (out + fan_in) / (out * fan_in))
        elif layout == "erk":
            found.append(float(out + fan_in + sum(kernel)))  # N · (n_in + n_out + k_h + k_w) / (n_in n_out k_h k_w)
    return found


def bisect(function: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return (low + high) / 2


def expected_counts(shapes: list[tuple[int, ...]], density: float, layout: str) -> np.ndarray:
    """Real-valued counts that sum to density · N, by bisection on the one unknown of each layout."""
    sizes = np.array([math.prod(shape) for shape in shapes], dtype=float)
    total = round(density * sizes.sum())
    if layout == "pyramidal":
        least = np.minimum(sizes, [3.0 * shape[0] for shape in shapes])
        depth = np.arange(1, len(shapes) + 1)
        r = bisect(lambda r: np.maximum(least, sizes * r**depth).sum() - total, 0.0, 1.0)
        return np.maximum(least, sizes * r**depth)
    a = np.array(shares(shapes, layout))
    c = bisect(lambda c: np.minimum(sizes, c * a).sum() - total, 0.0, float((sizes / a).max()))
    return np.minimum(sizes, c * a)


def chain(shapes: list[tuple[int, ...]]) -> nn.Sequential:
    """Layers of these shapes; only their weights matter here."""
    kinds = {2: nn.Linear, 3: nn.Conv1d, 4: nn.Conv2d}
    return nn.Sequential(*(kinds[len(shape)](shape[1], shape[0], *shape[2:3]) for shape in shapes))


SHAPES: dict[str, list[tuple[int, ...]]] = {
    "mlp": [(300, 784), (100, 300), (10, 100)],
    "tiny head": [(64, 200), (256, 64), (256, 256), (2, 256)],
    "vgg": [(16, 3, 3, 3), (32, 16, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3), (10, 128)],
    "mixed": [(8, 1, 5), (40, 8, 5), (400, 320), (3, 400)],
}


@pytest.mark.parametrize("density", [0.02, 0.05, 0.1, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("layout", ["uniform", "er", "erk", "balanced", "pyramidal"])
def test_experiment_4(layout: str, shapes: list[tuple[int, ...]], density: float) -> None:
    """Every layer within one weight of the solution in real numbers, the sum exact, also where layers are full."""
    total = round(density * sum(math.prod(shape) for shape in shapes))
    if layout == "pyramidal" and sum(min(math.prod(s), 3 * s[0]) for s in shapes) > total:
        with pytest.raises(ValueError, match="density"):
            sf.sparsify(chain(shapes), density, "static", layout, rng=0)
        return
    net = chain(shapes)
    sf.sparsify(net, density, "static", layout, rng=0)
    found = np.array(counts(net))
    assert found.sum() == total
    assert np.abs(found - expected_counts(shapes, density, layout)).max() < 1


def test_experiment_4_covers_full_layers_and_floors() -> None:
    """The cases above are not idle: layers are full under ER, ERK and balanced, and floors bind under pyramidal."""
    sizes = {name: np.array([math.prod(s) for s in shapes]) for name, shapes in SHAPES.items()}
    for layout in ("er", "erk", "balanced"):
        assert any((expected_counts(SHAPES[name], 0.3, layout) >= sizes[name]).any() for name in SHAPES)
    bound = []
    for shapes, density in itertools.product(SHAPES.values(), (0.02, 0.05, 0.1)):
        rows = np.array([min(math.prod(s), 3 * s[0]) for s in shapes])
        if rows.sum() < density * sum(math.prod(s) for s in shapes):
            bound.append((expected_counts(shapes, density, "pyramidal") <= rows).any())
    assert any(bound)
    assert not all(bound)


def test_pyramidal_root_is_unique() -> None:
    """Where no floor binds, kept shares are powers of one r in (0, 1), and the polynomial has no other root there."""
    shapes = SHAPES["mlp"]
    sizes = np.array([math.prod(s) for s in shapes], dtype=float)
    for density in (0.3, 0.6, 0.9):
        net = chain(shapes)
        sf.sparsify(net, density, "static", "pyramidal", rng=0)
        kept = np.array(counts(net)) / sizes
        roots = np.roots([*sizes[::-1], -density * sizes.sum()])
        real = roots[(np.abs(roots.imag) < 1e-9) & (roots.real > 0) & (roots.real < 1)].real
        assert len(real) == 1
        np.testing.assert_allclose(kept, real[0] ** np.arange(1, 4), atol=1e-3)


def test_random_masks_are_uniform() -> None:
    """Each position is kept in n of 300 masks, n binomial: within 4.5 standard errors for 200 positions."""
    kept = torch.zeros(10, 20)
    for rng in range(300):
        net = nn.Linear(20, 10)
        sf.sparsify(net, 0.2, "static", rng=rng)
        kept += sf.sparsity.masks(net)[""]
    assert ((kept - 60).abs() <= 4.5 * math.sqrt(300 * 0.2 * 0.8)).all()


# ---------------------------------------------------------------- scores against dense formulas


def small(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """Smooth, so that second derivatives say something, and small enough for a whole Hessian."""
    net = mlp((7, 9, 6, 4), rng=4, dtype=dtype)
    net[1], net[3] = nn.Tanh(), nn.Tanh()
    return net


def small_batch(rows: int = 40, classes: bool = True) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(8)
    x = torch.randn(rows, 7, generator=draws, dtype=torch.float64) * torch.linspace(0.3, 2, 7, dtype=torch.float64)
    y = torch.randint(0, 4, (rows,), generator=draws) if classes else torch.randn(rows, 4, generator=draws).double()
    return x, y


def by_weights(net: nn.Sequential, x: Tensor, y: Tensor, loss: Any, temperature: float = 1.0) -> Any:
    """The loss as a function of one vector that holds all weights, and that vector; biases stay."""
    linear = [module for module in net if isinstance(module, nn.Linear)]
    shapes = [layer.weight.shape for layer in linear]
    start = torch.cat([layer.weight.detach().flatten() for layer in linear])

    def value(vector: Tensor) -> Tensor:
        parts = torch.split(vector, [shape.numel() for shape in shapes])
        weights = iter(part.view(shape) for part, shape in zip(parts, shapes, strict=True))
        h = x
        for module in net:
            h = (
                functional.linear(h, next(weights), module.bias.detach())
                if isinstance(module, nn.Linear)
                else module(h)
            )
        return loss(h / temperature, y)

    return value, start


def flat_mask(net: nn.Module) -> Tensor:
    return torch.cat([mask.flatten() for mask in sf.sparsity.masks(net).values()])


def top(scores: Tensor, count: int) -> Tensor:
    """Mask of the largest; the gap at the cut must be a real one."""
    order = scores.argsort(descending=True)
    assert scores[order[count - 1]] > scores[order[count]] * (1 + 1e-6) or scores[order[count]] < 0
    mask = torch.zeros(len(scores), dtype=torch.bool)
    mask[order[:count]] = True
    return mask


def at_once(method: str, net: nn.Module, density: float, x: Tensor, y: Tensor, loss: Any, **options: Any) -> None:
    """Prune a network that does not move: one step of length zero, then the topology prunes."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    steps = sf.sparsify(net, density, method, optimizer=optimizer, steps=2, data=(x, y), loss=loss, rng=0, **options)
    for _ in range(2):
        loss(net(x), y).backward()
        optimizer.step()
        steps.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("density", [0.5, 0.2, 0.05])
def test_snip_is_gradient_times_weight(density: float) -> None:
    net, (x, y) = small(), small_batch()
    value, start = by_weights(net, x, y, functional.cross_entropy)
    slope = torch.autograd.functional.jacobian(value, start)
    sf.sparsify(net, density, "snip", data=(x, y), loss=functional.cross_entropy)
    assert torch.equal(flat_mask(net), top((slope * start).abs(), round(density * len(start))))


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("density", [0.5, 0.2, 0.05])
def test_grasp_is_hessian_times_gradient(density: float, classes: bool) -> None:
    """Kept are the largest w · (H g), with logits of classes divided by 200; H is the whole Hessian."""
    net, (x, y) = small(), small_batch(classes=classes)
    loss: Any = functional.cross_entropy if classes else functional.mse_loss
    value, start = by_weights(net, x, y, loss, 200.0 if classes else 1.0)
    slope = torch.autograd.functional.jacobian(value, start)
    hessian = torch.autograd.functional.hessian(value, start)
    sf.sparsify(net, density, "grasp", data=(x, y), loss=loss)
    assert torch.equal(flat_mask(net), top(start * (hessian @ slope), round(density * len(start))))


def test_grasp_keeps_what_carries_the_gradient() -> None:
    """The sign, from finite differences of ½ ‖g‖²: shrinking a weight that goes lowers it least, or raises it."""
    net, (x, y) = small(), small_batch(classes=False)
    value, start = by_weights(net, x, y, functional.mse_loss)

    def flow(vector: Tensor) -> float:
        return float(torch.autograd.functional.jacobian(value, vector).square().sum() / 2)

    step = 1e-6
    change = torch.zeros_like(start)
    for q in range(len(start)):
        shrunk = start.clone()
        shrunk[q] *= 1 - step
        change[q] = (flow(shrunk) - flow(start)) / step
    sf.sparsify(net, 0.3, "grasp", data=(x, y), loss=functional.mse_loss)
    kept = flat_mask(net)
    assert change[kept].max() < change[~kept].min()


@pytest.mark.parametrize("density", [0.5, 0.1])
def test_taylor_is_the_squared_change_of_minibatches(density: float) -> None:
    """Mean over parts of 32 examples of (w · g)²; arXiv:1906.10771, equation 8."""
    net, (x, y) = small(), small_batch(96)
    score = 0
    for part in range(3):
        rows = slice(32 * part, 32 * part + 32)
        value, start = by_weights(net, x[rows], y[rows], functional.cross_entropy)
        score = score + (torch.autograd.functional.jacobian(value, start) * start) ** 2 / 3
    at_once("taylor", net, density, x, y, functional.cross_entropy)
    assert torch.equal(flat_mask(net), top(score, round(density * len(start))))


def inputs_of(net: nn.Sequential, x: Tensor) -> list[Tensor]:
    found = []
    with torch.no_grad():
        for module in net:
            if isinstance(module, nn.Linear):
                found.append(x)
            x = module(x)
    return found


@pytest.mark.parametrize("density", [0.6, 0.35])
def test_wanda_is_magnitude_times_activity(density: float) -> None:
    """In every unit the largest |w_ij| ‖x_j‖₂; what stays keeps its value."""
    net, (x, y) = small(), small_batch()
    before, seen = copy.deepcopy(net), inputs_of(net, x)
    at_once("wanda", net, density, x, y, functional.cross_entropy)
    linear = [module for module in before if isinstance(module, nn.Linear)]
    kept = list(sf.sparsity.masks(net).values())
    for layer, h, mask, used in zip(linear, seen, kept, seen_weights(net, x), strict=True):
        score = layer.weight.detach().abs() * h.norm(dim=0)
        fan_in = int(mask[0].sum())
        for row in range(len(score)):
            assert torch.equal(mask[row], top(score[row], fan_in))
        assert torch.equal(used, torch.where(mask, layer.weight, 0.0))
    sizes = [mask.numel() for mask in kept]
    assert abs(sum(counts(net)) - density * sum(sizes)) <= 9 / 2  # half of the largest step, units of a layer


def brain_surgeon(weight: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss that is met until each weight goes, and when: one removal after another, by inverses of what is left."""
    score, turn = np.zeros_like(weight), np.zeros(weight.shape, dtype=int)
    for row, start in enumerate(weight):
        w, alive, worst = start.copy(), list(range(len(start))), -np.inf
        for step in range(len(start)):
            inverse = np.linalg.inv(h[np.ix_(alive, alive)])
            loss = w[alive] ** 2 / (2 * np.diag(inverse))
            at = int(loss.argmin())
            worst = max(worst, loss[at])
            score[row, alive[at]], turn[row, alive[at]] = worst, step
            w[alive] -= w[alive[at]] * inverse[:, at] / inverse[at, at]
            del alive[at]
    return score, turn


@pytest.mark.parametrize("density", [0.6, 0.3])
def test_obc_is_the_optimal_brain_surgeon(density: float) -> None:
    """Masks by removals one after another; weights that stay solve the least squares of their layer."""
    net, (x, y) = small(), small_batch(200)
    before, seen = copy.deepcopy(net), inputs_of(net, x)
    at_once("obc", net, density, x, y, functional.cross_entropy)
    linear = [module for module in before if isinstance(module, nn.Linear)]
    kept = [mask.numpy() for mask in sf.sparsity.masks(net).values()]
    used = [weight.numpy() for weight in seen_weights(net, x)]
    for layer, activity, mask, w in zip(linear, seen, kept, used, strict=True):
        h = 2 * (activity.T @ activity).numpy() / len(x)
        h += 0.01 * np.diag(h).mean() * np.eye(len(h))  # damping of the published code
        old = layer.weight.detach().numpy()
        score, turn = brain_surgeon(old, h)
        assert score[mask].min() >= score[~mask].max() * (1 - 1e-9)
        for row in range(len(old)):
            s = mask[row]
            if 0 < s.sum() < len(s):
                assert turn[row][s].min() > turn[row][~s].max()
            expected = np.zeros(len(h))
            expected[s] = np.linalg.solve(h[np.ix_(s, s)], h[s] @ old[row])
            np.testing.assert_allclose(w[row], expected, atol=1e-8)


def test_obc_loses_little_against_enumeration() -> None:
    """Units of eight correlated inputs: near the best of all subsets, and nearer than magnitude with a refit."""
    mine, largest = [], []
    for rng in range(12):
        draws = torch.Generator().manual_seed(rng)
        mix = torch.randn(8, 8, generator=draws, dtype=torch.float64)
        x = torch.randn(400, 8, generator=draws, dtype=torch.float64) @ mix
        net = nn.Linear(8, 1, bias=False, dtype=torch.float64)
        with torch.no_grad():
            net.weight.copy_(torch.randn(1, 8, generator=draws, dtype=torch.float64))
        old = net.weight.detach().clone()
        y = x @ old.T
        at_once("obc", net, 0.5, x, y, functional.mse_loss)

        def loss(kept: list[int], x: Tensor = x, y: Tensor = y) -> float:
            fit = torch.linalg.lstsq(x[:, kept], y).solution
            return float(((x[:, kept] @ fit - y) ** 2).sum())

        best = min(loss(list(kept)) for kept in itertools.combinations(range(8), 4))
        reached = float(((net(x) - y) ** 2).sum().detach())
        assert best * (1 - 1e-9) <= reached
        assert reached <= 1.05 * loss(sf.sparsity.masks(net)[""][0].nonzero().flatten().tolist())
        mine.append(reached / best)
        largest.append(loss(old[0].abs().argsort(descending=True)[:4].tolist()) / best)
    assert np.median(mine) < np.median(largest)
    assert np.mean(np.log(mine)) < np.mean(np.log(largest))


def own_synflow(weights: list[np.ndarray], density: float, rounds: int) -> list[np.ndarray]:
    """Masks by pruning to density^(r / rounds); the score of a weight is its part of 1ᵀ ∏ |W| 1."""
    magnitudes = [np.abs(w) for w in weights]
    masks = [np.ones(w.shape, dtype=bool) for w in weights]
    total = sum(w.size for w in weights)
    for r in range(1, rounds + 1):
        kept = [w * mask for w, mask in zip(magnitudes, masks, strict=True)]
        into = [np.ones(kept[0].shape[1])]
        for w in kept:
            into.append(w @ into[-1])
        out = [np.ones(kept[-1].shape[0])]
        for w in reversed(kept):
            out.append(w.T @ out[-1])
        out.reverse()
        score = [w * np.outer(out[i + 1], into[i]) for i, w in enumerate(kept)]
        flat = np.concatenate([s.ravel() / into[-1].sum() for s in score])
        flat[~np.concatenate([mask.ravel() for mask in masks])] = -1
        count = round(density ** (r / rounds) * total)
        chosen = np.zeros(total, dtype=bool)
        chosen[np.argsort(-flat, kind="stable")[:count]] = True
        parts = np.split(chosen, np.cumsum([w.size for w in weights])[:-1])
        masks = [part.reshape(w.shape) for part, w in zip(parts, weights, strict=True)]
    return masks


@pytest.mark.parametrize("density", [0.3, 0.05, 0.01])
def test_synflow_is_a_hundred_rounds_of_flow(density: float) -> None:
    """Exactly the masks of the formula, which at low density are not those of a single round."""
    net = mlp((20, 40, 40, 8), rng=6)
    weights = [layer.weight.detach().double().numpy() for layer in dense_layers(net).values()]
    sf.sparsify(net, density, "synflow")
    found = [mask.numpy() for mask in sf.sparsity.masks(net).values()]
    for mask, expected in zip(found, own_synflow(weights, density, 100), strict=True):
        assert np.array_equal(mask, expected)
    if density <= 0.05:
        once = own_synflow(weights, density, 1)
        assert any(not np.array_equal(mask, other) for mask, other in zip(found, once, strict=True))


@pytest.mark.parametrize("layout", ["global", "uniform", "erk", "balanced"])
def test_magnitude_over_the_network_and_within_layers(layout: str) -> None:
    net, (x, y) = small(), small_batch()
    weights = [layer.weight.detach().abs().flatten() for layer in dense_layers(net).values()]
    at_once("one-shot", net, 0.25, x, y, functional.cross_entropy, layout=layout)
    found = [mask.flatten() for mask in sf.sparsity.masks(net).values()]
    if layout == "global":
        assert torch.equal(torch.cat(found), top(torch.cat(weights), round(0.25 * sum(map(len, weights)))))
        return
    shapes = [tuple(mask.shape) for mask in sf.sparsity.masks(net).values()]
    expected = expected_counts(shapes, 0.25, layout)
    for mask, weight, count in zip(found, weights, expected, strict=True):
        assert abs(int(mask.sum()) - count) < 1
        if int(mask.sum()) < len(mask):
            assert torch.equal(mask, top(weight, int(mask.sum())))


# ---------------------------------------------------------------- patterns


def follows(pattern: str, mask: Tensor, last: bool) -> bool:
    """Whether a mask is one of those that a pattern allows."""
    rows = mask.flatten(1)
    if ":" in pattern:
        n, m = map(int, pattern.split(":"))
        return bool((rows.reshape(len(rows), -1, m).sum(2) == n).all())
    if pattern == "fan-in":
        return bool((rows.sum(1) == rows[0].sum()).all())
    if pattern == "shared-fan-in":
        groups = rows.split(16)
        return follows("fan-in", mask, last) and all(bool((group == group[0]).all()) for group in groups)
    whole = rows.all(1) | ~rows.any(1)
    return bool(whole.all()) and (not last or bool(rows.all()))


PATTERNS = [("2:4", 0.5), ("1:4", 0.25), ("fan-in", 0.25), ("shared-fan-in", 0.25), ("neurons", 0.5)]


@pytest.mark.parametrize(("pattern", "density"), PATTERNS)
@pytest.mark.parametrize("method", ["static", "snip", "synflow", "gmp", "one-shot", "spred", "lrr", "sign-in", "ac-dc"])
def test_patterns_hold_exactly(method: str, pattern: str, density: float) -> None:
    net = mlp((24, 40, 32, 8))
    layout = "uniform" if ":" in pattern else None
    Run(method, density, net, batch(64, 24, 8), 40, pattern=pattern, layout=layout).go()
    found = list(sf.sparsity.masks(net).values())
    for i, mask in enumerate(found):
        assert follows(pattern, mask, last=i == len(found) - 1), (method, pattern, i)
    step = {"neurons": 40, "fan-in": 40, "shared-fan-in": 40}.get(pattern, 0)
    wanted = round(density * sum(mask.numel() for mask in found))
    assert abs(sum(int(mask.sum()) for mask in found) - wanted) <= step / 2


@pytest.mark.parametrize(("pattern", "density"), PATTERNS)
@pytest.mark.parametrize("method", METHODS)
def test_patterns_hold_or_are_refused(method: str, pattern: str, density: float) -> None:
    """A method that cannot keep to a pattern says so, and leaves the network as it was."""
    net = mlp((24, 40, 32, 8))
    try:
        run = Run(method, density, net, batch(64, 24, 8), 24, pattern=pattern)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "pattern" in refusal
        assert sf.sparsity.masks(net) == {}
        return
    found = list(sf.sparsity.masks(run.go().net).values())
    if method != "srigl":  # its dead units have no weights
        assert all(follows(pattern, mask, last=i == len(found) - 1) for i, mask in enumerate(found))


def test_patterns_keep_the_best_sets() -> None:
    """2:4, fan-in, groups of 16 and units by enumeration of what they allow, on magnitudes."""
    draws = torch.Generator().manual_seed(0)
    start = torch.randn(20, 12, generator=draws)
    for pattern, density in (("2:4", 0.5), ("fan-in", 0.25), ("shared-fan-in", 0.25), ("neurons", 0.5)):
        net = nn.Sequential(nn.Linear(12, 20), nn.Linear(20, 4))
        net[0].weight.data.copy_(start)
        run = Run("one-shot", density, net, batch(16, 12, 4), 2, lambda p: torch.optim.SGD(p, 0.0), pattern=pattern)
        mask = next(iter(sf.sparsity.masks(run.go().net).values()))
        size = start.abs()
        for row in range(20):
            if pattern == "2:4":
                for at in range(0, 12, 4):
                    best = max(itertools.combinations(range(4), 2), key=lambda c: size[row, [at + i for i in c]].sum())
                    assert mask[row, at : at + 4].nonzero().flatten().tolist() == sorted(best)
            elif pattern != "neurons":
                group = size[row] if pattern == "fan-in" else size[row // 16 * 16 : row // 16 * 16 + 16].sum(0)
                assert torch.equal(mask[row], top(group, int(mask[row].sum())))
        if pattern == "neurons":
            assert torch.equal(mask[:, 0], top(size.sum(1), int(mask[:, 0].sum())))


@pytest.mark.parametrize("density", [0.2, 0.1, 0.05, 0.02])
@pytest.mark.parametrize("method", ["srigl", "wanda", "static"])
def test_one_fan_in_reaches_the_density_within_a_thousandth(method: str, density: float) -> None:
    """784-300-100-10: whole units, and yet 0.1% of the density, before the first step and after a pruning."""
    net = mlp((784, 300, 100, 10))
    x, y = batch(64, 784, 10)
    if method == "wanda":
        at_once(method, net, density, x, y, functional.cross_entropy)
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        sf.sparsify(net, density, method, optimizer=optimizer, steps=100, pattern="fan-in", rng=0)
    assert all(follows("fan-in", mask, last=False) for mask in sf.sparsity.masks(net).values())
    assert abs(sf.density(net) / density - 1) <= 1e-3


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.9])
def test_srigl_keeps_one_fan_in_over_live_units(gamma: float) -> None:
    """Experiment 18: at every step all units of a layer have as many weights, or none."""
    net = mlp((24, 40, 32, 8))
    run = Run(recipe("srigl", gamma=gamma), 0.15, net, batch(64, 24, 8), 60)
    for at in range(1, 61):
        run.go(at)
        for mask in sf.sparsity.masks(net).values():
            fan_in = mask.sum(1)
            live = fan_in[fan_in > 0]
            assert (live == live[0]).all()
            assert gamma > 0 or len(live) == len(fan_in)
        assert (list(sf.sparsity.masks(net).values())[-1].sum(1) > 0).all()


# ---------------------------------------------------------------- the forms of the calls, and bad input


def test_calling_forms() -> None:
    net = mlp()
    opt = torch.optim.AdamW(net.parameters(), lr=1e-2)
    topology = sf.sparsify(net, density=0.05, method="rigl", optimizer=opt, steps=5000)
    assert callable(topology.step)
    assert isinstance(topology.state_dict(), dict)
    assert isinstance(sf.density(net), float)
    assert round(sf.density(net) * 1528) == round(0.05 * 1528)
    found = sf.sparsity.masks(net)
    assert list(found) == ["0", "2", "4"]
    assert all(mask.dtype == torch.bool for mask in found.values())
    table = sf.list_methods()
    wanted = {"method", "layout", "score", "topology", "parameterisation", "step", "stage", "needs", "memory"}
    assert wanted <= set(table.columns)
    baked = sf.bake(net)
    assert baked is net
    assert sf.sparsity.masks(net) == {}
    assert not any("parametrizations" in name for name in net.state_dict())
    assert not any(hasattr(module, "parametrizations") for module in net.modules())


def refused(net: nn.Module, *words: str, **given: Any) -> None:
    """A ValueError that names these, after which network and optimizer are as before."""
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = given.get("optimizer")
    groups = [len(group["params"]) for group in optimizer.param_groups] if optimizer else []
    with pytest.raises(ValueError, match=r"\S") as caught:
        sf.sparsify(net, **given)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    after = net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert groups == ([len(group["params"]) for group in optimizer.param_groups] if optimizer else [])


@pytest.mark.parametrize("density", [0.0, -0.1, 1.0001, 2, float("nan"), float("inf")])
@pytest.mark.parametrize("method", ["static", "gmp", "rigl", "spred", "lrr"])
def test_impossible_densities(method: str, density: float) -> None:
    net = mlp()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5)
    refused(net, "density", density=density, method=method, optimizer=optimizer, steps=100, scheduler=schedule)


@pytest.mark.parametrize(
    ("density", "options"),
    [
        (0.001, {"layout": "erk"}),
        (0.001, {"layout": "uniform"}),
        (0.001, {"layout": "balanced"}),
        (0.05, {"layout": "pyramidal"}),
        (0.02, {"layout": "critical"}),
        (0.03, {"pattern": "fan-in"}),
        (0.01, {"pattern": "neurons"}),
        (0.3, {"pattern": "2:4", "layout": "uniform"}),
    ],
)
def test_unreachable_densities(density: float, options: dict[str, str]) -> None:
    refused(mlp(), "density", density=density, method="static", **options)


def test_networks_that_cannot_be_masked() -> None:
    for empty in (nn.Sequential(), nn.ReLU(), nn.Sequential(nn.BatchNorm1d(3), nn.Tanh())):
        refused(empty, "net", density=0.1)
    frozen = mlp()
    frozen[2].weight.requires_grad_(False)
    refused(frozen, "2", "frozen", density=0.1)
    tied = mlp((20, 20, 20, 5))
    tied[2].weight = tied[0].weight
    refused(tied, "0.weight", "2.weight", density=0.1)
    twice = mlp()
    sf.sparsify(twice, 0.1, rng=0)
    refused(twice, "0", "already", density=0.1)
    other = mlp()
    nn.utils.parametrizations.weight_norm(other[2])
    refused(other, "2", "parametri", density=0.1)
    partly = mlp()
    sf.sparsify(partly, 0.1, layers=["0"], rng=0)
    assert list(sf.sparsity.masks(partly)) == ["0"]
    refused(mlp(), "nowhere", density=0.1, layers=["nowhere"])
    words = nn.ModuleDict({"words": nn.Embedding(30, 8), "out": nn.Linear(8, 30, bias=False)})
    words["out"].weight = words["words"].weight
    refused(words, "out", "words", density=0.1)


@pytest.mark.parametrize("method", [m for m in METHODS if "data" in str(TABLE.loc[m, "needs"]).split(", ")])
def test_methods_that_look_at_data_ask_for_it(method: str) -> None:
    x, y = batch()
    for missing in ("data", "loss") if method in ("snip", "grasp", "taylor") else ("data",):  # others use no loss
        net = mlp()
        given = {"data": (x, y), "loss": functional.cross_entropy}
        del given[missing]
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        refused(net, missing, method, density=0.1, method=method, optimizer=optimizer, steps=50, **given)


@pytest.mark.parametrize("method", [m for m in METHODS if set(str(TABLE.loc[m, "needs"]).split(", ")) - {"–", "data"}])
def test_methods_ask_for_what_the_table_says(method: str) -> None:
    for missing in set(str(TABLE.loc[method, "needs"]).split(", ")) & {"optimizer", "steps", "scheduler", "closure"}:
        net = mlp()
        inner = torch.optim.SGD(net.parameters(), lr=0.1)
        sam = method == "sam" and missing != "closure"
        given: dict[str, Any] = {"optimizer": sf.sparsity.SAM(inner) if sam else inner, "steps": 120}
        given["scheduler"] = torch.optim.lr_scheduler.StepLR(given["optimizer"], 5)
        if "data" in TABLE.loc[method, "needs"]:
            given |= {"data": batch(), "loss": functional.cross_entropy}
        given.pop(missing, None)
        if missing == "optimizer":
            del given["scheduler"]
        refused(net, "SAM" if missing == "closure" else missing, density=0.1, method=method, **given)


def test_unknown_names_and_foreign_optimizers() -> None:
    net, other = mlp(), mlp()
    refused(net, "magic", density=0.1, method="magic")
    refused(net, "nowhere", density=0.1, method="static", layout="nowhere")
    refused(net, "sideways", density=0.1, method="static", pattern="sideways")
    foreign = torch.optim.SGD(other.parameters(), lr=0.1)
    refused(net, "optimizer", density=0.1, method="rigl", optimizer=foreign, steps=100)
    refused(net, "rigl", "set", density=0.1, method="rigl+set", optimizer=foreign, steps=100)


# ---------------------------------------------------------------- HAM and SAM


MAKERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}


def gradients(net: nn.Module, x: Tensor, y: Tensor) -> None:
    functional.cross_entropy(net(x), y).backward()


@pytest.mark.parametrize("maker", list(MAKERS))
@pytest.mark.parametrize(("alpha", "beta"), [(200.0, 1e-3), (5.0, 0.2), (1e5, 0.0), (0.0, 0.5)])
def test_ham_is_its_formula(maker: str, alpha: float, beta: float) -> None:
    """w ← w exp(clip(lr (−α sign(w) g − β), −5, 5)) after the step, on tensors of two dimensions or more."""
    net, (x, y) = small(), small_batch()
    own = copy.deepcopy(net)
    optimizer = sf.sparsity.HAM(MAKERS[maker](net.parameters()), alpha=alpha, beta=beta)
    plain = MAKERS[maker](own.parameters())
    for _ in range(6):
        gradients(net, x, y)
        optimizer.step()
        optimizer.zero_grad()
        gradients(own, x, y)
        slopes = [parameter.grad.clone() for parameter in own.parameters()]
        plain.step()
        plain.zero_grad()
        rate = plain.param_groups[0]["lr"]
        with torch.no_grad():
            for parameter, g in zip(own.parameters(), slopes, strict=True):
                if parameter.ndim >= 2:
                    parameter *= torch.exp((rate * (-alpha * parameter.sign() * g - beta)).clamp(-5, 5))
                    parameter *= min(1.0, 1000 / float(parameter.norm()))
    for mine, expected in zip(net.parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-12)


def test_the_method_ham_is_the_same_step_on_a_mask() -> None:
    net, (x, y) = small(), small_batch()
    own = copy.deepcopy(net)
    optimizer = MAKERS["sgd"](net.parameters())
    topology = sf.sparsify(net, 0.3, "ham", optimizer=optimizer, rng=0)
    found = [mask.clone() for mask in sf.sparsity.masks(net).values()]
    plain = MAKERS["sgd"](own.parameters())
    linear = [module for module in own if isinstance(module, nn.Linear)]
    for layer, mask in zip(linear, found, strict=True):
        layer.weight.data *= mask
    for _ in range(5):
        gradients(net, x, y)
        optimizer.step()
        topology.step()
        optimizer.zero_grad()
        gradients(own, x, y)
        for layer, mask in zip(linear, found, strict=True):
            layer.weight.grad *= mask
        plain.step()
        with torch.no_grad():
            for layer in linear:
                g = layer.weight.grad
                layer.weight *= torch.exp((0.05 * (-200 * layer.weight.sign() * g - 1e-3)).clamp(-5, 5))
        plain.zero_grad()
    for mine, layer in zip(seen_weights(net, x), linear, strict=True):
        torch.testing.assert_close(mine, layer.weight.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("maker", list(MAKERS))
@pytest.mark.parametrize("density", [1.0, 0.3])
def test_sam_is_its_formula(maker: str, density: float) -> None:
    """The gradient at θ + ρ g / ‖g‖ over existing weights and biases together, the step from θ."""
    net, (x, y) = small(), small_batch()
    own = copy.deepcopy(net)
    optimizer = sf.sparsity.SAM(MAKERS[maker](net.parameters()), rho=0.2)
    topology = sf.sparsify(net, density, "sam", optimizer=optimizer, rng=0)
    linear = [module for module in own if isinstance(module, nn.Linear)]
    found = [mask.clone() for mask in sf.sparsity.masks(net).values()]
    for layer, mask in zip(linear, found, strict=True):
        layer.weight.data *= mask
    plain = MAKERS[maker](own.parameters())

    def closure() -> Tensor:
        loss = functional.cross_entropy(net(x), y)
        loss.backward()
        return loss

    def masked_gradients() -> list[Tensor]:
        own.zero_grad()
        gradients(own, x, y)
        for layer, mask in zip(linear, found, strict=True):
            layer.weight.grad *= mask
        return [parameter.grad.clone() for parameter in own.parameters()]

    for _ in range(6):
        closure()
        optimizer.step(closure)
        topology.step()
        optimizer.zero_grad()
        slopes = masked_gradients()
        norm = torch.sqrt(sum(g.square().sum() for g in slopes))
        home = [parameter.detach().clone() for parameter in own.parameters()]
        with torch.no_grad():
            for parameter, g in zip(own.parameters(), slopes, strict=True):
                parameter += 0.2 * g / norm
        masked_gradients()
        with torch.no_grad():
            for parameter, value in zip(own.parameters(), home, strict=True):
                parameter.copy_(value)
        plain.step()
    for mine, layer in zip(seen_weights(net, x), linear, strict=True):
        torch.testing.assert_close(mine, layer.weight.detach(), rtol=1e-8, atol=1e-10)


# ---------------------------------------------------------------- 1, 2, 19: products m · w


def product(layer: nn.Module, kind: Any = Product, **options: Any) -> tuple[nn.Parameter, nn.Parameter]:
    """Write a layer as a product; return both factors."""
    masks = torch.ones_like(layer.weight, dtype=torch.bool)
    sf.masks.attach_(layer, kind(masks, layer.weight.detach(), **options))
    return layer.parametrizations.weight[0].factor, layer.parametrizations.weight.original


def recovery(rng: int) -> tuple[Tensor, Tensor, Tensor]:
    """Forty measurements of a hundred numbers, five of which are not zero."""
    draws = torch.Generator().manual_seed(rng)
    z = torch.randn(40, 100, generator=draws, dtype=torch.float64)
    truth = torch.zeros(100, dtype=torch.float64)
    places = torch.randperm(100, generator=draws)[:5]
    truth[places] = torch.randn(5, generator=draws).sign().double() * (0.5 + torch.rand(5, generator=draws).double())
    return z, truth, z @ truth


@pytest.mark.parametrize("rng", [0, 1])
def test_experiment_1(rng: int) -> None:
    """m · w from balance 1 with falling α ends nearer to the truth than a constant ℓ1 on x and than decay on m alone.

    At equal steps and rates, each rival at its best of five strengths. The start at balance 0 never leaves 0. An ℓ1 on
    x that falls as slowly is *not* beaten: it follows the path of the lasso to its end, which is the truth.
    """
    z, truth, y = recovery(rng)
    steps, rate = 6000, 0.02

    def slope(theta: Tensor) -> Tensor:
        return z.T @ (z @ theta - y) / len(z)

    layer = nn.Linear(100, 1, bias=False, dtype=torch.float64)
    layer.weight.data.zero_()
    m, w = product(layer)
    assert torch.equal(m.detach() ** 2 - w.detach() ** 2, torch.ones(1, 100, dtype=torch.float64))
    with torch.no_grad():
        for t in range(steps):
            alpha = 0.3 * math.exp(-t / (0.15 * steps))
            g = slope((m * w)[0])
            moved = rate * (g * w + 2 * alpha * m), rate * (g * m + 2 * alpha * w)
            m -= moved[0]
            w -= moved[1]
    mine = float((layer.weight.detach()[0] - truth).norm())

    strengths = np.array([0.003, 0.01, 0.03, 0.1, 0.3])
    a, measured, wanted = z.numpy(), y.numpy()[:, None], truth.numpy()[:, None]
    x = np.zeros((100, 5))
    m_only, w_only = np.ones((100, 5)), np.zeros((100, 5))
    for _ in range(steps):
        x -= rate * (a.T @ (a @ x - measured) / 40 + 2 * strengths * np.sign(x))
        g = a.T @ (a @ (m_only * w_only) - measured) / 40
        m_only, w_only = m_only - rate * (g * w_only + 2 * strengths * m_only), w_only - rate * g * m_only
    plain = np.linalg.norm(x - wanted, axis=0).min()
    one_sided = np.linalg.norm(m_only * w_only - wanted, axis=0).min()
    assert mine < 0.05 * float(truth.norm())
    assert mine < plain
    assert mine < one_sided

    stuck = nn.Linear(100, 1, bias=False, dtype=torch.float64)
    stuck.weight.data.zero_()
    optimizer = torch.optim.SGD(product(stuck, Spred), lr=rate)
    for _ in range(50):
        (stuck(z)[:, 0] - y).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert not stuck.weight.any()


def test_pilot_finds_the_five_numbers_itself() -> None:
    """The whole method, steered to density 0.05, ends at the truth; the loss is in its own units."""
    for rng in range(3):
        z, truth, y = recovery(rng)
        net = nn.Linear(100, 1, bias=False, dtype=torch.float64)
        net.weight.data.zero_()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        topology = sf.sparsify(net, 0.05, "pilot", optimizer=optimizer, steps=3000, rng=0)
        for _ in range(3000):
            ((net(z)[:, 0] - y).square().mean() / 2).backward()
            optimizer.step()
            topology.step()
            optimizer.zero_grad()
        assert torch.equal(sf.sparsity.masks(net)[""][0], truth != 0)
        assert (net.weight.detach()[0] - truth).norm() < 1e-3


def sign_in(steps: int, rate: float) -> tuple[nn.Sequential, torch.optim.Optimizer, Any]:
    net = small()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    return net, optimizer, sf.sparsify(net, 0.5, "sign-in", optimizer=optimizer, steps=steps, rng=0)


def factors(net: nn.Sequential) -> list[tuple[Tensor, Tensor, Tensor]]:
    """m, w and mask of every layer, detached."""
    return [
        (p.weight[0].factor.detach(), p.weight.original.detach(), mask)
        for p, mask in zip([net[i].parametrizations for i in (0, 2, 4)], sf.sparsity.masks(net).values(), strict=True)
    ]


def test_experiment_2_balance_is_conserved() -> None:
    """Small plain steps without a reset: m² − w² stays 1 to 1e-3 while the weights move far."""
    net, optimizer, topology = sign_in(steps=10**7, rate=2e-3)
    x, y = small_batch()
    before = [(m * w)[mask].clone() for m, w, mask in factors(net)]
    for _ in range(1500):
        gradients(net, x, y)
        optimizer.step()
        topology.step()
        optimizer.zero_grad()
    moved = 0.0
    for (m, w, mask), start in zip(factors(net), before, strict=True):
        assert ((m**2 - w**2)[mask] - 1).abs().max() < 1e-3
        moved = max(moved, float(((m * w)[mask] - start).abs().max()))
    assert moved > 0.2


def test_experiment_2_reset_keeps_the_weight() -> None:
    """With a reset at every step: θ the same to 1e-7, balance 1, w of the sign of θ."""
    net, optimizer, topology = sign_in(steps=40, rate=0.5)
    x, y = small_batch()
    drifted = 0.0
    for _ in range(30):
        gradients(net, x, y)
        optimizer.step()
        optimizer.zero_grad()
        before = [(m * w).clone() for m, w, _ in factors(net)]
        drifted = max(drifted, max(float(((m**2 - w**2)[k] - 1).abs().max()) for m, w, k in factors(net)))
        topology.step()
        for (m, w, mask), theta in zip(factors(net), before, strict=True):
            assert ((m * w) - theta)[mask].abs().max() < 1e-7
            assert ((m**2 - w**2)[mask] - 1).abs().max() < 1e-7
            expected = torch.sqrt((1 + torch.sqrt(1 + 4 * theta**2)) / 2)
            torch.testing.assert_close(m[mask], expected[mask], rtol=1e-9, atol=1e-9)
    assert drifted > 1e-4


def test_experiment_2_balance_under_a_penalty() -> None:
    """With α (m² + w²) in the loss the balance is β₀ exp(−4 ∫ α), whatever the loss is."""
    net, (x, y) = small(), small_batch()
    pairs = [product(net[i], beta=0.7) for i in (0, 2, 4)]
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    total = 0.0
    for t in range(800):
        alpha = 0.6 * (1 - t / 800)
        penalty = sum((m**2).sum() + (w**2).sum() for m, w in pairs)
        (functional.cross_entropy(net(x), y) + alpha * penalty).backward()
        optimizer.step()
        optimizer.zero_grad()
        total += alpha * 1e-3
    assert math.exp(-4 * total) < 0.4
    for m, w in pairs:
        balance = (m**2 - w**2).detach()
        assert (balance / (0.7 * math.exp(-4 * total)) - 1).abs().max() < 5e-3


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_diabetes(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()


@pytest.mark.parametrize("strength", [0.02, 0.1, 0.25])
@pytest.mark.parametrize("kind", [Product, Spred])
def test_experiment_19(kind: Any, strength: float) -> None:
    """L(m ⊙ w) + κ (m² + w²) ends at the lasso with penalty 2κ: objective to 1e-4, the same support.

    From balance 1 any start will do, here 0. From balance 0 no sign can turn, so that the start has the lasso's.
    """
    x, y = diabetes()
    solver = Lasso(alpha=strength, fit_intercept=False, tol=1e-10, max_iter=100000).fit(x, y)
    target = solver.coef_

    def objective(theta: np.ndarray) -> float:
        return float(((x @ theta - y) ** 2).sum() / (2 * len(y)) + strength * np.abs(theta).sum())

    layer = nn.Linear(10, 1, bias=False, dtype=torch.float64)
    layer.weight.data.zero_()
    if kind is Spred:
        layer.weight.data[0] = 0.3 * torch.from_numpy(np.where(target == 0, 1.0, np.sign(target)))
    m, w = product(layer, kind)
    inputs, outputs = torch.from_numpy(x), torch.from_numpy(y)
    gram, along = inputs.T @ inputs / len(y), inputs.T @ outputs / len(y)
    with torch.no_grad():
        for _ in range(20000):
            g = gram @ layer.weight[0] - along
            moved = 0.2 * (g * w + strength * m), 0.2 * (g * m + strength * w)
            m -= moved[0]
            w -= moved[1]
    theta = layer.weight.detach()[0].numpy()
    assert objective(theta) - objective(target) < 1e-4
    found, wanted = np.abs(theta) > 1e-6, np.abs(target) > 1e-9
    assert (found & wanted).sum() / (found | wanted).sum() > 0.95


def test_experiment_19_decoupled_decay_is_no_lasso() -> None:
    """One strength as AdamW's decay of both factors makes less than half of the zeros that it makes in the loss."""
    x, y = diabetes()
    inputs, outputs = torch.from_numpy(x), torch.from_numpy(y)
    gram, along = inputs.T @ inputs / len(y), inputs.T @ outputs / len(y)
    zeros = {}
    for decoupled in (False, True):
        layer = nn.Linear(10, 1, bias=False, dtype=torch.float64)
        layer.weight.data.zero_()
        m, w = product(layer)
        optimizer = torch.optim.AdamW([m, w], lr=2e-3, weight_decay=0.25 if decoupled else 0.0)
        for _ in range(2500):
            theta = layer.weight[0]
            penalty = 0.0 if decoupled else 0.25 / 2 * ((m**2).sum() + (w**2).sum())
            (theta @ gram @ theta / 2 - along @ theta + penalty).backward()
            optimizer.step()
            optimizer.zero_grad()
        zeros[decoupled] = int((layer.weight.detach().abs() < 1e-3).sum())
    assert zeros[False] >= 5
    assert zeros[True] < zeros[False] / 2


@pytest.mark.parametrize("method", ["spred", "pilot"])
@pytest.mark.parametrize("kept", [3, 5])
def test_experiment_19_the_whole_method(method: str, kept: int) -> None:
    """Steered to k of 20 weights, the mask is a support on the lasso's path, and what stays is least squares."""
    draws = np.random.default_rng(kept)
    x = draws.standard_normal((120, 20))
    truth = np.concatenate([draws.choice([-1, 1], 5) * draws.uniform(0.3, 1.5, 5), np.zeros(15)])
    y = x @ truth + 0.5 * draws.standard_normal(120)
    path = set()
    for strength in np.geomspace(0.005, 1.5, 300):
        solver = Lasso(alpha=strength, fit_intercept=False, tol=1e-10, max_iter=100000).fit(x, y)
        path.add(tuple(np.flatnonzero(solver.coef_).tolist()))
    inputs, outputs = torch.from_numpy(x), torch.from_numpy(y)[:, None]
    net = nn.Linear(20, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        net.weight.copy_(torch.linalg.lstsq(inputs, outputs).solution.T)  # balance 0 keeps signs
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    topology = sf.sparsify(net, kept / 20, method, optimizer=optimizer, steps=3000, rng=0)
    for _ in range(3000):
        functional.mse_loss(net(inputs), outputs).backward()
        optimizer.step()
        topology.step()
        optimizer.zero_grad()
    chosen = sf.sparsity.masks(net)[""][0].nonzero().flatten()
    assert tuple(chosen.tolist()) in path
    fit = torch.linalg.lstsq(inputs[:, chosen], outputs).solution[:, 0]
    torch.testing.assert_close(net.weight.detach()[0, chosen], fit, atol=2e-3, rtol=0)


# ---------------------------------------------------------------- 3: one neuron a · relu(w · x), teacher relu(x₁)


class Neurons(nn.Module):
    """Independent students, one per row of two embeddings."""

    def __init__(self, students: int, inputs: int) -> None:
        super().__init__()
        self.w = nn.Embedding(students, inputs, dtype=torch.float64)
        self.a = nn.Embedding(students, 1, dtype=torch.float64)
        self.register_buffer("ids", torch.arange(students))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.w(self.ids).T) * self.a(self.ids).T


def students(count: int, inputs: int, rng: int) -> tuple[Neurons, Tensor, Tensor]:
    """Balanced starts, a² = ‖w‖², all signs; and the signs of a and w₁."""
    draws = torch.Generator().manual_seed(rng)
    net = Neurons(count, inputs)

    def sign(*shape: int) -> Tensor:
        return 1.0 - 2.0 * torch.randint(0, 2, shape, generator=draws).double()

    w = (0.2 + 0.8 * torch.rand(count, inputs, generator=draws).double()) * sign(count, inputs) / math.sqrt(inputs)
    net.w.weight.data.copy_(w)
    net.a.weight.data.copy_(w.norm(dim=1, keepdim=True) * sign(count, 1))
    return net, net.a.weight.detach()[:, 0] > 0, net.w.weight.detach()[:, 0] > 0


def taught(inputs: int, rng: int) -> tuple[Tensor, Tensor]:
    """Points of both signs with E x xᵀ = 1, and what the teacher says."""
    if inputs == 1:
        x = torch.tensor([[math.sqrt(2)], [-math.sqrt(2)]], dtype=torch.float64)
    else:
        x = torch.randn(8 * inputs, inputs, generator=torch.Generator().manual_seed(rng), dtype=torch.float64)
        x = torch.cat([x, -x])
        x = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / len(x))).T
    return x, torch.relu(x[:, :1])


def learned(net: Neurons, x: Tensor, y: Tensor) -> Tensor:
    return ((net(x) - y) ** 2).mean(0).detach() < 1e-3 * (y**2).mean()


def descend(net: Neurons, x: Tensor, y: Tensor, optimizer: Any, steps: int, *others: Any) -> None:
    for _ in range(steps):
        (((net(x) - y) ** 2).mean(0).sum() / 2).backward()
        optimizer.step()
        for other in others:
            other.step()
        optimizer.zero_grad()


def test_experiment_3_plain_flow_succeeds_in_one_quadrant() -> None:
    """A thousand starts: exactly those with a > 0 and w > 0, for a² = w² is conserved."""
    net, a, w = students(1000, 1, rng=0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    topology = sf.sparsify(net, 1.0, "static", layers=["w", "a"], optimizer=optimizer)
    x, y = taught(1, 0)
    descend(net, x, y, optimizer, 250, topology)
    assert torch.equal(learned(net, x, y), a & w)


@pytest.mark.parametrize(("outer", "inner"), [(4.0, 1.0), (1.0, 0.1)])
def test_experiment_3_products_succeed_in_two(outer: float, inner: float) -> None:
    """With a larger balance for a than for w exactly those with w > 0 succeed; none with w < 0.

    √(4a² + β_a²) − √(4w² + β_w²) is conserved. At a = 0 it leaves w² > 0 if and only if β_a > β_w (for |a| = |w| at
    the start), so that a can pass through zero.
    """
    net, _, w = students(1000, 1, rng=1)
    product(net.a, beta=outer)
    product(net.w, beta=inner)
    x, y = taught(1, 0)
    descend(net, x, y, torch.optim.SGD(net.parameters(), lr=0.02), 1000)
    assert torch.equal(learned(net, x, y), w)


def test_experiment_3_sign_in_in_one_and_more_dimensions() -> None:
    """The method has one balance for all layers: by the same law nothing is won for one input, but for several.

    With inputs d > 1, |a| = ‖w‖ is larger than any |w_j|, so that a is faster and passes through zero first.
    """
    net, a, w = students(1000, 1, rng=2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    topology = sf.sparsify(net, 1.0, "sign-in", layers=["w", "a"], optimizer=optimizer, steps=250, rng=0)
    x, y = taught(1, 0)
    descend(net, x, y, optimizer, 250, topology)
    assert torch.equal(learned(net, x, y), a & w)
    won = {}
    for method in ("static", "sign-in"):
        net, a, _ = students(400, 2, rng=3)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        topology = sf.sparsify(net, 1.0, method, layers=["w", "a"], optimizer=optimizer, steps=300, rng=0)
        x, y = taught(2, 1)
        descend(net, x, y, optimizer, 300, topology)
        won[method] = int(learned(net, x, y)[~a].sum())
    assert won["static"] == 0
    assert won["sign-in"] > 40


def test_experiment_3_rate_rewinding_inherits_the_sign() -> None:
    """From three inputs down to one per student: LRR succeeds whenever a > 0, IMP only where w₁ > 0 too.

    Among those whose masks found the right input, which nearly all do.
    """
    x, y = taught(3, 2)
    for method in ("lrr", "imp"):
        net, a, w = students(200, 3, rng=4)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        rounds, length = levels(method, 1 / 3), 220
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 - 0.5 * min(t / 220, 1))
        topology = sf.sparsify(
            net,
            1 / 3,
            method,
            layers=["w"],
            layout="uniform",
            pattern="fan-in",
            optimizer=optimizer,
            scheduler=schedule,
            steps=rounds * length,
        )
        descend(net, x, y, optimizer, rounds * length, schedule, topology)
        mask = sf.sparsity.masks(net)["w"]
        assert (mask.sum(1) == 1).all()
        right = mask[:, 0] & a
        assert right.sum() >= 0.97 * a.sum()
        done = learned(net, x, y)
        assert not done[~a].any()
        assert torch.equal(done[right], (w if method == "imp" else a)[right])


# ---------------------------------------------------------------- 6: collapse of layers at density 0.001


def vgg(rng: int = 0) -> nn.Sequential:
    """Eleven layers of the VGG kind for 8 × 8 images, 877 408 weights."""
    draws = torch.Generator().manual_seed(rng)
    modules: list[nn.Module] = []
    widths = [1, 32, 32, 64, 64, 96, 96, 128, 128, 160, 160]
    for i, (before, after) in enumerate(itertools.pairwise(widths)):
        layer = nn.Conv2d(before, after, 3, padding=1, bias=False)
        layer.weight.data.normal_(0, math.sqrt(2 / (9 * before)), generator=draws)
        modules += [layer, nn.BatchNorm2d(after), nn.ReLU()] + ([nn.MaxPool2d(2)] if i in (1, 4, 7) else [])
    head = nn.Linear(160, 10)
    head.weight.data.normal_(0, math.sqrt(2 / 160), generator=draws)
    return nn.Sequential(*modules, nn.Flatten(), head)


def digits() -> tuple[Tensor, Tensor]:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return torch.tensor(x[order], dtype=torch.float32).view(-1, 1, 8, 8) / 8 - 1, torch.tensor(y[order])


def once(score: str) -> Recipe:
    return Recipe(f"{score}-once", score, "", layout="global", score=score)


@pytest.mark.parametrize("method", ["snip", "grasp", "magnitude"])
def test_experiment_6_others_empty_a_layer(method: str) -> None:
    x, y = digits()
    for rng in range(2):
        net = vgg(rng)
        given = {} if method == "magnitude" else {"data": (x[:100], y[:100]), "loss": functional.cross_entropy}
        sf.sparsify(net, 0.001, once("magnitude") if method == "magnitude" else method, rng=0, **given)
        assert sum(counts(net)) == round(0.001 * sum(mask.numel() for mask in sf.sparsity.masks(net).values()))
        assert min(counts(net)) == 0


@pytest.mark.slow
def test_experiment_6_synflow_does_not_and_learns() -> None:
    """Every layer keeps weights after a hundred rounds, and accuracy is far above chance."""
    x, y = digits()
    net = vgg()
    sf.sparsify(net, 0.001, "synflow", data=(x[:1], y[:1]), loss=functional.cross_entropy)
    assert sum(counts(net)) == round(0.001 * sum(mask.numel() for mask in sf.sparsity.masks(net).values()))
    assert min(counts(net)) >= 1
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.02, weight_decay=0.0)
    draws = torch.Generator().manual_seed(0)
    for _ in range(150):
        rows = torch.randint(0, 1400, (32,), generator=draws)
        gradients(net, x[rows], y[rows])
        optimizer.step()
        optimizer.zero_grad()
    net.eval()
    with torch.no_grad():
        right = (net(x[1400:]).argmax(1) == y[1400:]).float().mean()
    assert right > 0.1 + 4 * math.sqrt(0.09 / 397)


def test_experiment_6_the_rounds_matter() -> None:
    """A chain whose layers differ in size: a hundred rounds keep every layer alive where a single one empties some."""
    net = mlp((64, 300, 300, 300, 10), rng=1)
    weights = [layer.weight.detach().double().numpy() for layer in dense_layers(net).values()]
    sf.sparsify(net, 0.001, "synflow")
    assert min(counts(net)) >= 1
    assert min(int(mask.sum()) for mask in own_synflow(weights, 0.001, 1)) == 0
    out = net(torch.randn(50, 64, generator=torch.Generator().manual_seed(0)))
    assert (out.std(0) > 0).any()  # a path from inputs to outputs is left
