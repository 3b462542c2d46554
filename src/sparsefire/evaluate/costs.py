"""What a model costs: non-zero weights, multiply-adds for one row, bytes on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


def weights_of(network: nn.Module) -> int:
    """Return the number of non-zero weights of linear and convolutional layers; biases are not counted.

    Masked networks count by their effective weights, so nothing need be baked. A weight that two layers share counts
    once. Buffers, normalisation and embeddings are left out.

    >>> from torch import nn
    >>> weights_of(nn.Linear(3, 2).requires_grad_(False)) <= 6
    True
    """
    return sum(int(weight.count_nonzero()) for weight in _once(layer.weight for _, layer in _layers(network)))


def biases_of(network: nn.Module) -> int:
    """Return the number of non-zero biases of the same layers."""
    biases = (layer.bias for _, layer in _layers(network) if layer.bias is not None)
    return sum(int(bias.count_nonzero()) for bias in _once(biases))


def macs(network: nn.Module | Mapping[str, Any], input_shape: Sequence[int]) -> int:
    """Return the multiply-adds that one row needs when zero weights are skipped; biases and activations are free.

    Args:
        network: a module, or a description (see ``sparsefire.train.networks``), which counts as dense.
        input_shape: of one row, without the batch: (features,) or (channels, height, width).

    A linear weight is used once per position it is applied to, a convolution's at every output position; a transposed
    convolution's at every input position. Padding is counted as if it were there. What is counted is what one forward
    pass of zeros calls, so a layer used twice counts twice.

    >>> macs({"kind": "mlp", "widths": [64, 256, 10]}, (64,))
    18944
    """
    import torch
    from torch import nn

    dense = isinstance(network, Mapping)
    if isinstance(network, Mapping):
        from sparsefire.train.networks import build

        network = build(dict(network))
    total = 0

    def count(layer: Any, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        nonlocal total
        entered = inputs[0] if inputs else named["input"]
        if isinstance(layer, nn.Linear):
            positions = entered.shape[:-1].numel()  # what leaves may be two sums, of excitation and of inhibition
        else:
            places = (entered if layer.transposed else output).shape[-len(layer.kernel_size) :].numel()
            rows = entered.shape[0] if entered.ndim == len(layer.kernel_size) + 2 else 1  # steps of a spiking chain
            positions = rows * places
        total += positions * (layer.weight.numel() if dense else int(layer.weight.count_nonzero()))

    hooks = [layer.register_forward_hook(count, with_kwargs=True) for _, layer in _layers(network)]
    training = [module for module in network.modules() if module.training]
    try:
        network.eval()
        first = next(network.parameters(), torch.zeros(0))
        with torch.no_grad():
            network(torch.zeros((1, *input_shape), dtype=first.dtype, device=first.device))
    finally:
        for hook in hooks:
            hook.remove()
        for module in training:
            module.training = True
    return total


def stored_bytes(network: nn.Module) -> int:
    """Return the bytes that the arrays of a baked network take in a model folder, sparse rows with their indices.

    >>> from torch import nn
    >>> stored_bytes(nn.Linear(3, 2))
    32
    """
    from sparsefire.deploy.arrays import pack

    arrays, _ = pack({name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()})
    return sum(array.nbytes for array in arrays.values())


def boosting_bytes(model: Any) -> int:
    """Return the bytes of the trees of a fitted ``HistGradientBoostingClassifier`` or ``…Regressor``.

    These are the node tables and category sets that prediction reads, as they lie in memory; no pickle is made.

    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> boosting_bytes(HistGradientBoostingRegressor(max_iter=1).fit([[0.0], [1.0]], [0.0, 1.0])) > 0
    True
    """
    return sum(
        tree.nodes.nbytes + tree.raw_left_cat_bitsets.nbytes
        for trees in model._predictors  # scikit-learn has no public name for them
        for tree in trees
    )


def _layers(network: nn.Module) -> Iterator[tuple[str, Any]]:
    from torch import nn

    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            yield name, module


def _once(tensors: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    seen: list[torch.Tensor] = []
    for tensor in tensors:
        if not any(tensor is other for other in seen):
            seen.append(tensor)
            yield tensor
