"""Looks-linear initialisation: ReLU units in pairs of opposite sign, so that the network starts as a linear map.

D. Balduzzi et al. The shattered gradients problem, arXiv:1702.08591; for its exact law at finite width R. Burkholz and
A. Dubatovka, arXiv:1806.06362 (Gaussian submatrix). Convolutions by their centre tap: L. Xiao et al., arXiv:1806.05393.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import randomness
from sparsefire.errors import UserError
from sparsefire.propagation.init.variance import check_untied, writable
from sparsefire.propagation.init.walk import Layer, centre_tap, generators, layers_of, write_

_NOT_RELU = (
    nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Mish, nn.ELU, nn.SELU, nn.CELU, nn.LeakyReLU, nn.PReLU, nn.RReLU,
    nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Tanhshrink,
)  # fmt: skip
_NOT_LINEAR = (  # what treats the units of a pair differently, or the signal by its size
    nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm, nn.CrossMapLRN2d,
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
    nn.FractionalMaxPool2d, nn.FractionalMaxPool3d, nn.LPPool1d, nn.LPPool2d, nn.Softmax, nn.LogSoftmax,
)  # fmt: skip


def looks_linear_(net: nn.Module, *, submatrix: str = "gaussian", centre: bool = True, rng: Any = None) -> nn.Module:
    """Set mirrored weights with which a chain of ReLU layers acts as a linear map, in place; return the network.

    Units i and i + n/2 of a hidden layer are a pair. With W0 the submatrix of a layer,

        first: [[W0], [−W0]]    hidden: [[W0, −W0], [−W0, W0]]    last: [W0, −W0]    only one: W0

    Hidden layers then hold (relu(z), relu(−z)), whose difference is z, and z_l = W0_l z_(l−1) throughout.

    Layers count as one chain in the order of the modules, ReLU after each but the last. Average pooling and the
    flattening of images keep the pairs. Dropout, residual and other branches are not looked at and break the exact
    linearity.

    Args:
        net: hidden widths even, as are hidden numbers of channels; inputs and outputs of any width. A mask must repeat
            itself over the blocks above: :func:`mirrored_masks`. Biases become zero.
        submatrix: ``"gaussian"``: independent, of variance 1 / in-degree within W0, which keeps the mean square per
            signed unit on average. ``"orthogonal"``: all singular values of W0 are 1 (Haar). With equal widths this
            is an exact isometry: every singular value of the Jacobian is 1, at any depth and for every input. A W0 with
            more rows than columns keeps the norm exactly, with fewer rows the mean square per unit on average.
        centre: for convolutions: only the centre tap (of an even kernel the one before the middle) is not zero. False
            spreads a Gaussian W0 over all taps.
        rng: see :func:`sparsefire.randomness.entropy`.

    Raises:
        UserError: an odd width, a layer that does not read the one before it, groups; between the layers an activation
            that is no ReLU, a norm or max pooling; a mask that is not mirrored, an orthogonal submatrix on a mask that
            is not full or with ``centre=False``. It names the layer, and nothing is written.

    >>> net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    >>> x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(looks_linear_(net, rng=0)(-x), -net(x), atol=1e-6)
    True
    """
    if submatrix not in ("gaussian", "orthogonal"):
        raise UserError(
            "there is no such submatrix.", came=f"submatrix={submatrix!r}", expected="'gaussian' or 'orthogonal'"
        )
    found = writable(net)
    check_untied(found)
    check_chain(net, found)
    _check_linear(net, found)
    parts = [_support(layer, doubled, submatrix, centre) for layer, doubled in _doubled(found)]
    for (layer, doubled), kept, generator in zip(_doubled(found), parts, generators(rng, len(found)), strict=True):
        dtype = torch.float64 if layer.module.weight.dtype == torch.float64 else torch.float32
        block = torch.zeros(kept.shape, dtype=dtype)
        if submatrix == "orthogonal":
            tap = centre_tap(block)
            tap.copy_(torch.nn.init.orthogonal_(torch.empty(tap.shape, dtype=dtype), generator=generator))
        else:
            scale = kept.flatten(1).sum(1).clamp(min=1).to(dtype).rsqrt()
            block[kept] = torch.empty(int(kept.sum()), dtype=dtype).normal_(generator=generator)
            block *= scale.reshape(-1, *[1] * (kept.ndim - 1))
        write_(layer, mirrored_matrix(block, *doubled))
    return net


def mirrored_matrix(block: Tensor, rows: bool, columns: bool, sign: int = -1) -> Tensor:
    """Return [[A, −A], [−A, A]] of A [out, in, ...]: both halves, or only those of its rows or of its columns.

    Args:
        block: A.
        rows: whether units come in pairs, as in all layers but the last.
        columns: whether inputs do, as in all layers but the first.
        sign: of the other block; 1 for masks.

    >>> mirrored_matrix(torch.ones(1, 1), True, False).tolist(), mirrored_matrix(torch.ones(1, 1), False, True).tolist()
    ([[1.0], [-1.0]], [[1.0, -1.0]])
    """
    other = block if sign > 0 else -block
    if columns:
        block, other = torch.cat([block, other], 1), torch.cat([other, block], 1)
    return torch.cat([block, other]) if rows else block


def mirrored_mask(mask: Tensor, *, rows: bool = True, columns: bool = True, rng: Any = None) -> Tensor:
    """Return a mask that repeats itself over the blocks of a looks-linear layer, with as many weights as it can.

    Rows i and i + n/2 (and columns likewise) are folded onto each other. Each folded row keeps its mean in-degree,
    rounded up or down to meet the total, at random positions among those that the given mask keeps in any block.

    Args:
        mask: bool [out, in, *kernel].
        rows: mirror units, as in all layers but the last.
        columns: mirror inputs, as in all layers but the first.
        rng: see :func:`sparsefire.randomness.entropy`.

    Raises:
        UserError: an odd number of rows or columns to mirror, or no bool tensor of two dimensions or more.

    >>> mirrored_mask(torch.tensor([[True, True], [False, False]]), columns=False, rng=0).sum(1).tolist()
    [1, 1]
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.ndim < 2:
        raise UserError(
            "a mask is a bool tensor [out, in, ...].", came=str(getattr(mask, "dtype", type(mask).__name__))
        )
    for axis, (name, wanted) in enumerate({"rows": rows, "columns": columns}.items()):
        if wanted and mask.shape[axis] % 2:
            raise UserError(
                f"an odd number of {name} has no mirror.", came=f"shape {tuple(mask.shape)}", expected="an even number"
            )
    blocks = torch.stack(list(_blocks(mask, (rows, columns)))).cpu().flatten(2).numpy()
    images, units, entries = blocks.shape
    exact = blocks.sum(axis=(0, 2)) / images
    quotas = np.floor(exact).astype(np.int64)
    generator = randomness.stream(rng, "mirrored mask")
    order = np.lexsort((generator.random(units), -(exact - quotas)))
    quotas[order[: round(exact.sum()) - quotas.sum()]] += 1
    of, at = np.nonzero(blocks.any(axis=0))
    shuffled = np.lexsort((generator.random(len(of)), of))
    place = np.arange(len(of)) - np.searchsorted(of, of)  # rows are sorted, so this counts from 0 within each
    chosen = shuffled[place < quotas[of]]
    block = np.zeros((units, entries), dtype=bool)
    block[of[chosen], at[chosen]] = True
    shape = (units, mask.shape[1] // (1 + columns), *mask.shape[2:])
    return mirrored_matrix(torch.from_numpy(block.reshape(shape)), rows, columns, sign=1).to(mask.device)


def mirrored_masks(net: nn.Module, *, rng: Any = None) -> dict[str, Tensor]:
    """Return, for every masked layer by name, the mask that :func:`looks_linear_` asks for; the network stays as it is.

    Args:
        net: a chain of layers, as for :func:`looks_linear_`.
        rng: see :func:`sparsefire.randomness.entropy`.

    Raises:
        UserError: an odd width, groups, a layer that does not read the one before it.

    >>> from sparsefire import masks, sparsify
    >>> net = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 4))
    >>> topology = sparsify(net, 0.3, rng=0)
    >>> for name, mask in mirrored_masks(net, rng=0).items(): masks.write_mask_(masks.layers(net)[name], mask)
    >>> net = looks_linear_(net, rng=0)
    """
    found = layers_of(net)
    check_chain(net, found)
    own = randomness.stream(rng, "mirrored masks").integers(2**63, size=len(found))
    return {
        layer.name: mirrored_mask(layer.mask, rows=rows, columns=columns, rng=int(one))
        for (layer, (rows, columns)), one in zip(_doubled(found), own, strict=True)
        if layer.mask is not None
    }


def _doubled(found: list[Layer]) -> Iterator[tuple[Layer, tuple[bool, bool]]]:
    """Yield each layer with whether its rows, and whether its columns, come in pairs."""
    for position, layer in enumerate(found):
        yield layer, (position < len(found) - 1, position > 0)


def _blocks(whole: Tensor, doubled: tuple[bool, bool]) -> Iterator[Tensor]:
    for part in whole.chunk(2) if doubled[0] else (whole,):
        yield from part.chunk(2, dim=1) if doubled[1] else (part,)


def _support(layer: Layer, doubled: tuple[bool, bool], submatrix: str, centre: bool) -> Tensor:
    """Return which entries of W0 may differ from zero, or raise if the mask does not allow the mirrored form."""
    kept = torch.ones(layer.shape, dtype=torch.bool) if layer.mask is None else layer.mask.cpu()
    convolution = len(layer.shape) > 2
    if submatrix == "orthogonal" and not kept.all():
        raise UserError(
            f"the mask of {layer.label} leaves no orthogonal submatrix.",
            came=f"{int(kept.sum())} of {kept.numel()} weights",
            expected="a layer without a mask",
            attempt="sf.propagation.init.sparse_orthogonal_(net, density, looks_linear=True), which chooses the masks",
        )
    if submatrix == "orthogonal" and convolution and not centre and kept.shape[2:].numel() > 1:
        raise UserError(
            f"an orthogonal submatrix sits on one tap of {layer.label}.", came="centre=False", expected="centre=True"
        )
    first, *others = _blocks(kept, doubled)
    if any(not torch.equal(first, other) for other in others):
        raise UserError(
            f"the mask of {layer.label} is not mirrored: it differs between the blocks that hold W0 and −W0.",
            came="a mask drawn without regard to pairs of units",
            expected="masks of sparsefire.propagation.init.mirrored_masks(net)",
            attempt="masks.write_mask_(layer, mask) with each of these, then this call again",
        )
    if convolution and centre:
        middle = torch.zeros_like(first)
        centre_tap(middle).fill_(True)
        first = first & middle
    return first


def check_chain(net: nn.Module, found: list[Layer]) -> None:
    """Raise, naming the layer, unless these layers are one chain in which pairs of units stay pairs.

    Raises:
        UserError: groups, an odd hidden width, a layer that does not read the one before it, an activation between the
            layers that is no ReLU.
    """
    before: Layer | None = None
    for layer, doubled in _doubled(found):
        if getattr(layer.module, "groups", 1) != 1:
            raise UserError(
                f"groups of channels in {layer.label} keep pairs of units apart.",
                came=f"groups={layer.module.groups}",
                expected="groups=1",
            )
        if doubled[0] and layer.shape[0] % 2:
            raise UserError(
                f"the units of {layer.label} do not come in pairs.",
                came=f"{layer.shape[0]} units",
                expected="an even number in every layer but the last",
                attempt=f"{layer.shape[0] + 1} units",
            )
        if before is not None and not _reads(layer, before):
            raise UserError(
                f"{layer.label} does not read {before.label}, which comes before it.",
                came=f"{layer.shape[1]} inputs after {before.shape[0]} units",
                expected="layers in one chain, in the order of the modules",
                attempt="sf.propagation.init.residual_isometry_ for residual blocks",
            )
        before = layer
    for name, module, last in _between(net, found):
        if isinstance(module, _NOT_RELU):
            raise UserError(
                f"looks-linear needs ReLUs between the layers; {name!r} after {last.label} is none.",
                came=type(module).__name__,
                expected="nn.ReLU",
                attempt="sf.propagation.init.in_degree_(net, gain=...)",
            )


def _reads(layer: Layer, before: Layer) -> bool:
    """Say whether the inputs of a layer are the units before it, or all places of these channels, flattened."""
    if len(before.shape) > 2 and len(layer.shape) == 2:
        return layer.shape[1] % before.shape[0] == 0
    return layer.shape[1] == before.shape[0]


def _between(net: nn.Module, found: list[Layer]) -> Iterator[tuple[str, nn.Module, Layer]]:
    """Yield the other modules between the first layer and the last, with their names and the layer before them."""
    left = len(found)
    modules = {id(layer.module): layer for layer in found}
    last = found[0]
    for name, module in net.named_modules():
        if id(module) in modules:
            last, left = modules[id(module)], left - 1
        elif 0 < left < len(found):
            yield name, module, last


def _check_linear(net: nn.Module, found: list[Layer]) -> None:
    for name, module, last in _between(net, found):
        if isinstance(module, _NOT_LINEAR):
            raise UserError(
                f"pairs of units do not look linear through {name!r} after {last.label}.",
                came=type(module).__name__,
                expected="ReLU, average pooling or flattening between the layers",
                attempt="sf.propagation.init.in_degree_(net)",
            )
