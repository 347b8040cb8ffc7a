"""The event queue against `heapq`: the same entries in the same order, whatever is pushed, popped and replaced, and as it grows."""

from __future__ import annotations

import heapq
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import eventsim.exact.simulation as exact_simulation
from eventsim import IAF, Network, Population, Simulation
from eventsim.exact.heap import CHILDREN, pop, push, replace_first
from eventsim.exact.layout import QUEUE_COUNT, QUEUE_KEY, QUEUE_ROOM, QUEUE_TIME

TIMES = st.integers(0, 5).map(float) | st.floats(0.0, 1e6)
KEYS = st.integers(0, 4) | st.integers(0, 2**62)


class Entries:
    """The queue of a simulation, empty at first and with room for one entry; it grows where the engine lets it grow."""

    def __init__(self):
        self.simulation = Simulation(Network([Population("n", 1, IAF())]), method="exact")
        self.words = self.simulation._queue
        self.simulation._grow_queue(1)

    @property
    def count(self):
        return int(self.words[QUEUE_COUNT])

    @property
    def room(self):
        return int(self.words[QUEUE_ROOM])

    @property
    def heap(self):
        return self.simulation._queue_time, self.simulation._queue_key

    @property
    def first(self):
        time, key = self.heap
        return time[0], key[0]

    def listed(self):
        time, key = self.heap
        return list(zip(time[: self.count].tolist(), key[: self.count].tolist(), strict=True))

    def grow(self):
        self.simulation._grow_queue(2 * self.room)

    def put(self, entries):
        times, keys = zip(*entries, strict=True) if entries else ((), ())
        with mock.patch.object(exact_simulation, "ROOM", 1):  # so much is left free
            self.simulation._enqueue(times, keys)

    def push(self, t, k):
        if self.count == self.room:
            self.grow()
        self.words[QUEUE_COUNT] = push(*self.heap, self.count, t, k)

    def pop(self):
        self.words[QUEUE_COUNT] = pop(*self.heap, self.count)

    def replace_first(self, t, k):
        replace_first(*self.heap, self.count, t, k)


class Queue(RuleBasedStateMachine):
    """Times collide often, and so do whole entries."""

    def __init__(self):
        super().__init__()
        self.queue, self.expected = Entries(), []

    @rule(t=TIMES, k=KEYS)
    def push(self, t, k):
        self.queue.push(t, k)
        heapq.heappush(self.expected, (t, k))

    @rule(entries=st.lists(st.tuples(TIMES, KEYS), max_size=20))
    def push_some(self, entries):
        for t, k in entries:
            self.push(t, k)

    @precondition(lambda self: self.expected)
    @rule()
    def pop(self):
        first = self.queue.first
        self.queue.pop()
        assert first == heapq.heappop(self.expected)

    @precondition(lambda self: self.expected)
    @rule(t=TIMES, k=KEYS)
    def replace_first(self, t, k):
        first = self.queue.first
        self.queue.replace_first(t, k)
        assert first == heapq.heapreplace(self.expected, (t, k))

    @rule()
    def grow(self):
        if self.queue.room < 5000:
            self.queue.grow()

    @rule(entries=st.lists(st.tuples(TIMES, KEYS), max_size=10))
    def put_from_python(self, entries):
        self.queue.put(entries)
        for entry in entries:
            heapq.heappush(self.expected, entry)

    @invariant()
    def nobody_comes_before_the_parent(self):
        entries = self.queue.listed()
        assert len(entries) == len(self.expected) <= self.queue.room == len(self.queue.heap[0]) == len(self.queue.heap[1])
        assert all(entries[(at - 1) // CHILDREN] <= entries[at] for at in range(1, len(entries)))

    @invariant()
    def the_words_say_where_the_arrays_are(self):
        assert [array.ctypes.data for array in self.queue.heap] == self.queue.words[[QUEUE_TIME, QUEUE_KEY]].tolist()

    def teardown(self):
        while self.expected:
            self.pop()


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
