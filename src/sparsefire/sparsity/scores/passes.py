"""Passes of data through a network that leave it as it was: what the scores that look at data share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils import parametrize

from sparsefire import masks, randomness
from sparsefire.errors import UserError
from sparsefire.sparsity.setting import Setting, check_data, check_loss

CHUNK = 1 << 22
"""Numbers that one step of a computation in parts may hold: 32 MB in float64."""


@contextmanager
def quiet(net: nn.Module, rng: Any = None, *, evaluate: bool = False) -> Iterator[None]:
    """Leave buffers (running statistics), modes, the global random state and that of noisy neurons; dropout rests.

    Inside, batch normalisation does as the mode of the network says. What noise is left is the same in every pass
    with the same ``rng``.

    Args:
        net: whose effective weights are computed once, and are the same tensors for the whole pass.
        rng: see :func:`sparsefire.randomness.entropy`.
        evaluate: put the whole network into evaluation mode.
    """
    modes = {module: module.training for module in net.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    begun = randomness.sequences_begun(modes)
    devices = sorted({p.device.index for p in net.parameters() if p.device.type == "cuda"})
    noise = randomness.integer(rng, "noise of a score")
    with torch.random.fork_rng(devices=devices), parametrize.cached():
        for generator in (torch.random.default_generator, *(torch.cuda.default_generators[at] for at in devices)):
            generator.manual_seed(noise)
        try:
            for module in modes:
                if evaluate or isinstance(module, _DropoutNd):
                    module.training = False
            yield
        finally:
            for module, training in modes.items():
                module.training = training
            for noisy, number in begun:
                noisy.begun = number
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)


def call(net: nn.Module, x: Any) -> Any:
    """Apply a network to a tensor, a tuple of positional or a mapping of named inputs."""
    if isinstance(x, Mapping):
        return net(**x)
    return net(*x) if isinstance(x, tuple | list) else net(x)


def batch(setting: Setting) -> tuple[Any, Any]:
    """Return the inputs and targets, or raise when they or the loss are missing, or are not finite."""
    x, y = inputs(setting), check_data(setting.data, setting.method)[1]
    check_loss(setting.loss, setting.method)
    _check_finite(y, "targets")
    return x, y


def inputs(setting: Setting) -> Any:
    """Return the inputs of the batch, or raise when they are missing or not finite; targets are not looked at."""
    x, _ = check_data(setting.data, setting.method)
    _check_finite(x, "inputs")
    return x


def parts_of(x: Any, y: Any, size: int) -> list[tuple[Any, Any]]:
    """Cut a batch of tensors into nearly equal parts of at most ``size`` examples; any other batch stays whole.

    >>> [len(x) for x, _ in parts_of(torch.zeros(10), torch.zeros(10), 4)]
    [4, 3, 3]
    """
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)) or x.ndim * y.ndim == 0 or len(x) != len(y):
        return [(x, y)]
    count = max(1, -(-len(x) // size))
    return list(zip(x.tensor_split(count), y.tensor_split(count), strict=True))


def effective_weights(net: nn.Module) -> dict[str, Tensor]:
    """Return the effective weights by layer, as tensors that a pass within :func:`quiet` goes through.

    Raises:
        UserError: a frozen layer, which has no gradient.
    """
    there = masks.masked(net) or masks.maskable(net)
    found: dict[str, Tensor] = {name: module.weight for name, module in there.items()}  # type: ignore[misc]
    for name, weight in found.items():
        if not weight.requires_grad:
            raise UserError(
                f"layer {name!r} is frozen: the loss has no gradient by its weights to score them by.",
                came="requires_grad=False",
                expected="requires_grad=True, or a score that needs no gradient, such as magnitude",
            )
    return found


def mean_loss(setting: Setting, x: Any, y: Any, temperature: float = 1.0) -> Tensor:
    """Return the loss of a batch, outputs divided by a temperature.

    Raises:
        UserError: a loss that is not one number.
    """
    outputs = call(setting.net, x)
    if temperature != 1.0 and isinstance(outputs, Tensor):
        outputs = outputs / temperature
    loss = setting.loss(outputs, y) if setting.loss is not None else None
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        raise UserError(
            "a score by gradients needs one loss for the batch, which depends on the weights.",
            came=f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__,
            expected='a scalar tensor, such as reduction="mean" gives',
        )
    return loss.reshape(())


def slopes(value: Tensor, weights: Sequence[Tensor], *, graph: bool = False) -> list[Tensor]:
    """Return ∂value/∂weight; zero for weights that the value does not depend on."""
    if not value.requires_grad:
        return [torch.zeros_like(weight) for weight in weights]
    found = torch.autograd.grad(value, weights, create_graph=graph, allow_unused=True)
    return [torch.zeros_like(weight) if one is None else one for one, weight in zip(found, weights, strict=True)]


def ready(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return scores without graph; what is not finite, after a training that diverged, becomes NaN and ranks highest.

    >>> ready({"0": torch.tensor([1.0, -torch.inf])})
    {'0': tensor([1., nan])}
    """
    return {name: one.detach().where(one.detach().isfinite(), torch.nan) for name, one in scores.items()}


@torch.no_grad()
def watch_inputs(
    setting: Setting,
    take: Callable[[str, nn.Module, Tensor], None],
    kinds: tuple[type[nn.Module], ...] = (nn.Module,),
    *,
    all_of_them: bool = True,
) -> None:
    """Send the batch through the network in evaluation mode and hand on what arrives at each layer.

    Args:
        setting: with data.
        take: gets the name, the layer, and its input with a batch dimension; once per use of the layer.
        kinds: classes of layers that are watched.
        all_of_them: whether something has to arrive at each.

    Raises:
        UserError: a layer that nothing arrives at, by name.
    """
    x = inputs(setting)
    found = masks.maskable(setting.net, setting.layers)
    layers = {name: module for name, module in found.items() if isinstance(module, kinds)}
    used: set[str] = set()

    def hook(name: str) -> Callable[..., None]:
        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = args[0] if args else kwargs["input"]
            unbatched = given.ndim == (1 if isinstance(module, nn.Linear) else len(module.kernel_size) + 1)  # type: ignore[arg-type]
            used.add(name)
            take(name, module, given.detach()[None] if unbatched else given.detach())

        return before

    handles = [module.register_forward_pre_hook(hook(name), with_kwargs=True) for name, module in layers.items()]
    try:
        with quiet(setting.net, setting.rng, evaluate=True):
            call(setting.net, x)
    finally:
        for handle in handles:
            handle.remove()
    for name in layers if all_of_them else ():
        if name not in used:
            raise UserError(
                f"no input arrives at layer {name!r}, so its weights cannot be scored by their inputs.",
                came="a layer that the batch does not use, or whose weight is used without calling it (attention)",
                expected="a network that calls all of its linear and convolutional layers",
            )


def patches(module: nn.Module, x: Tensor) -> Tensor:
    """Return what each weight of a unit is multiplied with: float64 [groups, examples · places, inputs of a unit].

    For a convolution these are the unfolded inputs, padding included; inputs are in the order of the weight.

    Args:
        module: a linear or convolutional layer.
        x: its input, with a batch dimension.

    >>> patches(nn.Conv1d(1, 1, 2, stride=2), torch.arange(4.0).reshape(1, 1, 4)).tolist()
    [[[0.0, 1.0], [2.0, 3.0]]]
    """
    if isinstance(module, nn.Linear):
        return x.reshape(1, -1, x.shape[-1]).double()
    conv: Any = module
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    x = nn.functional.pad(x, conv._reversed_padding_repeated_twice, mode=mode)
    sizes = zip(conv.kernel_size, conv.stride, conv.dilation, strict=True)
    for axis, (size, stride, dilation) in enumerate(sizes, start=2):
        x = x.unfold(axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
    n = len(conv.kernel_size)
    x = x.unflatten(1, (conv.groups, -1))  # [examples, groups, channels, *places, *kernel]
    x = x.permute(1, 0, *range(3, 3 + n), 2, *range(3 + n, 3 + 2 * n))
    return x.reshape(conv.groups, -1, conv.weight[0].numel()).double()


def _check_finite(given: Any, what: str) -> None:
    parts = given.values() if isinstance(given, Mapping) else given if isinstance(given, tuple | list) else [given]
    for part in parts:
        if isinstance(part, Tensor) and part.is_floating_point() and not bool(part.isfinite().all()):
            raise UserError(
                f"the {what} of the batch that weights are scored on are not finite.",
                came="NaN or infinity",
                expected="numbers",
            )
