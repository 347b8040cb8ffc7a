"""Which queue the exact engine takes: what it pushed and popped in balanced networks, played to each candidate.

A trace holds every push and pop of a real run, with its time and key, recorded entry by entry. Candidates
(`benchmarks.queues`) start with what stood in the queue when recording began. Time is processor time; beside it stands the share
of pops whose entry was stale: an indexed heap has none of them.
"""

from __future__ import annotations

import ctypes
import functools
import math
import time
from typing import Any, NamedTuple
from unittest import mock

import click
import numpy as np

import eventsim.exact.simulation as exact_simulation
from benchmarks.networks import balanced
from benchmarks.process import Failed, say
from benchmarks.queues import QUEUES, Queue
from benchmarks.report import Report, Table
from benchmarks.silence import values
from eventsim import Simulation
from eventsim.exact import layout as w
from eventsim.jit import jit

NAME = "queue"
PEERS: tuple[str, ...] = ()
SYNAPSES = ("delta", "exponential")
OPTIONS = [
    click.Option(["--sizes"], default="1000,10000,100000", show_default=True, help="Neurons, 100 synapses each."),
    click.Option(["--operations"], type=int, default=200_000, show_default=True, help="Pushes and pops of a trace."),
    click.Option(["--warm-up"], type=float, default=20.0, show_default=True, help="ms before the trace begins"),
]
POP, PUSH, STALE = range(3)  # a stale entry was popped, but a later push for the same neuron had taken its place


class Trace(NamedTuple):
    """What stood in the queue first, (entries,), then what was done: int8, float64 ms and int64, (operations,)"""

    neurons: int
    first_times: np.ndarray
    first_keys: np.ndarray
    what: np.ndarray
    times: np.ndarray
    keys: np.ndarray


def record(neurons: int, synapses: str, operations: int, warm_up: float) -> Trace:
    """Run a network entry by entry, and see what that changes in the queue.

    All that one entry pushes counts as pushed after it was popped, neurons in descending order: so the engine asks them.
    """
    network = balanced(neurons=neurons, synapses=synapses).network
    with mock.patch.object(exact_simulation, "LEAST_WINDOW", math.inf):  # neurons have their entries in the queue then
        simulation: Any = Simulation(network, method="exact", seed=1)
    simulation.run(warm_up)
    queue, loop = simulation._queue, simulation._loop
    queue.set_days(warm_up, 0.0)  # all of it stands in the heap then
    context = loop.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
    loop[w.BUDGET] = 0  # pause after each entry

    def entries() -> tuple[np.ndarray, np.ndarray]:
        count = queue.entries
        return queue.arrays[w.QUEUE_TIME][:count].copy(), queue.arrays[w.QUEUE_KEY][:count].copy()

    before = first = entries()
    done: list[tuple[int, float, int]] = []
    while len(done) < operations:
        status = simulation._drive.ctypes(context, np.inf)
        if status == w.FULL:
            simulation._spikes.drain()
        elif status == w.GROW:
            queue.grow(2 * queue.room)
        elif status != w.PAUSED:
            raise Failed("the network fell silent before the trace was full")
        after = entries()
        pushed, popped = _difference(before, after)
        done += [(POP, *entry) for entry in sorted(popped)]
        done += [(PUSH, *entry) for entry in sorted(pushed, key=lambda entry: -entry[1])]
        before = after
    what, times, keys = (np.array(column) for column in zip(*done, strict=True))
    what, offsets = what.astype(np.int8), np.array([group.words[w.FIRST] for group in simulation._groups])
    first, keys = (first[0], _numbered(first[1], offsets)), _numbered(keys, offsets)
    _mark_stale(*first, what, times, keys, np.full(neurons, np.nan))
    return Trace(neurons, *first, what, times, keys)


def _numbered(keys: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Keys of FIRE entries with the number of the neuron in the network instead of group and place: the order stays."""
    about = keys & ((1 << w.KIND_SHIFT) - 1)
    numbers = offsets[(about >> w.GROUP_SHIFT) % len(offsets)] + (about & ((1 << w.GROUP_SHIFT) - 1))
    return np.where(keys >> w.KIND_SHIFT == w.FIRE, (w.FIRE << w.KIND_SHIFT) + numbers, keys)


def _difference(before: Any, after: Any) -> tuple[set[Any], set[Any]]:
    """Entries that are new, and those that are gone."""
    both = min(len(before[0]), len(after[0]))
    moved = np.flatnonzero((before[0][:both] != after[0][:both]) | (before[1][:both] != after[1][:both]))
    old, new = (
        {
            (t, k)
            for column in (moved, slice(both, None))
            for t, k in zip(side[0][column].tolist(), side[1][column].tolist(), strict=True)
        }
        for side in (before, after)
    )
    return new - old, old - new


@jit
def _mark_stale(first_times, first_keys, what, times, keys, latest):
    """Tell pops of stale entries from others (modifies what and latest, the time of the live entry of each neuron)."""
    low = (np.int64(1) << w.KIND_SHIFT) - 1
    for i in range(first_keys.size):
        j = first_keys[i] & low
        if first_keys[i] >> w.KIND_SHIFT == w.FIRE and not latest[j] <= first_times[i]:
            latest[j] = first_times[i]
    for i in range(keys.size):
        if keys[i] >> w.KIND_SHIFT == w.FIRE:
            j = keys[i] & low
            if what[i] == PUSH:
                latest[j] = times[i]
            elif latest[j] != times[i]:
                what[i] = STALE


@functools.cache
def bind_replay(queue: Queue):
    """A function ``(q, what, times, keys) -> pops in another order``, which does with a queue what a trace says."""
    push, pop, renews = queue.push, queue.pop, queue.renews

    @jit
    def replay(q, what, times, keys):
        wrong = 0
        for i in range(what.size):
            if what[i] == PUSH:
                push(q, times[i], keys[i])
            elif not (renews and what[i] == STALE):
                t, k = pop(q)
                wrong += t != times[i] or k != keys[i]
        return wrong

    return replay


def played(queue: Queue, trace: Trace) -> float:
    """ns of processor time for an operation of the trace."""
    room = len(trace.first_times) + len(trace.what) + 1
    times, keys = trace.first_times, trace.first_keys
    if queue.renews:  # the earliest entry of a neuron is the one that counts
        order = np.lexsort((times, keys))
        fires = keys[order] >> w.KIND_SHIFT == w.FIRE
        again = np.concatenate([[False], (keys[order][1:] == keys[order][:-1]) & fires[1:]])
        times, keys = times[order[~again]], keys[order[~again]]
    q = queue.make(times, keys, trace.neurons, room)
    replay = bind_replay(queue)
    begin = time.process_time()
    wrong = replay(q, trace.what, trace.times, trace.keys)
    spent = time.process_time() - begin
    if wrong:
        raise Failed(f"{queue.name}: {wrong} of the entries came in another order")
    return 1e9 * spent / len(trace.what)


def measure(*, sizes: str, operations: int, warm_up: float, repeats: int) -> Report:
    """Run it; see the module."""
    counts = sorted(values(sizes, int, "--sizes"))
    results: dict[str, Any] = {}
    tables = []
    for synapses in SYNAPSES:
        rows, found = [], []
        for neurons in counts:
            say(f"{neurons:,} neurons, {synapses}: recording ...")
            trace = record(neurons, synapses, operations, warm_up)
            for queue in QUEUES:
                played(queue, trace)  # compiles
            runs: dict[str, list[float]] = {queue.name: [] for queue in QUEUES}
            for _ in range(repeats):
                for queue in QUEUES:
                    runs[queue.name].append(played(queue, trace))
            least = {name: min(each) for name, each in runs.items()}
            pops = trace.what != PUSH
            stale = float(np.mean(trace.what[pops] == STALE))
            found.append({"neurons": neurons, "entries": len(trace.first_times), "stale": stale, "ns": least, "runs": runs})
            columns = (f"{neurons:,}", f"{len(trace.first_times):,}", f"{100 * stale:.0f} %")
            rows.append((*columns, *(f"{ns:.1f}" for ns in least.values())))
        head = ("neurons", "entries", "stale pops", *(queue.name for queue in QUEUES))
        tables.append(Table(f"ns of processor time for a push or a pop, {synapses} synapses", head, rows))
        results[synapses] = found
    return Report({"sizes": counts, "operations": operations, "warm_up": warm_up, "repeats": repeats}, results, tables)
