"""Tables, images and recordings of events: load, check, describe, split, prepare."""

from sparsefire.data.describe import describe, headline
from sparsefire.data.events import Recordings, read_events
from sparsefire.data.new import read_new
from sparsefire.data.prepare import Preparation, fit_preparation, from_stored
from sparsefire.data.problem import Column, Problem
from sparsefire.data.read import open_problem, problem_from_arrays
from sparsefire.data.split import describe_split, folds, split_test

__all__ = [
    "Column",
    "Preparation",
    "Problem",
    "Recordings",
    "describe",
    "describe_split",
    "fit_preparation",
    "folds",
    "from_stored",
    "headline",
    "open_problem",
    "problem_from_arrays",
    "read_events",
    "read_new",
    "split_test",
]
