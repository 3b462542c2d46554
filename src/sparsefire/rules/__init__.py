"""How an update is estimated: objects that stand where ``loss.backward()`` stands."""

from sparsefire.rules.activity_forward_gradient import ActivityForwardGradient
from sparsefire.rules.backprop import Backprop
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import Rule
from sparsefire.rules.decorrelated import Decorrelate, DecorrelatedNodePerturbation, with_decorrelation
from sparsefire.rules.deep_zero import CoordinateDifferences
from sparsefire.rules.diagnosis import Diagnosis, diagnose
from sparsefire.rules.forward_gradient import ForwardGradient
from sparsefire.rules.hebbian import Hebbian
from sparsefire.rules.local import (
    DirectFeedbackAlignment,
    EquilibriumPropagation,
    FeedbackAlignment,
    ForwardForward,
    LocalLosses,
    PredictiveCoding,
)
from sparsefire.rules.mezo import MeZO, ReplaySGD
from sparsefire.rules.node_perturbation import NodePerturbation
from sparsefire.rules.one_query import OneQuery
from sparsefire.rules.repeated import Repeated
from sparsefire.rules.sparse_mezo import SparseMeZO
from sparsefire.rules.spsa import SPSA, spsa_rates
from sparsefire.rules.two_query import TwoQuery
from sparsefire.rules.unit_wise import UnitDifferences
from sparsefire.rules.weight_perturbation import WeightPerturbation
from sparsefire.rules.zero_order_sam import ZeroOrderSAM

RULES: dict[str, type] = {
    "backprop": Backprop,
    "forward-gradient": ForwardGradient,
    "repeated-forward-gradient": Repeated,
    "two-query": TwoQuery,
    "spsa": SPSA,
    "weight-perturbation": WeightPerturbation,
    "one-query": OneQuery,
    "hebbian": Hebbian,
    "coordinates": CoordinateDifferences,
    "mezo": MeZO,
    "sparse-mezo": SparseMeZO,
    "zero-order-sam": ZeroOrderSAM,
    "node-perturbation": NodePerturbation,
    "activity-forward-gradient": ActivityForwardGradient,
    "decorrelated-node-perturbation": DecorrelatedNodePerturbation,
    "unit-differences": UnitDifferences,
    "feedback-alignment": FeedbackAlignment,
    "direct-feedback-alignment": DirectFeedbackAlignment,
    "local-losses": LocalLosses,
    "predictive-coding": PredictiveCoding,
    "forward-forward": ForwardForward,
    "equilibrium-propagation": EquilibriumPropagation,
}
"""Rules by the names of the command line."""

__all__ = [
    "RULES",
    "SPSA",
    "ActivityForwardGradient",
    "Backprop",
    "Budget",
    "CoordinateDifferences",
    "Decorrelate",
    "DecorrelatedNodePerturbation",
    "Diagnosis",
    "DirectFeedbackAlignment",
    "EquilibriumPropagation",
    "FeedbackAlignment",
    "ForwardForward",
    "ForwardGradient",
    "Hebbian",
    "LocalLosses",
    "MeZO",
    "NodePerturbation",
    "OneQuery",
    "PredictiveCoding",
    "Repeated",
    "ReplaySGD",
    "Rule",
    "SparseMeZO",
    "TwoQuery",
    "UnitDifferences",
    "WeightPerturbation",
    "ZeroOrderSAM",
    "diagnose",
    "spsa_rates",
    "with_decorrelation",
]
