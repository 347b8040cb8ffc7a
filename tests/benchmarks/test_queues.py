"""The candidates for the queue of the exact engine pop in the order of heapq, and so does what a trace says."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from benchmarks.queue_study import POP, PUSH, STALE, played, record
from benchmarks.queues import QUEUES
from eventsim.exact.layout import ARRIVE, FIRE, KIND_SHIFT

ARRIVES, FIRES = ARRIVE << KIND_SHIFT, FIRE << KIND_SHIFT


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_pops_in_the_order_of_heapq(queue):
    rng, neurons = np.random.default_rng(1), 50
    fires = FIRES + rng.permutation(neurons)[:40]
    first = [(float(t), int(k)) for t, k in zip(rng.integers(0, 30, 40) / 4.0, fires, strict=True)]
    q = queue.make(*(np.array(column) for column in zip(*first, strict=True)), neurons, 10_000)
    expected = list(first)
    heapq.heapify(expected)
    now, parcel = 0.0, 0
    for _ in range(3000):
        if expected and rng.random() < 0.5:
            found = queue.pop(q)
            assert found == heapq.heappop(expected)
            now = found[0]
        else:  # ties of times are common, some entries come late
            t, k = now + float(rng.choice([0.0, 0.25, 1.0, 300.0])), ARRIVES + parcel
            parcel += 1
            idle = sorted({FIRES + j for j in range(neurons)} - {k for _, k in expected})
            if idle and rng.random() < 0.5:
                k = int(rng.choice(idle))
            queue.push(q, t, k)
            heapq.heappush(expected, (t, k))
    while expected:
        assert queue.pop(q) == heapq.heappop(expected)


def test_an_indexed_heap_moves_the_entry_of_a_neuron():
    (queue,) = (queue for queue in QUEUES if queue.renews)
    q = queue.make(np.array([1.0, 2.0, 3.0]), FIRES + np.arange(3), 3, 10)
    queue.push(q, 0.5, FIRES + 2)
    queue.push(q, 4.0, FIRES + 0)
    assert [queue.pop(q) for _ in range(3)] == [(0.5, FIRES + 2), (2.0, FIRES + 1), (4.0, FIRES + 0)]


@pytest.mark.parametrize("synapses", ["delta", "exponential"])
def test_a_trace_is_what_a_heap_does(synapses):
    trace = record(300, synapses, 3000, 20.0)
    held = list(zip(trace.first_times.tolist(), trace.first_keys.tolist(), strict=True))
    heapq.heapify(held)
    for what, t, k in zip(trace.what, trace.times.tolist(), trace.keys.tolist(), strict=True):
        if what == PUSH:
            heapq.heappush(held, (t, k))
        else:
            assert heapq.heappop(held) == (t, k)
    assert {POP, PUSH, STALE} == set(trace.what.tolist())
    for queue in QUEUES:
        assert played(queue, trace) > 0.0  # it fails where entries come in another order
