"""What the tests of the local rules share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_networks_every_time() -> Iterator[None]:
    """Let new layers and dropout draw the same numbers in every run, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        yield
