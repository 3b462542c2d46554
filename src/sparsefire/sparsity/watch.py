"""What masks and signs do in the course of a training, looked at on demand.

Exploration rate: S. Liu, L. Yin, D. C. Mocanu, M. Pechenizkiy. Do we actually need dense over-parameterization?
ICML 2021. arXiv:2102.02887
Sign flips: A. Gadhikar, R. Burkholz. Masks, signs, and learning rate rewinding, ICLR 2024. arXiv:2402.19262
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.conserved import product_balance
from sparsefire.sparsity.parameterisation.product import Product

_QUANTILES = {"balance_05": 0.05, "balance_50": 0.5, "balance_95": 0.95}


class Watch:
    """Memory of what a network looked like; each :meth:`look` compares with the one before and gives a table.

    One look costs about as much as reading all weights once. Nothing happens between looks: a sign that flipped and
    flipped back is not seen, and a weight that came and went was never there.

    Args:
        net: masked or not; its layers are those that can be masked.

    >>> net = nn.Linear(2, 1, bias=False); _ = net.weight.data.copy_(torch.tensor([[1.0, -1.0]]))
    >>> watch = Watch(net)
    >>> _ = net.weight.data.copy_(torch.tensor([[1.0, 2.0]]))
    >>> watch.look()[["active", "flips"]].to_dict("records")
    [{'active': 2, 'flips': 1}]
    """

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.looks = 0
        self._signs: dict[str, Tensor] = {}
        self._masks: dict[str, Tensor] = {}
        self._ever: dict[str, Tensor] = {}
        self._flips: dict[str, int] = {}
        self._remember()

    def look(self) -> pd.DataFrame:
        """Return one row per layer (the index), and remember the network for the next look.

        Returns:
            Columns: ``weights``; ``active`` of them; ``density``; ``flips``, signs that differ from the last look (at
            first: from the start of the watch) among weights that are not zero in both; ``all_flips``, their sum over
            looks; ``shared``, weights in the mask now and at the last look, and ``jaccard``, their share of those in
            either; ``explored``, the share of weights that were in the mask at any look (ITOP's R_s, arXiv:2102.02887);
            ``balance_05``, ``balance_50``, ``balance_95``, quantiles of m² − w² where weights are products m · w, NaN
            elsewhere.
        """
        before_signs, before_masks = self._signs, self._masks
        self._remember()
        self.looks += 1
        layers, rows = _layers(self.net), []
        for name, mask in self._masks.items():
            flips = int((self._signs[name] * before_signs.get(name, self._signs[name]) < 0).sum())
            self._flips[name] = self._flips.get(name, 0) + flips
            active = int(mask.sum())
            shared, jaccard = _overlap(mask, before_masks.get(name, mask))
            rows.append(
                {
                    "layer": name,
                    "weights": mask.numel(),
                    "active": active,
                    "density": active / mask.numel(),
                    "flips": flips,
                    "all_flips": self._flips[name],
                    "shared": shared,
                    "jaccard": jaccard,
                    "explored": float(self._ever[name].float().mean()),
                    **_balance(layers[name]),
                }
            )
        return pd.DataFrame(rows).set_index("layer")

    def state_dict(self) -> dict[str, Any]:
        """Return the numbers and tensors with which another watch goes on."""
        kept = {"sign": self._signs, "mask": self._masks, "ever": self._ever}
        state: dict[str, Any] = {"looks": self.looks}
        for what, values in kept.items():
            state.update({f"{what}.{name}": value.clone() for name, value in values.items()})
        return {**state, **{f"flips.{name}": count for name, count in self._flips.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state_dict` returned.

        Raises:
            UserError: a state of other layers.
        """
        missing = [name for name in self._masks if f"mask.{name}" not in state]
        if missing:
            raise UserError(
                f"this state knows no layer {missing[0]!r}.",
                came=", ".join(key.removeprefix("mask.") for key in state if key.startswith("mask.")) or "no layer",
                expected="the state of a watch over the same network",
            )
        self.looks = int(state["looks"])
        for what, values in (("sign", self._signs), ("mask", self._masks), ("ever", self._ever)):
            for name in values:
                values[name] = state[f"{what}.{name}"].to(values[name].device).clone()
        self._flips = {name: int(state.get(f"flips.{name}", 0)) for name in self._masks}

    @torch.no_grad()
    def _remember(self) -> None:
        layers = _layers(self.net)
        weights = {name: _weight(module) for name, module in layers.items()}
        self._signs = {name: weight.sign().to(torch.int8) for name, weight in weights.items()}
        self._masks = {name: _mask(module, weights[name]) for name, module in layers.items()}
        self._ever = {name: mask | self._ever.get(name, mask) for name, mask in self._masks.items()}


def sign_agreement(net: nn.Module, twin: nn.Module | Mapping[str, Tensor]) -> pd.DataFrame:
    """Return, per layer, how many signs agree with those of another network, such as a dense twin.

    Args:
        net: masked or not.
        twin: a network with the same layers, or the ``state_dict`` of a plain one.

    Returns:
        Index: layers. Columns: ``compared``, weights that are not zero in both, and ``agreement``, the share of these
        with the same sign; NaN for none.

    Raises:
        UserError: a layer that the twin lacks or has in another shape.

    >>> net = nn.Linear(2, 1)
    >>> sign_agreement(net, {"weight": -net.weight.detach()}).agreement.tolist()
    [0.0]
    """
    theirs: Mapping[str, Tensor] = twin  # type: ignore[assignment]
    if isinstance(twin, nn.Module):
        theirs = {_key(name, module): _weight(module) for name, module in _layers(twin).items()}
    rows = []
    for name, module in _layers(net).items():
        weight = _weight(module)
        product = weight.sign() * _same_shape(name, weight, theirs.get(_key(name, module))).sign()
        compared = int(product.count_nonzero())
        agree = int((product > 0).sum()) / compared if compared else float("nan")
        rows.append({"layer": name, "compared": compared, "agreement": agree})
    return pd.DataFrame(rows).set_index("layer")


def mask_overlap(net: nn.Module, other: nn.Module | Mapping[str, Tensor]) -> pd.DataFrame:
    """Return, per layer, how much of its mask a network shares with another.

    Args:
        net: masked or not; without a mask, weights exist where they are not zero.
        other: a network with the same layers, or bool masks by layer name, as :func:`sparsefire.masks.masks` returns.

    Returns:
        Index: layers. Columns: ``shared``; ``jaccard``, their share of the weights in either mask (1 for two empty
        ones); ``chance``, what two independent random masks of these counts have on average.

    Raises:
        UserError: a layer that the other lacks or has in another shape.

    >>> net = nn.Linear(4, 1); masks.attach_(net, torch.tensor([[True, True, False, False]]))
    >>> mask_overlap(net, {"": torch.tensor([[True, False, True, False]])}).shared.tolist()
    [1]
    """
    theirs: Mapping[str, Tensor] = other if not isinstance(other, nn.Module) else _masks(other)
    rows = []
    for name, mask in _masks(net).items():
        second = _same_shape(name, mask, theirs.get(name)).bool()
        shared, jaccard = _overlap(mask, second)
        expected = int(mask.sum()) * int(second.sum()) / mask.numel()
        either = int(mask.sum()) + int(second.sum()) - expected
        chance = expected / either if either else 1.0
        rows.append({"layer": name, "shared": shared, "jaccard": jaccard, "chance": chance})
    return pd.DataFrame(rows).set_index("layer")


def _layers(net: nn.Module) -> dict[str, nn.Module]:
    found = {**masks.maskable(net), **masks.masked(net)}
    if not found:
        raise UserError("this network has no weights to watch.", came=type(net).__name__)
    return found


@torch.no_grad()
def _weight(module: nn.Module) -> Tensor:
    """Return the effective weight; one that is drawn in training is looked at as it will be exported."""
    own = masks.mask_of(module)
    training = own is not None and own.training
    if own is not None:
        own.eval()
    try:
        return module.weight.detach().clone()  # type: ignore[operator]
    finally:
        if own is not None:
            own.train(training)


def _mask(module: nn.Module, weight: Tensor) -> Tensor:
    own = masks.mask_of(module)
    return weight != 0 if own is None else own.mask.clone()


def _masks(net: nn.Module) -> dict[str, Tensor]:
    return {name: _mask(module, _weight(module)) for name, module in _layers(net).items()}


def _overlap(one: Tensor, other: Tensor) -> tuple[int, float]:
    shared, either = int((one & other).sum()), int((one | other).sum())
    return shared, shared / either if either else 1.0


def _balance(module: nn.Module) -> dict[str, float]:
    own = masks.mask_of(module)
    if not isinstance(own, Product) or not bool(own.mask.any()):
        return dict.fromkeys(_QUANTILES, float("nan"))
    original: Any = masks.own_parameter(module)
    kept = product_balance((own.factor, original))[own.mask.cpu().numpy()]
    return dict(zip(_QUANTILES, map(float, np.quantile(kept, list(_QUANTILES.values()))), strict=True))


def _key(name: str, module: nn.Module) -> str:
    if isinstance(module, masks.Projection):
        return f"{name}_weight"
    return f"{name}.weight" if name else "weight"


def _same_shape(name: str, own: Tensor, other: Any) -> Tensor:
    if not isinstance(other, Tensor) or other.shape != own.shape:
        raise UserError(
            f"the other network does not have layer {name!r} as this one does.",
            came="no such layer" if not isinstance(other, Tensor) else f"shape {tuple(other.shape)}",
            expected=f"shape {tuple(own.shape)}",
        )
    return other.to(own.device)
