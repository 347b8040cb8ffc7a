"""What goes wrong while a network is built or run: refused by name, or survived; never a crash, never silence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import eventsim.cpu.instance as instance
import eventsim.long_run as long_run_module
from eventsim import (
    IAF,
    LIF,
    Connectivity,
    Current,
    FixedOutDegree,
    Increment,
    Network,
    NetworkError,
    OneToOne,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Simulation,
    SimulationError,
    Spikes,
    SpikeSource,
    States,
)
from eventsim.adaptation import Adaptation
from eventsim.cpu.scalar import scalar_ops
from eventsim.interrupt import DeferredInterrupt
from eventsim.jit import compiled_once, jit


def driven(neuron, size=40, **options):
    """A population with noise, ready to run."""
    network = Network([Population("n", size, neuron)], inputs=[PoissonNoise("n", 2000.0, 0.3)])
    return Simulation(network, **options)


@pytest.fixture
def interruptible():
    """Python's own handler of Ctrl-C is in force, as it is not where a shell has started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failed_worker_ends_the_simulation_with_the_reason(monkeypatch, workers):
    network = Network(
        [Population("s", 300, PoissonSource(9000.0)), Population("n", 40, LIF())],
        [Projection("s", "n", FixedOutDegree(20), weight=0.01, delay=1.0)],
    )
    simulation = Simulation(network, workers=workers)

    def no_memory(member):
        raise MemoryError("no room")

    with monkeypatch.context() as broken:
        broken.setattr(instance.Member, "make_room", no_memory)
        with pytest.raises(MemoryError, match="no room"):
            simulation.run(20.0)
    for use in (lambda: simulation.run(1.0), lambda: simulation.state("n")):
        with pytest.raises(SimulationError, match="make a new one"):
            use()


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself Ctrl-C there")
@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (1, 2), (3, 2)])
def test_two_interrupts_at_once_do_not_crash(interruptible, batch, workers):
    simulation = driven(LIF(), 3000, batch=batch, workers=workers, record=[States("n"), Spikes("n")], force=True)
    simulation.run(1.0)

    def interrupt():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)

    timer = threading.Timer(0.3, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        simulation.run(1e6)
    while timer.is_alive():
        try:
            timer.join()
        except KeyboardInterrupt:  # the second one, where the first had already ended the run
            continue
    try:  # either the state is whole, and it goes on, or it says that it cannot
        assert simulation.run(1.0).states["n"].times.size == 10
    except SimulationError as error:
        assert "make a new one" in str(error)


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself Ctrl-C there")
@pytest.mark.parametrize("workers", [1, 2])
def test_one_interrupt_leaves_a_simulation_that_goes_on_as_if_nothing_had_been(interruptible, workers):
    one, other = (driven(LIF(), 3000, workers=workers, record=[Spikes("n")]) for _ in range(2))
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        one.run(1e6)
    other.run(round(one.time, 6))
    a, b = one.run(5.0).spikes["n"], other.run(5.0).spikes["n"]
    assert a.times.size and np.array_equal(a.times, b.times) and np.array_equal(a.neurons, b.neurons)
    assert np.array_equal(one.state("n"), other.state("n"))


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself Ctrl-C there")
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_is_heard_where_updates_are_chosen(workers, monkeypatch):
    """In the middle of a piece, which then ends there; what was sampled up to there fits, and the rest is as if nothing had been."""
    heard = []

    class Early(DeferredInterrupt):
        @property
        def asked(self):
            return len(heard) > 0

        @asked.setter
        def asked(self, value):
            assert not value

    decide = Adaptation.decide

    def decide_and_interrupt(self, step, active):
        if step > 300:
            heard.append(step)
        return decide(self, step, active)

    one, other = (driven(LIF(), 3000, workers=workers, record=[Spikes("n"), States("n", interval=0.7)]) for _ in range(2))
    one._length = 10_000  # steps
    with monkeypatch.context() as early:
        early.setattr(long_run_module, "DeferredInterrupt", Early)
        early.setattr(Adaptation, "decide", decide_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            one.run(900.0)
    assert 300 < heard[0] < 1000 and one.time == pytest.approx(0.1 * heard[0])
    other.run(round(one.time, 6))
    a, b = one.run(50.0), other.run(50.0)
    assert a.spikes["n"].times.size and np.array_equal(a.spikes["n"].times, b.spikes["n"].times)
    assert np.array_equal(a.states["n"].times, b.states["n"].times)
    assert np.array_equal(a.states["n"].values["v"], b.states["n"].values["v"])


@pytest.mark.parametrize("workers", [1, 2])
def test_what_fails_where_updates_are_chosen_ends_the_simulation_with_the_reason(workers, monkeypatch):
    simulation = driven(LIF(), 300, workers=workers)

    def fail(self, step, active):
        raise MemoryError("no room")

    monkeypatch.setattr(Adaptation, "decide", fail)
    with pytest.raises(MemoryError, match="no room"):
        simulation.run(20.0)
    with pytest.raises(SimulationError, match="make a new one"):
        simulation.run(1.0)


@pytest.mark.parametrize("handler", [lambda number, frame: None, signal.SIG_IGN, None])
def test_whoever_handles_interrupts_keeps_doing_so(handler, monkeypatch):
    """None: a program that embeds Python handles them, in a way that Python cannot name."""
    before, installed = signal.getsignal(signal.SIGINT), []
    if handler is not None:
        signal.signal(signal.SIGINT, handler)
    monkeypatch.setattr(signal, "getsignal", lambda number: handler)
    monkeypatch.setattr(signal, "signal", lambda *args: installed.append(args))
    try:
        with DeferredInterrupt() as interrupt:
            assert not interrupt.asked
    finally:
        monkeypatch.undo()
        signal.signal(signal.SIGINT, before)
    assert not installed


def test_threads_that_need_the_same_code_compile_it_once():
    made = []

    @compiled_once
    def compile_slowly(name):
        time.sleep(0.05)
        made.append(name)
        return object()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(compile_slowly, "aabbaabb"))
    assert sorted(made) == ["a", "b"] and len(set(map(id, found))) == 2


@pytest.mark.slow
def test_processors_with_the_fewest_instructions_run_every_type(tmp_path):
    """Code that asks for registers that a processor does not have ends the process."""
    code = (
        "from eventsim import *;"
        "n = Network([Population('s', 50, PoissonSource(200.0)), Population('n', 50, LIF())],"
        " [Projection('s', 'n', FixedOutDegree(20), weight=Normal(0.3, 0.1), delay=1.0)]);"
        "kinds = [(t, w) for t in ('float32', 'float64') for w in ('float16', 'float32', None)];"
        "runs = [Simulation(n, dtype=t, weight_dtype=w, update='dense') for t, w in kinds];"
        "[s.run(20.0) for s in runs]; print(*[s.counters.synaptic_events for s in runs])"
    )
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "EVENTSIM_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    events = done.stdout.split()
    assert len(events) == 6 and int(events[0]) > 1000 and len(set(events)) == 1


def test_long_time_constants_wake_nobody():
    network = Network(
        [Population("s", 3, PoissonSource(5.0)), Population("n", 3000, LIF(tau_mem=1e6))],
        [Projection("s", "n", FixedOutDegree(1), weight=0.1, delay=1.0)],
    )
    simulation = Simulation(network, update="sparse", seed=1)
    simulation.run(200.0)
    assert simulation.counters.updates <= 2 * simulation.counters.synaptic_events


@pytest.mark.parametrize("hold", [("v",), ("i",), ("v", "i")])
def test_what_is_held_is_held_in_a_jump_too(hold):
    def run(update):
        neuron = LIF(tau_mem=8.0, tau_syn=6.0, refractory=4.0, hold=hold)
        spikes = SpikeSource([1.0, 1.5, 9.0], [0, 0, 0])
        network = Network(
            [Population("s", 1, spikes), Population("n", 1, neuron)], [Projection("s", "n", OneToOne(), weight=6.0, delay=0.5)]
        )
        simulation = Simulation(network, 0.5, dtype="float64", update=update, record=[States("n", ("v", "i"))])
        states = simulation.run(30.0).states["n"].values
        return np.stack([states["v"], states["i"]])

    dense, sparse = run("dense"), run("sparse")
    assert dense.max() > 1.0
    np.testing.assert_allclose(sparse, dense, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("population", "given"),
    [
        (Population("n", 2, LIF(v_th=1e39)), []),
        (Population("n", 2, LIF(tau_mem=1e-320)), []),
        (Population("n", 2, LIF(), initial={"v": 1e39}), []),
        (Population("n", 2, LIF(refractory=2e7)), []),
        (Population("n", 2, LIF()), [PoissonNoise("n", 10.0, 1e39)]),
        (Population("n", 2, LIF()), [PoissonNoise("n", 1e14, 1.0)]),
        (Population("n", 2, LIF()), [Increment("n", [0.0, -1e39])]),
        (Population("n", 2, LIF()), [Current("n", 1e39)]),
    ],
)
def test_what_the_state_type_cannot_hold_is_refused_by_name(population, given):
    with pytest.raises(NetworkError, match="'n'"):
        Simulation(Network([population], inputs=given))


def test_a_later_current_that_the_type_cannot_hold_is_refused_by_name():
    simulation = Simulation(Network([Population("n", 2, LIF())], inputs=[Current("n", [0.0, 1e39], times=[0.0, 1.0])]))
    with pytest.raises(NetworkError, match="'n'"):
        simulation.run(2.0)


def test_delays_beyond_any_wheel_are_refused_by_name():
    network = Network([Population("n", 2, LIF())], [Projection("n", "n", OneToOne(), weight=1.0, delay=1e7)])
    with pytest.raises(NetworkError, match="longest delay"):
        Simulation(network)


def test_the_wheel_grows_by_its_longest_list_alone():
    rng = np.random.default_rng(0)
    n, k, longest = 4000, 50, 800
    delays = rng.integers(1, longest, n * k) * 0.1
    made = Connectivity.from_arrays(np.arange(n + 1) * k, np.tile(np.arange(k), n), k)
    network = Network(
        [Population("s", n, SpikeSource(np.full(n, 1.0), np.arange(n))), Population("n", k, LIF())],
        [Projection("s", "n", made, weight=0.0, delay=delays)],
    )
    simulation = Simulation(network)
    simulation.run(100.0)
    member = simulation._items[0].members[0]
    assert simulation.counters.synaptic_events == n * k
    assert member.wheel.shape[1] // 2 < 20 * n * k / longest


def test_a_current_that_changes_in_every_step_is_cheap_and_right():
    steps, n = 400, 3000
    amplitude = np.random.default_rng(2).normal(0.8, 0.5, (steps, n))
    for neuron in (LIF(tau_mem=10.0), IAF()):
        network = Network([Population("n", n, neuron)], inputs=[Current("n", amplitude, interval=0.1)])
        simulation = Simulation(network, 0.1, dtype="float64")
        simulation.run(0.1 * (steps - 1))
        began = time.perf_counter()
        simulation.run(0.1)
        assert time.perf_counter() - began < 0.05
        v = np.zeros(n)
        for row in amplitude:
            v = v - np.expm1(-0.01) * (row - v) if neuron.model is LIF else v + 0.1 * row
            v = np.where(v > 1.0, 0.0, v)
        np.testing.assert_allclose(simulation.state("n"), v, rtol=1e-10, atol=1e-12)


def test_a_damaged_cache_is_compiled_anew(tmp_path):
    code = "from eventsim.random import philox; print(int(philox(*[__import__('numpy').uint32(0)] * 6)[0]))"
    environment = {**os.environ, "EVENTSIM_CACHE_DIR": str(tmp_path)}

    def run():
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, check=True
        ).stdout

    first = run()
    files = list(tmp_path.rglob("*.code"))
    assert files
    for index, file in enumerate(files):
        content = bytearray(file.read_bytes())
        content[(37 * index + 101) % len(content)] ^= 0xFF
        file.write_bytes(bytes(content) if index % 2 else content[: len(content) // 2])
    assert run() == first == f"{0x6627E8D5}\n"  # the published number for counter and key 0


KERNELS_OF_ONE_NAME = """
import sys
from ctypes import CFUNCTYPE, c_int64
from numba import njit, types
from eventsim.jit import compile_callback

def make(number):
    @njit
    def inner(x):  # calls itself, so that it is not inlined
        return number if x < 2 else inner(x - 1) + inner(x - 2)

    def kernel(x):
        return inner(x)

    return compile_callback(types.int64(types.int64), kernel, f"kernel {number}")

print(*[CFUNCTYPE(c_int64, c_int64)(make(int(number)).address)(2) // 2 for number in sys.argv[1:]])
"""


def test_code_that_several_processes_have_kept_stays_apart(tmp_path):
    environment = {**os.environ, "EVENTSIM_CACHE_DIR": str(tmp_path)}
    for numbers in (["1"], ["2"], ["1", "2"], ["2", "1"]):
        made = subprocess.run(
            [sys.executable, "-c", KERNELS_OF_ONE_NAME, *numbers], env=environment, capture_output=True, text=True
        )
        assert made.stdout.split() == numbers, made.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_processes_number_functions_each_for_itself():
    from numba.core.bytecode import FunctionIdentity

    numbers = set()
    for _ in range(2):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, str(next(FunctionIdentity._unique_ids)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        numbers.add(os.read(read, 100))
    assert len(numbers) == 2


def test_a_function_that_is_handed_operations_leaves_no_address_in_the_code():
    """However large it is: else its callers could not be kept, and each process would compile them anew."""

    def large(ops, x):
        for _ in range(3):
            x = ops.exp(-x * x) + ops.expm1(-x) * ops.sqrt(x * x + x) + ops.exp(-x) * ops.log1p(x * x) + ops.sin(x) * ops.cos(x)
            x = ops.arctan(x) + ops.absolute(x) * ops.minimum(x, x * x) + ops.phi(x * x) * ops.log1p_over(x * x)
        return x

    inner, operations = jit(large), scalar_ops(np.dtype(np.float64))

    @jit
    def calls_it_twice(x):
        return inner(operations, x) + inner(operations, inner(operations, x))

    assert np.isfinite(calls_it_twice(1.0))
    (signature,) = calls_it_twice.signatures
    assert not calls_it_twice.overloads[signature].library.has_dynamic_globals
