"""The heap of events against `heapq`: the same entries in the same order, whatever is pushed, popped and replaced, and as it grows."""

from __future__ import annotations

import heapq

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eventsim.exact.heap import CHILDREN, pop, push, replace_first

TIMES = st.integers(0, 5).map(float) | st.floats(0.0, 1e6)
KEYS = st.integers(0, 4) | st.integers(0, 2**62)


class Entries:
    """A heap with room for one entry at first, that has to grow."""

    def __init__(self):
        self.heap, self.count = (np.empty(1), np.empty(1, np.int64)), 0

    @property
    def room(self):
        return len(self.heap[0])

    @property
    def first(self):
        time, key = self.heap
        return time[0], key[0]

    def listed(self):
        time, key = self.heap
        return list(zip(time[: self.count].tolist(), key[: self.count].tolist(), strict=True))

    def grow(self):
        self.heap = tuple(np.resize(array, 2 * self.room) for array in self.heap)

    def push(self, t, k):
        if self.count == self.room:
            self.grow()
        self.count = push(*self.heap, self.count, t, k)

    def pop(self):
        self.count = pop(*self.heap, self.count)

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

    @invariant()
    def nobody_comes_before_the_parent(self):
        entries = self.queue.listed()
        assert len(entries) == len(self.expected) <= self.queue.room
        assert all(entries[(at - 1) // CHILDREN] <= entries[at] for at in range(1, len(entries)))

    def teardown(self):
        while self.expected:
            self.pop()


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
