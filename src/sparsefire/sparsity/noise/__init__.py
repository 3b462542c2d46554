"""Synaptic noise: weights that are perturbed while they learn, which is a penalty on them.

For a linear model under squared loss, G = XᵀX / n, independent noise of mean zero on the weights adds

    1/2 · Σ_j G_jj · Var(θ_j)

to the expected loss, exactly. So signs ±η on both factors of θ = m · w give (η² / 2) Σ G_jj (m² + w²) and a constant,
which has the minima of a lasso with weights η² G_jj; noise of variance e² |θ|, as of synapses that release Poisson
numbers of quanta, gives (e² / 2) Σ G_jj |θ_j| on plain weights. Dropout, jitter of spike times and any other noise in
proportion to the weight give a ridge penalty. That noise before the gradient is an explicit penalty is known:
A. Orvieto, A. Raj, H. Kersting, F. Bach. Explicit regularization in overparametrized models via noise injection,
AISTATS 2023. arXiv:2206.04613

**Exact for linear models, experimental for networks.** There the penalty on a weight is in proportion to its
curvature, which vanishes for silent inputs, dead units and once a loss is fitted: noise makes weights easier to prune
and does not make them zero. On handwritten digits 84 to 95% of weights stay whatever η is, and an explicit penalty
(``spred``) is better at every density. The density asked for is then the work of the pruning.

What goes wrong: a step too large (without signal, two queries are stable below 1 / (d η² (1 + d / n)) only, and with
one below about 2 / (d λ_max(G) max|θ|)); columns of different scale, which are penalised by their G_jj; the same signs
on both factors, which shift θ by η²; only one factor perturbed, which leaves no penalty; Gaussian numbers, whose
gradients vary many times more; batches smaller than about n / (2 log d). The rate must fall, η need not.
"""

from sparsefire.sparsity.noise.queries import two_queries
from sparsefire.sparsity.noise.steering import SteeredNoise
from sparsefire.sparsity.noise.weights import NoisyProduct, NoisyWeight, Shaken, Shaking, shaken
from sparsefire.sparsity.parameterisation import Parameterisation

NOISY_PRODUCT = Parameterisation("noisy product", NoisyProduct, Shaking, draws=True, decay="none")
NOISY_WEIGHT = Parameterisation("noisy weight", NoisyWeight, Shaking, draws=True)

__all__ = [
    "NOISY_PRODUCT",
    "NOISY_WEIGHT",
    "NoisyProduct",
    "NoisyWeight",
    "Shaken",
    "Shaking",
    "SteeredNoise",
    "shaken",
    "two_queries",
]
