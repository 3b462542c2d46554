"""How an update is estimated: objects that stand where ``loss.backward()`` stands."""

from sparsefire.rules.backprop import Backprop
from sparsefire.rules.call import Rule
from sparsefire.rules.deep_zero import CoordinateDifferences
from sparsefire.rules.diagnosis import Diagnosis, diagnose
from sparsefire.rules.forward_gradient import ForwardGradient
from sparsefire.rules.hebbian import Hebbian
from sparsefire.rules.mezo import MeZO, ReplaySGD
from sparsefire.rules.one_query import OneQuery
from sparsefire.rules.repeated import Repeated
from sparsefire.rules.sparse_mezo import SparseMeZO
from sparsefire.rules.spsa import SPSA, spsa_rates
from sparsefire.rules.two_query import TwoQuery
from sparsefire.rules.weight_perturbation import WeightPerturbation
from sparsefire.rules.zero_order_sam import ZeroOrderSAM

RULES: dict[str, type[Backprop] | type[ForwardGradient]] = {"backprop": Backprop, "forward-gradient": ForwardGradient}

__all__ = [
    "RULES",
    "SPSA",
    "Backprop",
    "CoordinateDifferences",
    "Diagnosis",
    "ForwardGradient",
    "Hebbian",
    "MeZO",
    "OneQuery",
    "Repeated",
    "ReplaySGD",
    "Rule",
    "SparseMeZO",
    "TwoQuery",
    "WeightPerturbation",
    "ZeroOrderSAM",
    "diagnose",
    "spsa_rates",
]
