"""What the tests of kernels for GPUs share: the same kernels, compiled for the processor."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def emulated(monkeypatch):
    """Kernels run on the processor."""
    monkeypatch.setenv("EVENTSIM_CUDA", "emulate")
