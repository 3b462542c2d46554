"""Changes of the optimizer step itself: wrappers of any torch optimizer, and the same as parts of a recipe."""

from sparsefire.sparsity.steps.decay import DecayOff
from sparsefire.sparsity.steps.ham import HAM, HyperbolicStep, hyperbolic_step_
from sparsefire.sparsity.steps.sam import SAM, SecondPass
from sparsefire.sparsity.steps.wrapper import Wrapper, needs_closure

__all__ = ["HAM", "SAM", "DecayOff", "HyperbolicStep", "SecondPass", "Wrapper", "hyperbolic_step_", "needs_closure"]
