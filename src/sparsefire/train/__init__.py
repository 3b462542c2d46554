"""From a described network and rows to a trained one: the loop, the networks, and the two yardsticks beside them."""

from sparsefire.train.boosting import fit_boosting
from sparsefire.train.linear import fit_linear
from sparsefire.train.loop import Training, outputs_of, train
from sparsefire.train.networks import build, narrow, weight_count

__all__ = ["Training", "build", "fit_boosting", "fit_linear", "narrow", "outputs_of", "train", "weight_count"]
