"""Memory: what is estimated is what is measured, and what does not fit is refused before it is built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import memory_run
import numpy as np
import pytest
from click.testing import CliRunner

from eventsim import fitting, memory
from eventsim.cli import main
from eventsim.errors import MemoryShortage, SimulationError
from eventsim.estimate import estimate
from eventsim.memory import Available, available_memory, reserved
from eventsim.models import LIF
from eventsim.network import Network, Population, Projection
from eventsim.program import build
from eventsim.recording import Rates, Spikes, States
from eventsim.rules import FixedInDegree
from eventsim.simulation import Simulation
from eventsim.stimuli import PoissonNoise

QUICK = ("drawn weights", "given arrays", "exact, drawn delays")
METHODS = pytest.mark.parametrize("method", ["grid", "exact"])


def network(size: int = 100, degree: int = 10) -> Network:
    projection = Projection("a", "a", FixedInDegree(degree), weight=0.5, delay=1.5)
    return Network((Population("a", size, LIF()),), (projection,), (PoissonNoise("a", 5000.0, 0.2),))


@pytest.fixture
def little(monkeypatch):
    """There is hardly any memory."""
    monkeypatch.setattr(fitting, "available_memory", lambda: Available(2000, "on this machine"))
    monkeypatch.setattr(fitting, "PLENTY", 0)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux can forget the peak of what was before")
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in memory_run.NETWORKS]
)
def test_the_peak_is_the_one_that_was_estimated(name):
    done = subprocess.run([sys.executable, memory_run.__file__, name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["measured"] > 50e6
    assert found["peak"] == pytest.approx(found["measured"], rel=0.1), found


@METHODS
def test_a_network_that_does_not_fit_is_refused_before_anything_is_built(method, monkeypatch):
    monkeypatch.setattr(fitting, "available_memory", lambda: Available(1 << 33, "on this machine"))
    large = network(2_000_000, 10_000)
    tracemalloc.start()
    try:
        with pytest.raises(MemoryShortage, match=r"needs \d+.* GiB of memory at its peak \(synapses .* are available .*force=True"):
            Simulation(large, method=method)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6  # of 80 GB


@METHODS
def test_what_is_refused_runs_if_forced(method, little):
    net, record = network(), [Spikes("a"), States("a", interval=1.0)]
    with pytest.raises(SimulationError, match=r"1\.95 KiB are available on this machine"):
        Simulation(net, method=method)
    forced = Simulation(net, method=method, record=record, force=True).run(20.0)
    assert len(forced.spikes["a"].times) > 0 and forced.states["a"].values["v"].shape == (20, 100)


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"workers": 2}, "take fewer workers, a smaller network;"),
        ({"batch": 3}, "take a smaller batch, a smaller network;"),
        ({"dtype": "float64"}, "take dtype='float32', a smaller network;"),
    ],
)
def test_the_refusal_says_what_to_do(settings, advice, little):
    with pytest.raises(MemoryShortage, match=advice):
        Simulation(network(), **settings)


def test_narrow_weights_are_advised_where_there_are_weights(little):
    projection = Projection("a", "a", FixedInDegree(10), weight=memory_run.DRAWN, delay=1.5)
    net = Network((Population("a", 100, LIF()),), (projection,))
    with pytest.raises(MemoryShortage, match="weight_dtype='float16'"):
        Simulation(net)
    with pytest.raises(MemoryShortage, match="take a smaller network"):
        Simulation(net, weight_dtype="float16")


@METHODS
def test_nobody_asks_for_the_memory_of_a_small_network(method, monkeypatch):
    monkeypatch.setattr(fitting, "available_memory", lambda: pytest.fail("asked"))
    Simulation(network(), method=method, record=[States("a", interval=1.0), Rates("a", 1.0)]).run(2.0)


@METHODS
@pytest.mark.parametrize("name", memory_run.NETWORKS)
def test_the_limit_is_that_of_the_estimate(name, method, monkeypatch):
    make, settings = memory_run.NETWORKS[name]
    net = make(True)
    given = {} if method == "exact" else {k: v for k, v in settings.items() if k != "method"}
    guess = estimate(net, method=method, **given)
    program = build(net, 0.1, given.get("dtype", "float32"), 0, given.get("update", "auto"), given.get("weight_dtype"))

    def check() -> None:
        if method == "exact":
            fitting.check_exact_fits(net)
        else:
            fitting.check_grid_fits(program, given.get("workers", 1), given.get("batch", 1))

    needed = guess.peak_bytes - guess.bytes["given"]
    monkeypatch.setattr(fitting, "PLENTY", 0)
    monkeypatch.setattr(fitting, "available_memory", lambda: Available(needed, "here"))
    check()
    monkeypatch.setattr(fitting, "available_memory", lambda: Available(needed - 1, "here"))
    with pytest.raises(MemoryShortage):
        check()


def test_a_recording_that_does_not_fit_is_refused(tmp_path, monkeypatch):
    record = [States("a", ("v", "i"), interval=1.0), Rates("a", 1.0)]
    simulation = Simulation(network(), record=record)
    monkeypatch.setattr(fitting, "PLENTY", 0)
    monkeypatch.setattr(fitting, "available_memory", lambda: Available(10_000, "here"))
    with pytest.raises(MemoryShortage, match=r"run: what is recorded needs 31\.\d+ KiB .*States of 'a' 15\.\d+ KiB.*take to="):
        simulation.run(20.0)
    assert simulation.time == 0.0
    simulation.run(20.0, to=tmp_path / "a.h5")
    assert simulation.run(5.0).states["a"].values["v"].shape == (5, 100)
    assert Simulation(network(), record=record, force=True).run(20.0).rates["a"].counts.shape == (20,)


def test_chosen_neurons_alone_count(monkeypatch):
    monkeypatch.setattr(fitting, "PLENTY", 1000)
    monkeypatch.setattr(fitting, "available_memory", lambda: Available(4000, "here"))
    every, few = States("a", interval=1.0), States("a", neurons=[1, 2], interval=1.0)
    fitting.check_recording_fits([few], network(), lambda interval: 20, 4, 1)
    with pytest.raises(MemoryShortage, match="what is recorded"):
        fitting.check_recording_fits([every], network(), lambda interval: 20, 4, 1)


@METHODS
def test_a_checkpoint_that_does_not_fit_is_refused(method, tmp_path, monkeypatch):
    net = network()
    simulation = Simulation(net, method=method, record=[Spikes("a")])
    simulation.run(5.0)
    simulation.save(tmp_path / "a.npz")
    monkeypatch.setattr(fitting, "PLENTY", 0)
    monkeypatch.setattr(fitting, "available_memory", lambda: Available(2000, "here"))
    with pytest.raises(MemoryShortage, match="force=True"):
        Simulation.load(tmp_path / "a.npz", net)
    loaded = Simulation.load(tmp_path / "a.npz", net, force=True)
    assert np.array_equal(loaded.run(5.0).spikes["a"].times, simulation.run(5.0).spikes["a"].times)


def proc(tmp_path, monkeypatch, groups: str, available: int = 1 << 20) -> Path:
    """A machine with so many KiB and these control groups; the folder where their files stand."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {available} kB\nHugePages_Total: 0\n")
    (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    return tmp_path / "cgroup"


def limit(folder: Path, names: tuple[str, str, str], most: int | str, used: int, cached: int) -> None:
    """A control group. cached : what was read of files, half of it again"""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{most}\n")
    (folder / names[1]).write_text(f"{used}\n")
    halves = cached - cached // 2, cached // 2
    kinds = (f"{names[2]}{kind}_file {half}\n" for kind, half in zip(("inactive", "active"), halves, strict=True))
    (folder / "memory.stat").write_text("cache 7\n" + "".join(kinds))


V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
V2 = ("memory.max", "memory.current", "")


def test_the_machine_is_the_limit_where_no_group_is(tmp_path, monkeypatch):
    proc(tmp_path, monkeypatch, "0::/\n")
    assert available_memory() == (1 << 30, "on this machine")


def test_a_group_of_version_2_is_the_limit(tmp_path, monkeypatch):
    folder = proc(tmp_path, monkeypatch, "0::/user/job\n")
    limit(folder / "user", V2, 5000, 1000, 300)
    limit(folder / "user" / "job", V2, "max", 800, 0)
    assert available_memory() == (4300, "in its control group")
    limit(folder / "user" / "job", V2, 2000, 1800, 0)
    assert available_memory() == (200, "in its control group")
    limit(folder / "user" / "job", V2, 2000, 2100, 0)
    assert available_memory().bytes == 0
    limit(folder / "user" / "job", V2, "max", 800, 900)
    (folder / "user" / "job" / "memory.high").write_text("700\n")
    assert available_memory().bytes == 700


def test_a_group_of_version_1_is_the_limit(tmp_path, monkeypatch):
    folder = proc(tmp_path, monkeypatch, "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n")
    limit(folder / "memory", V1, 5000, 1000, 300)  # in the container its own group stands at the root
    assert available_memory() == (4300, "in its control group")
    limit(folder / "memory", V1, 9223372036854771712, 1000, 300)
    assert available_memory() == (1 << 30, "on this machine")


def test_without_proc_all_memory_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "PROC", tmp_path / "nowhere")
    found = available_memory()
    assert found.whose == "on this machine" and found.bytes > 1 << 28


@pytest.mark.parametrize("groups", ["", "nonsense\n", "0:\n"])
def test_groups_that_cannot_be_read_are_none(tmp_path, monkeypatch, groups):
    proc(tmp_path, monkeypatch, groups)
    assert available_memory() == (1 << 30, "on this machine")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says how many addresses are taken")
def test_a_limit_of_addresses_counts():
    code = (
        "import resource; from eventsim.memory import available_memory, reserved\n"
        "taken = next(1024 * int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmSize'))\n"
        "resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 26), -1)); found = available_memory()\n"
        "assert found.whose == 'within its ulimit -v' and 0 < found.bytes <= 1 << 26, found\n"
        "try: reserved((1 << 26,), 'f8')\n"
        "except MemoryError: print('refused')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "refused\n"


def test_this_machine_has_memory():
    assert 0 <= available_memory().bytes < 1 << 60


@pytest.mark.parametrize("size", [10, memory.LARGE])
def test_what_is_reserved_can_be_written(size):
    array = reserved((2, size), np.int32)
    array[1] = 7
    assert array.shape == (2, size) and array.dtype == np.int32 and np.all(array[1] == 7) and array.flags.c_contiguous


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_what_is_reserved_is_not_shared_after_a_fork():
    code = (
        "import os, numpy as np; from eventsim.memory import reserved\n"
        "array = reserved((4_000_000,), np.int32); array[:] = 1; child = os.fork()\n"
        "if not child: array[:] = 2; os._exit(0)\n"
        "os.waitpid(child, 0); assert np.all(array == 1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@METHODS
def test_info_tells_peak_and_available(method):
    done = CliRunner().invoke(main, ["info", "brunel", "--method", method])
    assert done.exit_code == 0, done.output
    assert "at its peak" in done.output and "are available" in done.output


def test_run_is_refused_unless_forced(tmp_path, little):
    given = ["run", "brunel", "--neurons", "200", "--duration", "5", "--discard", "0", "--output", str(tmp_path / "out")]
    refused = CliRunner().invoke(main, given)
    assert refused.exit_code != 0 and "available on this machine" in refused.output
    forced = CliRunner().invoke(main, [*given, "--force"])
    assert forced.exit_code == 0, forced.output
