"""The event queue against `heapq`: the same entries in the same order, whatever is pushed and popped when."""

from __future__ import annotations

import heapq

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eventsim.exact.heap import CHILDREN, pop, push

ROOM = 400


class Queue(RuleBasedStateMachine):
    """Times collide often, and so do whole entries."""

    def __init__(self):
        super().__init__()
        self.time, self.key, self.count = np.zeros(ROOM), np.zeros(ROOM, np.int64), 0
        self.expected = []

    @precondition(lambda self: self.count < ROOM)
    @rule(t=st.integers(0, 5).map(float) | st.floats(0.0, 1e6), k=st.integers(0, 4) | st.integers(0, 2**62))
    def push(self, t, k):
        self.count = push(self.time, self.key, self.count, t, k)
        heapq.heappush(self.expected, (t, k))

    @precondition(lambda self: self.count > 0)
    @rule()
    def pop(self):
        first = self.time[0], self.key[0]
        self.count = pop(self.time, self.key, self.count)
        assert first == heapq.heappop(self.expected)

    @invariant()
    def nobody_comes_before_the_parent(self):
        assert self.count == len(self.expected)
        entries = list(zip(self.time[: self.count], self.key[: self.count], strict=True))
        assert all(entries[(at - 1) // CHILDREN] <= entries[at] for at in range(1, self.count))

    def teardown(self):
        while self.expected:
            self.pop()


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
