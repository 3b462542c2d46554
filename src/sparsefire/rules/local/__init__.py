"""Local rules on ordinary modules: no error passes back through the transposed weights of the whole network."""

from sparsefire.rules.local.direct_feedback_alignment import DirectFeedbackAlignment
from sparsefire.rules.local.equilibrium import EquilibriumPropagation
from sparsefire.rules.local.feedback_alignment import FeedbackAlignment
from sparsefire.rules.local.forward_forward import ForwardForward
from sparsefire.rules.local.local_losses import LocalLosses
from sparsefire.rules.local.predictive_coding import PredictiveCoding

__all__ = [
    "DirectFeedbackAlignment",
    "EquilibriumPropagation",
    "FeedbackAlignment",
    "ForwardForward",
    "LocalLosses",
    "PredictiveCoding",
]
