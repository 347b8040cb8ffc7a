"""What all tests share: where real data lies, and hypothesis without deadlines (a first call compiles)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Where tests run in several processes (pytest -n), threads that wait for work shall not keep a processor from another process.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# What a shell starts in the background ignores Ctrl-C, and so would all that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run; new ones with `pytest --hypothesis-profile=explore`.
settings.register_profile("eventsim", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("eventsim")


@pytest.fixture(scope="session")
def data_file():
    """``data_file(name)`` is the path of a file of real data, or skips the test where it is absent.

    Looked for in the folder that the variable EVENTSIM_DATA names, else in ../shared/data beside the checkout.
    """
    folder = Path(os.environ.get("EVENTSIM_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"needs {name}, which is not in {folder}; set EVENTSIM_DATA to the folder that holds it")
        return path

    return find
