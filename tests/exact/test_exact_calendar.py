"""The engine's queue, a calendar with a heap for the present day, against `heapq`: whatever is pushed, popped and refitted when."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eventsim.exact import layout as w
from eventsim.exact.calendar import begin_day, first, look_ahead, pop, push, room_left
from eventsim.exact.queue import ENOUGH, FEW, PER_DAY, EventQueue, lines
from eventsim.exact.sorting import FEW as FEWEST_SORTED
from eventsim.exact.sorting import sort_entries

ROOM = 100


def take(queue):
    """The first entry, as the loop over events takes it."""
    if queue.words[w.QUEUE_NEAR] == 0:
        begin_day(queue.words)
    found = first(queue.words)
    pop(queue.words)
    look_ahead(queue.words)
    return found


class Calendar(RuleBasedStateMachine):
    """Times collide often, and so do whole entries; some are years ahead, some late."""

    def __init__(self):
        super().__init__()
        self.queue, self.expected, self.now = EventQueue(ROOM), [], 0.0

    @precondition(lambda self: len(self.expected) < self.queue.room)
    @rule(
        t=st.integers(0, 5).map(float) | st.floats(0.0, 1e3) | st.sampled_from([1e9, 1e15, 1e300]),
        ahead=st.booleans(),
        k=st.integers(0, 4) | st.integers(0, 2**62),
    )
    def push(self, t, ahead, k):
        t = self.now + t if ahead else t
        push(self.queue.words, t, k)
        heapq.heappush(self.expected, (t, k))

    @precondition(lambda self: self.expected)
    @rule()
    def pop(self):
        found = take(self.queue)
        assert found == heapq.heappop(self.expected)
        self.now = found[0]

    @rule(per_ms=st.sampled_from([0.0, 1e-3, 0.3, 16.0, 1e6]))
    def set_days(self, per_ms):
        self.queue.set_days(min(self.now, 1e9), per_ms)

    @precondition(lambda self: self.queue.room < 8 * ROOM)
    @rule()
    def grow(self):
        self.queue.grow(2 * self.queue.room)

    @invariant()
    def nothing_is_lost(self):
        assert self.queue.entries == len(self.expected)

    def teardown(self):
        while self.expected:
            self.pop()


TestCalendar = Calendar.TestCase
TestCalendar.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


@pytest.mark.parametrize("many, per_ms", [(FEW, 0.0), (10 * FEW, 1000.0 / PER_DAY)])
def test_a_day_has_so_many_entries_and_few_entries_need_none(many, per_ms):
    queue = EventQueue(4 * ENOUGH)
    queue.put(np.arange(ENOUGH + many) / 1000.0, np.arange(ENOUGH + many))
    taken = [take(queue) for _ in range(ENOUGH)]
    assert taken == [(i / 1000.0, i) for i in range(ENOUGH)] and queue.per_ms == 0.0
    queue.fit(ENOUGH / 1000.0)
    assert queue.per_ms == pytest.approx(per_ms)
    assert take(queue) == (ENOUGH / 1000.0, ENOUGH)


def test_what_comes_in_a_day_takes_the_places_of_what_was_taken():
    queue = EventQueue(ROOM)
    behind = [np.full(4 * ROOM, -7.0), np.full(4 * ROOM, -7, np.int64)]
    queue.words[w.QUEUE_TIME], queue.words[w.QUEUE_KEY] = (array.ctypes.data for array in behind)
    queue.set_days(0.0, 1.0)
    queue.put(1.0 + 0.001 * np.arange(ROOM // 2), np.arange(ROOM // 2))
    taken = [take(queue) for _ in range(ROOM // 2 - 1)]
    late = [(1.5 - 0.001 * i, 1000 + i) for i in range(ROOM - 2)]
    for t, k in late:
        push(queue.words, t, k)
    assert room_left(queue.words) == 1
    taken += [take(queue) for _ in range(ROOM - 1)]
    assert taken == sorted([(1.0 + 0.001 * i, i) for i in range(ROOM // 2)] + late)
    for array in behind:
        assert np.all(array[ROOM:] == -7)


def test_rows_begin_where_cache_lines_do():
    for rows in (1, 7, 1000, 100_000):
        made = lines((rows, 8))
        assert made.ctypes.data % 64 == 0 and made.shape == (rows, 8) and not made.any() and made.flags.c_contiguous


def test_days_that_are_far_too_short_are_noticed():
    """As after a burst: a year passes without an entry, and those that wait say how long days are to be."""
    queue = EventQueue(4 * ENOUGH)
    queue.put(np.arange(10 * FEW) + 1.0, np.arange(10 * FEW))
    queue.set_days(0.0, 1e9)
    assert take(queue) == (1.0, 0) and queue.words[w.QUEUE_YEARS] == 1
    queue.fit(1.0)
    assert queue.per_ms == pytest.approx(1.0 / PER_DAY, rel=0.01) and queue.words[w.QUEUE_YEARS] == 0
    assert [take(queue) for _ in range(10 * FEW - 1)] == [(i + 1.0, i) for i in range(1, 10 * FEW)]
    assert queue.words[w.QUEUE_YEARS] == 0


def test_days_are_longer_than_what_is_rounded_off_the_time():
    """However many entries come while the time advances by one rounding."""
    queue = EventQueue(8 * ENOUGH)
    times = np.repeat([1000.0, np.nextafter(1000.0, 2000.0), 6000.0], 2 * ENOUGH)
    queue.put(times, np.arange(len(times)))
    taken = []
    for _ in range(2 * ENOUGH):
        taken.append(take(queue))
    queue.fit(1000.0)
    for _ in range(2 * ENOUGH):
        taken.append(take(queue))
    queue.fit(float(np.nextafter(1000.0, 2000.0)))
    assert queue.entries == 2 * ENOUGH and queue.per_ms < 1e12
    taken += [take(queue) for _ in range(2 * ENOUGH)]
    assert taken == list(zip(times.tolist(), range(len(times)), strict=True))


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.5]) | st.floats(0.0, 1e3), st.integers(-2, 2**62)), max_size=300))
def test_entries_are_sorted_by_time_then_key(entries):
    times, keys = np.array([t for t, _ in entries]), np.array([k for _, k in entries], np.int64)
    sort_entries(
        times, keys, len(entries), np.empty(len(entries)), np.empty(len(entries), np.int64), np.empty(len(entries), np.int64)
    )
    assert list(zip(times, keys, strict=True)) == sorted(entries)


@pytest.mark.parametrize("many", [0, 1, FEWEST_SORTED, FEWEST_SORTED + 1, 1000])
@pytest.mark.parametrize("form", ["falling", "rising", "equal", "saw", "even", "crowds", "one late"])
@pytest.mark.parametrize("counts", [0, 1000])
def test_any_order_may_be_there_before(many, form, counts):
    i = np.arange(many)
    drawn = np.random.default_rng(2).uniform(0.0, 1.0, many)
    times = {
        "falling": -i,
        "rising": i,
        "equal": 0 * i,
        "saw": i % 7,
        "even": 1e3 + drawn,
        "crowds": np.round(drawn, 1) + 1e-9 * drawn,
    }
    times["one late"] = drawn + 1e300 * (i == 1)
    times = times[form].astype(np.float64)
    keys = np.random.default_rng(1).permutation(many)
    expected = sorted(zip(times, keys, strict=True))
    sort_entries(times, keys, many, np.empty(many), np.empty(many, np.int64), np.empty(counts, np.int64))
    assert list(zip(times, keys, strict=True)) == expected


def test_a_day_of_more_than_half_of_the_room_is_a_heap():
    """There is no room to sort it."""
    queue = EventQueue(100)
    queue.set_days(0.0, 1.0)
    times = np.random.default_rng(1).uniform(1.0, 2.0, 80)
    queue.put(times, np.arange(80))
    assert [take(queue)[0] for _ in times] == sorted(times)
