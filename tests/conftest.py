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


def pytest_addoption(parser):
    """``--backend cuda``: every simulation on a grid that does not say where it runs does so on a GPU, or what stands in for one."""
    parser.addoption("--backend", choices=["cpu", "cuda"], default="cpu", help="where simulations run that do not say so")


@pytest.fixture(scope="session", autouse=True)
def backend(request):
    """The backend of this run of the tests: where every simulation runs that does not say so."""
    chosen = request.config.getoption("--backend")
    if chosen == "cpu":
        yield chosen
        return
    from eventsim.cuda.simulation import CudaSimulation
    from eventsim.simulation import Simulation

    original, start = Simulation.__new__, CudaSimulation.__init__

    def make(cls, *args, **given):
        there = cls is Simulation and given.get("method", "grid") == "grid" and "backend" not in given
        return original(cls, *args, **given, **({"backend": "cuda"} if there else {}))

    def begin(self, *args, workers=None, **given):
        update = given.get("update", "auto")
        if "sparse" in ([update] if isinstance(update, str) else update.values()):
            pytest.skip("backend='cuda': it updates densely")
        start(self, *args, **given)  # threads have no meaning there

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Simulation, "__new__", make)
        patch.setattr(CudaSimulation, "__init__", begin)
        yield chosen


@pytest.fixture(autouse=True)
def of_this_backend(request, backend):
    """Skips tests that are marked ``cpu_only(reason)`` where the backend is another one."""
    mark = request.node.get_closest_marker("cpu_only")
    if mark is not None and backend != "cpu":
        pytest.skip(f"backend={backend!r}: {mark.args[0]}")
