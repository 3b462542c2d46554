"""MeZO on the small weights alone.

Y. Liu, Z. Zhu, C. Gong, M. Cheng, C.-J. Hsieh, Y. You. Sparse MeZO: less parameters for better performance in
zeroth-order LLM fine-tuning, NeurIPS 2025. arXiv:2402.15751
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.active import Active
from sparsefire.rules.mezo import MeZO


@dataclass(eq=False)
class SparseMeZO(MeZO):
    """As :class:`~sparsefire.rules.mezo.MeZO`, but only weights up to a threshold of their parameter move.

    Thresholds are quantiles of |θ| over the active weights of each parameter with more than one dimension, taken when
    the rule first sees the network and whenever the number of active weights has changed; the mask |θ| ≤ threshold is
    found anew in every call, so that weights that outgrow it rest. Vectors (biases, norms) move as a whole.

    Args:
        share: of the weights of each parameter that lie below its threshold, in (0, 1].
        scale, directions, law, rng: as of MeZO.

    >>> import torch
    >>> net = nn.Linear(100, 1, bias=False); before = net.weight.detach().clone()
    >>> rule = SparseMeZO(share=0.25, rng=0)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 100), torch.zeros(5, 1))
    >>> rule.budget.random_bits // 32
    25
    """

    share: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise UserError("a share of the weights moves.", came=f"share={self.share!r}", expected="in (0, 1]")
        self._thresholds: dict[str, float] | None = None
        self._sizes: list[int] = []
        self._keep: dict[str, Tensor] | None = None

    def _active(self, net: nn.Module) -> Active:
        whole = Active(net)
        if self.pending and self._keep is not None:  # steps that wait are for these places
            return Active(net, self._keep)
        if self._thresholds is None or self._sizes != whole.sizes:
            self._sizes = list(whole.sizes)
            self._thresholds = {
                name: _quantile(parameter.detach(), whole.places[name], self.share)
                for (name, parameter), size in zip(whole.parameters.items(), whole.sizes, strict=True)
                if parameter.ndim > 1 and size
            }
        self._keep = {
            name: whole.parameters[name].detach().abs() <= threshold
            for name, threshold in self._thresholds.items()
            if name in whole.parameters
        }
        return Active(net, self._keep)

    def state_dict(self) -> dict[str, object]:
        """Return what the rule remembers, as plain numbers."""
        return {**super().state_dict(), "thresholds": self._thresholds, "sizes": self._sizes}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from where such a state was taken."""
        super().load_state_dict(state)
        self._thresholds = state["thresholds"]  # type: ignore[assignment]
        self._sizes = list(state["sizes"])  # type: ignore[call-overload]


def _quantile(weight: Tensor, place: Tensor | None, share: float) -> float:
    """Return the size of the k-th smallest active weight, k the share of their number, at least 1."""
    sizes = weight.abs().flatten() if place is None else weight.abs().flatten()[place]
    return float(sizes.kthvalue(max(1, round(share * len(sizes)))).values)
