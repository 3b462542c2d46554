"""Many runs: each is named by what it is, kept on disk as soon as it has finished, and never run twice."""

from sparsefire.studies.spec import canonical, key_of
from sparsefire.studies.store import Store, StoredRun

__all__ = ["Store", "StoredRun", "canonical", "key_of"]
