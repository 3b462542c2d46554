"""Judging a trained model: what it costs, how fast it runs here, and what it does to groups."""

from sparsefire.evaluate.costs import biases_of, boosting_bytes, macs, stored_bytes, weights_of
from sparsefire.evaluate.groups import by_group
from sparsefire.evaluate.latency import latency

__all__ = ["biases_of", "boosting_bytes", "by_group", "latency", "macs", "stored_bytes", "weights_of"]
