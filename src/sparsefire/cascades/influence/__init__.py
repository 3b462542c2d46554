"""Which sources get furthest."""

from sparsefire.cascades.influence.choose import Influence, maximise, schedule

__all__ = ["Influence", "maximise", "schedule"]
