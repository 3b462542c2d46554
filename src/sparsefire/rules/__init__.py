"""How an update is estimated: objects that stand where ``loss.backward()`` stands."""

from sparsefire.rules.backprop import Backprop
from sparsefire.rules.call import Rule
from sparsefire.rules.forward_gradient import ForwardGradient

RULES: dict[str, type[Backprop] | type[ForwardGradient]] = {"backprop": Backprop, "forward-gradient": ForwardGradient}

__all__ = ["RULES", "Backprop", "ForwardGradient", "Rule"]
