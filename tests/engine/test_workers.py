"""What workers are made of: their share of a population, the barrier, the cores, how spikes are collected."""

from __future__ import annotations

import os
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsim import (
    LIF,
    FixedProbability,
    Network,
    Normal,
    PoissonNoise,
    Population,
    Projection,
    Simulation,
    SimulationError,
    Spikes,
    Uniform,
)
from eventsim.adaptation import Adaptation
from eventsim.cpu import barrier, crew
from eventsim.cpu.cores import ROOM, current_core, leave_core
from eventsim.cpu.crew import FIRST_REST, LONGEST_REST, LOOK_AFTER, LOOK_AGAIN, Rests, muster, runner_of
from eventsim.cpu.dense import collect
from eventsim.cpu.inputs import poisson_thresholds_reached
from eventsim.jit import jit
from eventsim.simulation import LONG, SHORT
from eventsim.state import share


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(1, 9))
def test_shares_cover_every_population_and_are_even(sizes, workers):
    owned = np.zeros(workers, int)
    for number, size in enumerate(sizes):
        ranges = [share(number, size, worker, workers) for worker in range(workers)]
        assert ranges[0][0] == 0 and ranges[-1][1] == size
        assert all(a[1] == b[0] for a, b in zip(ranges, ranges[1:], strict=False))
        counts = [high - low for low, high in ranges]
        assert max(counts) - min(counts) <= 1
        owned += counts
    if len(set(sizes)) == 1 and len(sizes) % workers == 0:
        assert owned.max() == owned.min()  # what is left over goes round


@given(st.integers(0, 100), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_collect_finds_all_that_fired_in_order(n, share_of_them, seed):
    fired = (np.random.default_rng(seed).random(n) < share_of_them).astype(np.uint8)
    padded = np.zeros(-(-n // 8) * 8, np.uint8)
    padded[:n] = fired
    out = np.full(n + 1, -1, np.int32)
    count = collect(padded[:n], padded.view(np.uint64)[: n // 8], out)
    assert np.array_equal(out[:count], np.flatnonzero(fired)) and out[n] == -1


@given(st.integers(0, 70), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_thresholds_are_counted(count, n, seed):
    rng = np.random.default_rng(seed)
    thresholds = np.sort(rng.integers(0, 2**32, count, dtype=np.uint32))
    bits = np.concatenate([rng.integers(0, 2**32, n, dtype=np.uint32), thresholds[:5], np.array([0, 2**32 - 1], np.uint32)])
    out = np.full(len(bits), -7, np.int32)
    poisson_thresholds_reached(bits, thresholds, out)
    assert np.array_equal(out, np.searchsorted(thresholds, bits, side="right"))


@jit
def _rounds(shared, worker, workers, rounds, counts, seen):
    """Meets again and again; every worker must then see what all had counted."""
    for number in range(1, rounds + 1):
        counts[worker] = number
        if not barrier.wait(shared, worker, workers, barrier.arrive(shared, workers, 1)):
            return number
        for other in range(workers):
            seen[worker] += counts[other] < number
        if not barrier.wait(shared, worker, workers, barrier.arrive(shared, workers, 1)):
            return number
    return 0


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_nobody_passes_before_all_have_arrived(workers):
    """With more workers than cores those that wait do not spin: they sleep, and are woken."""
    shared = barrier.new_shared(workers)
    counts, seen = np.zeros(workers, np.int64), np.zeros(workers, np.int64)
    results = [-1] * workers

    def work(worker):
        results[worker] = _rounds(shared, worker, workers, 300, counts, seen)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert results == [0] * workers and not seen.any() and np.all(counts == 300)


def test_who_sleeps_is_woken_when_somebody_gives_up():
    shared = barrier.new_shared(2)
    counts, seen = np.zeros(2, np.int64), np.zeros(2, np.int64)
    results = []
    thread = threading.Thread(target=lambda: results.append(_rounds(shared, 0, 2, 5, counts, seen)))
    thread.start()
    deadline = time.monotonic() + 30.0
    while shared[barrier.ASLEEP] == 0 and barrier.CAN_SLEEP and time.monotonic() < deadline:
        time.sleep(0.001)
    assert shared[barrier.ASLEEP] == int(barrier.CAN_SLEEP)
    barrier.give_up(shared)
    thread.join(30.0)
    assert results == [1] and shared[barrier.ASLEEP] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which core a thread runs on")
def test_a_thread_leaves_its_core_and_may_come_back():
    allowed = os.sched_getaffinity(0)
    core = current_core()
    assert core in allowed
    room = np.zeros(ROOM, np.int64)
    leave_core(core, room)
    assert os.sched_getaffinity(0) == allowed
    if len(allowed) > 1:
        moved = set()
        for _ in range(20):  # the system may move it back at any time
            here = current_core()
            leave_core(here, room)
            moved.add(current_core() != here)
        assert True in moved
    leave_core(-1, room)
    leave_core(10**6, room)
    assert os.sched_getaffinity(0) == allowed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_simulation_with_threads_refuses_to_run_in_a_forked_process():
    simulation = Simulation(Network((Population("cells", 100, LIF()),)), 0.1, workers=2)
    simulation.run(1.0)
    child = os.fork()
    if child == 0:
        try:
            simulation.run(1.0)
        except SimulationError as error:
            os._exit(7 if "after forking" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    simulation.run(1.0)


@given(st.integers(1, 7), st.data())
def test_every_worker_is_run_by_somebody_who_is_there(workers, data):
    """Its own thread if that is there; what the absent ones leave goes round among the others."""
    present = sorted({0, *data.draw(st.lists(st.integers(0, workers - 1)))})
    shared = barrier.new_shared(workers)
    muster(shared, workers, present, 1)
    runners = [runner_of(shared, worker, workers, 1) for worker in range(workers)]
    assert all(runners[worker] == worker for worker in present)
    taken = [runners[worker] for worker in range(workers) if worker not in present]
    assert taken == [present[k % len(present)] for k in range(len(taken))]


def test_who_leaves_again_at_once_rests_twice_as_long():
    now = [0.0]
    rests = Rests(3, lambda: now[0])
    assert rests.present() == [0, 1, 2]
    lengths = []
    for _ in range(8):
        rests.left(1)
        assert rests.present() == [0, 2]
        lengths.append(rests.until[1] - now[0])
        now[0] = rests.until[1]
        assert rests.present() == [0, 1, 2]
        now[0] += 0.01
    assert lengths[0] == FIRST_REST and lengths[-1] == pytest.approx(LONGEST_REST)
    assert all(b == pytest.approx(min(2.0 * a, LONGEST_REST)) for a, b in zip(lengths, lengths[1:], strict=False))
    assert rests.window() == LOOK_AGAIN
    now[0] += 100.0
    assert rests.window() == LOOK_AFTER
    rests.left(1)
    assert rests.until[1] - now[0] == pytest.approx(FIRST_REST)


def flip(self, step, active):
    """Updates that change nearly all the time, as the counts have it, in the place of `Adaptation.decide`."""
    changed = [g for g, count in enumerate(active) if self.free[g] and (count + step + g) % 3 == 0]
    for g in changed:
        self.sparse[g] = not self.sparse[g]
    self.next = step + 1 + sum(active) % 9
    return changed


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("workers", [2, 4])
def test_threads_that_leave_and_come_back_change_nothing(monkeypatch, workers, flips):
    """Every thread but the first is told that it starves, again and again; others run its worker. Also where updates change."""
    if flips:
        monkeypatch.setattr(Adaptation, "decide", flip)
    network = Network(
        [Population("a", 300, LIF(tau_mem=10.0)), Population("b", 70, LIF(tau_mem=15.0, refractory=1.0))],
        [
            Projection("a", "b", FixedProbability(0.2), weight=Normal(0.2, 0.05), delay=Uniform(0.1, 3.0)),
            Projection("b", "a", FixedProbability(0.2), weight=Normal(-0.2, 0.05), delay=Uniform(0.1, 3.0)),
        ],
        [PoissonNoise("a", 2000.0, 0.15), PoissonNoise("b", 1000.0, 0.1)],
    )

    def run(count):
        simulation = Simulation(network, workers=count, record=[Spikes("a"), Spikes("b")])
        recordings = [simulation.run(duration) for duration in (40.0, 0.1 * count, 40.0 - 0.1 * count, 40.0)]
        fields = [(name, field) for name in "ab" for field in ("times", "neurons")]
        arrays = [np.concatenate([getattr(r.spikes[name], field) for r in recordings]) for name, field in fields]
        return simulation, [*arrays, simulation.state("a"), np.array(simulation.counters)]

    _, wanted = run(1)
    monkeypatch.setattr(crew, "LOOK_AFTER", 0)
    monkeypatch.setattr(crew, "LOOK_AGAIN", 0)
    monkeypatch.setattr(crew, "LEAST_SHARE", 10**6)
    monkeypatch.setattr(crew, "FIRST_REST", 0.0)
    monkeypatch.setattr(crew, "LONGEST_REST", 1e-3)
    simulation, found = run(workers)
    assert len(wanted[0]) > 100 and all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True))
    left = [until > -np.inf for until in simulation._items[0].rests.until]
    assert left[0] is False and any(left[1:]) or sys.platform != "linux"


def test_pieces_of_a_run_follow_the_clock():
    """They grow while steps are quick and shrink when they are not: what decides when Ctrl-C is heard."""
    simulation = Simulation(Network((Population("cells", 10, LIF()),)), 0.1, workers=1, update="dense")
    pieces = simulation._pieces(10**6)
    lengths = []
    for number in range(14):
        until = next(pieces)
        lengths.append(until - simulation._step)
        simulation._step = until
        if number == 11:
            time.sleep(0.5)
    assert lengths[0] == SHORT and lengths[8] == lengths[11] == LONG
    assert SHORT <= lengths[12] < LONG / 2
