"""Networks begin as torch draws them: the same at every run, whatever ran before."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_networks() -> None:
    torch.manual_seed(0)
